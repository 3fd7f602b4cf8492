"""The ablation's table: means over seeds and patients, paired gains, and what it may not claim."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from scintiflow.evaluation.ablation import NAMES, ablation_table, draw_ablation, markdown

PATIENTS, SEEDS = 12, (1, 2, 3)
GAIN = {"none": 0.0, "spi": 0.0, "spi_skd": 0.4, "spi_skd_scm": 0.6, "unadapted": 0.3}


@pytest.fixture(scope="module")
def scores() -> pd.DataFrame:
    """Two views for each patient; every arm has its gain, every seed its own luck."""
    generator = np.random.default_rng(1)
    skill = generator.normal(30, 3, PATIENTS)
    luck = {(arm, seed): generator.normal(0, 0.1) for arm in GAIN for seed in SEEDS}
    luck |= {("spi", seed): luck["none", seed] for seed in SEEDS}  # equal trainings
    noise = generator.normal(0, 0.05, PATIENTS)
    rows = [
        {
            "patient": f"p{patient}", "view": view, "method": method, "arm": arm, "seed": seed,
            "psnr_truth": skill[patient] + GAIN[arm] + luck[arm, seed] + noise[patient] * (method == "second"),
            "lesions_missed": 1 + (arm == "none"), "mse_corrected": 0.5,
        }
        for arm in GAIN for seed in SEEDS for patient in range(PATIENTS) for view in ("a", "b")
        for method in ("first", "second")
    ]  # fmt: skip
    columns = ("psnr_standard", "ssim_truth", "bone_bias", "lesion_contrast", "lesion_cnr", "false_hot_spots")
    empty = dict.fromkeys((*columns, "added_blur_mm", "consistency_deviance"), np.nan)
    return pd.DataFrame(rows).assign(**empty)


@pytest.fixture(scope="module")
def table(scores, params) -> pd.DataFrame:
    return ablation_table(scores, params)


def line(table, network, arm, metric):
    return table[(table["network"] == network) & (table["arm"] == arm) & (table["metric"] == metric)].iloc[0]


def test_means_and_scatter_between_seeds(scores, table):
    own = scores[(scores["method"] == "first") & (scores["arm"] == "spi_skd")]
    found = line(table, "first", "spi_skd", "psnr_truth")
    assert found["mean"] == pytest.approx(own["psnr_truth"].mean())
    assert found["seed_sd"] == pytest.approx(own.groupby("seed")["psnr_truth"].mean().std(ddof=1))
    assert (found["seeds"], found["patients"]) == (3, PATIENTS)
    assert found["low"] < found["mean"] < found["high"]


def test_gains_are_paired_by_patient(table):
    found = line(table, "first", "spi_skd_scm", "psnr_truth")
    assert found["gain"] == pytest.approx(0.6, abs=0.2)
    assert found["gain_high"] - found["gain_low"] < 0.01  # patients differ by decibels, their gains do not
    assert np.isnan(line(table, "first", "none", "psnr_truth")["gain"])
    assert line(table, "first", "spi", "psnr_truth")["gain"] == pytest.approx(0)


def test_counts_of_lesions_add_up_over_views_and_not_over_seeds(table):
    assert line(table, "first", "none", "lesions_missed")["mean"] == 4
    assert line(table, "first", "spi", "lesions_missed")["mean"] == 2


def test_a_metric_that_nobody_has_is_left_out(table):
    assert set(table["metric"]) == {"psnr_truth", "psnr_corrected", "lesions_missed"}


def test_one_seed_has_no_scatter(scores, params):
    found = ablation_table(scores[scores["seed"] == 1], params)
    assert found["seed_sd"].isna().all()


def test_markdown_and_picture(table, params, tmp_path):
    text = markdown(table, params)
    for name in NAMES.values():
        assert f"| {name} |" in text
    assert "nan" not in text.lower().replace("mean", "")
    assert "equal by construction" in text
    assert text.count("|---") == 2 * (1 + 3 + 3)
    draw_ablation(table, tmp_path / "ablation.png")
    with Image.open(tmp_path / "ablation.png") as picture:
        assert picture.width > 500
