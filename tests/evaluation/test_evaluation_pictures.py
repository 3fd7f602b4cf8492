"""Scores of pictures against another implementation, and what is not scored."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from picture_pairs import good_picture, poor_picture
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio

from scintiflow.dataset.study import Pair
from scintiflow.evaluation.cases import PARTS, Case
from scintiflow.evaluation.columns import IDENTIFIERS, NUMBERS
from scintiflow.evaluation.perceptual import NotAvailable
from scintiflow.evaluation.picture_panels import draw_picture
from scintiflow.evaluation.rows import score_case
from scintiflow.evaluation.summary import gate_numbers
from scintiflow.params import load_params

ROOT = Path(__file__).parents[2]
GIVEN = {
    "psnr_standard", "psnr_standard_frame", "ssim_standard", "ms_ssim_standard", "count_bias", "seconds",
}  # fmt: skip


@pytest.fixture
def params():
    return load_params(ROOT / "params.yaml", ROOT / "profiles" / "endoscopy.yaml").evaluate


def case(shift: float = 0.0) -> Case:
    good = good_picture(1)
    low, high = (np.moveaxis(picture, 2, 0).astype(np.uint16) for picture in (poor_picture(good, 1), good))
    row = pd.Series(
        {
            "patient": "P-1", "study": "S-1", "cohort": "generated", "scanner": "camera", "age_years": math.nan,
            "modality": "picture", "count_ratio": 1.0, "spacing_mm": 1.0,
            "row_shift_anterior": 0.0, "column_shift_anterior": shift,
        }
    )  # fmt: skip
    everywhere, nowhere = np.ones(low.shape, bool), np.zeros(low.shape, bool)
    parts = dict.fromkeys(PARTS, nowhere)
    return Case(row, Pair(rapid=low, standard=high), 1.0, everywhere, nowhere, "frame", None, None, parts)


def test_psnr_is_that_of_the_whole_colour_picture(params):
    one = case()
    estimate = one.pair.rapid.astype(np.float32) / 0.35
    scores = score_case(one, {"restored": (estimate, 0.1)}, params, NotAvailable("test"))
    assert len(scores.rows) == 1
    row = scores.rows[0]
    expected = peak_signal_noise_ratio(one.pair.standard.astype(float), estimate.astype(float), data_range=255)
    assert row["psnr_standard"] == pytest.approx(expected, abs=1e-4)
    mean = estimate.sum(dtype=float) / one.pair.standard.sum(dtype=float) - 1
    assert row["count_bias"] == pytest.approx(mean, abs=1e-6)
    assert scores.lesions == []
    assert set(row) - set(IDENTIFIERS) == GIVEN
    assert set(row) <= {*IDENTIFIERS, *NUMBERS}


def test_a_shifted_pair_is_scored_where_both_show_something(params):
    moved = case(shift=3.0)
    good = moved.pair.standard
    estimate = np.zeros(good.shape, np.float32)
    estimate[..., :-3] = good[..., 3:]
    row = score_case(moved, {"restored": (estimate, 0.1)}, params, NotAvailable("test")).rows[0]
    assert row["ssim_standard"] == pytest.approx(1.0, abs=1e-4)
    assert math.isnan(row["psnr_standard"])  # an exact copy has no finite PSNR
    assert row["count_bias"] == pytest.approx(0.0)


def test_gains_of_pictures_are_against_the_good_picture(params):
    rows = []
    for method, psnr in (("restored", 26.0), ("identity", 11.0), ("gaussian", 12.0)):
        rows += [
            dict.fromkeys((*IDENTIFIERS, *NUMBERS), math.nan)
            | {"patient": f"P{number}", "method": method, "psnr_standard": psnr + number, "count_bias": 0.01}
            for number in range(4)
        ]
    numbers = gate_numbers(pd.DataFrame(rows), params)
    assert numbers["psnr_metric"] == "psnr_standard"
    assert numbers["psnr_gain_over_identity_db"]["mean"] == pytest.approx(15.0)


def test_the_picture_shows_colours_as_they_are(params, tmp_path):
    one = case()
    estimates = {name: one.pair.rapid.astype(np.float32) for name in ("identity", "restored", "gaussian")}
    drawn = draw_picture(one, estimates, params.data_range_counts, tmp_path / "picture.png")
    with Image.open(drawn.path) as picture:
        shown = np.asarray(picture.convert("RGB")).reshape(-1, 3).astype(int)
    wanted = np.moveaxis(one.pair.standard, 0, 2).reshape(-1, 3).astype(int)[::500]
    nearest = np.abs(shown[None] - wanted[:, None]).max(axis=2).min(axis=1)
    assert nearest.max() <= 12  # enlarged and smoothed, but the same colours
