"""The reference model that comes along: small, whole, and worth its place."""

import shutil
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from scintiflow.drift.check import check_drift
from scintiflow.drift.cohort import TRAINING_COHORT, WEIGHTS, read_training_cohort
from scintiflow.drift.statistics import ScanStatistics
from scintiflow.drift.store import Journal
from scintiflow.drift.verdict import DRIFT, NO_DRIFT
from scintiflow.errors import ScintiflowError
from scintiflow.evaluation.baselines import AnscombeBm3d
from scintiflow.evaluation.cases import body_and_parts
from scintiflow.evaluation.fidelity import count_false_hot_spots, read_lesions
from scintiflow.files import read_json
from scintiflow.params import WatchParams, load_params, load_reference_recipe
from scintiflow.phantom.child import Velocities, simulate_child
from scintiflow.restoration.model_folder import CALIBRATION, checkpoint_sha256
from scintiflow.restoration.restorer import FIRST, REFERENCE_FOLDER, load_restorer
from scintiflow.stages.reference_statistics import describe_reference
from scintiflow.structures import BODY


@pytest.fixture(scope="module")
def child():
    return simulate_child(31, 0, Velocities(3.333, 6.667), 4.0, 6.0, 3)


def psnr(estimate: np.ndarray, child) -> float:
    expected = child.truth.mean_rapid * child.count_ratio
    body = child.truth.masks_rapid[BODY]
    return 10 * np.log10(40.0**2 / np.mean((estimate[body] - expected[body]) ** 2))


def test_it_is_far_better_than_bm3d_on_a_child_of_the_simulator(child):
    restored = load_restorer(REFERENCE_FOLDER)(child.counts_rapid, child.count_ratio)
    assert psnr(restored, child) > psnr(AnscombeBm3d()(child.counts_rapid, child.count_ratio), child) + 1.5
    expected = child.truth.mean_rapid * child.count_ratio
    body = child.truth.masks_rapid[BODY]
    assert restored[body].sum() == pytest.approx(expected[body].sum(), rel=0.01)


def test_it_keeps_the_contrast_of_lesions_and_invents_fewer_than_a_second_standard_scan_shows():
    restore, recovered, invented, shown = load_restorer(REFERENCE_FOLDER), [], 0, 0
    for index in range(3):
        child = simulate_child(77, index, Velocities(3.333, 6.667), 2.0, 7.0, 5)
        truth, lesions = child.truth, child.truth.lesions
        body, parts = body_and_parts(truth.masks_rapid, 2.26)
        expected, restored = truth.mean_rapid * child.count_ratio, restore(child.counts_rapid, child.count_ratio)
        second = np.random.default_rng(index).poisson(expected)
        for view in range(2):
            here = [lesion for lesion in lesions if lesion.view == view]
            read = restored[view], expected[view], here, body[view], parts["bone"][view], 2.26
            recovered += [reading.recovery for reading in read_lesions(*read)]
            invented += count_false_hot_spots(restored[view], expected[view], here, parts["bone"][view], 2.26)
            shown += count_false_hot_spots(second[view], expected[view], here, parts["bone"][view], 2.26)
    assert len(recovered) >= 10
    assert np.mean(recovered) > 0.9
    assert invented < shown


def test_one_view_of_any_size_is_enough(child):
    restore = load_restorer(REFERENCE_FOLDER)
    window = child.counts_rapid[:1, 301:634, 17:202]
    assert restore(window, 2.0).shape == window.shape


def test_it_is_small():
    assert (REFERENCE_FOLDER / FIRST).stat().st_size < 8e6


RECIPE = load_reference_recipe(REFERENCE_FOLDER / "recipe.yaml")
PARAMS = load_params(REFERENCE_FOLDER.parent / "params.yaml")


@pytest.mark.parametrize("name", [CALIBRATION, TRAINING_COHORT])
def test_what_belongs_to_the_weights_names_them(name):
    assert read_json(REFERENCE_FOLDER / name)[WEIGHTS] == checkpoint_sha256(REFERENCE_FOLDER)


def test_it_carries_the_ranges_that_it_was_trained_on_and_no_child():
    found, scenes = read_training_cohort(REFERENCE_FOLDER / TRAINING_COHORT), RECIPE.scenes
    standard = PARAMS.ingest.protocol.standard_velocity_mm_s
    assert found["studies"] == scenes.children
    assert found["ranges"]["velocity_mm_s"] == pytest.approx([k * standard for k in scenes.accelerations], abs=0.01)
    assert found["ranges"]["spacing_mm"] == pytest.approx([2.26 / 1.5, 2.26 / 0.7], rel=0.02)
    assert len(found["numbers"]["consistency_deviance"]) == 3 * scenes.validation_children
    assert np.median(found["numbers"]["consistency_deviance"]) == pytest.approx(1.0, abs=0.05)
    assert (REFERENCE_FOLDER / TRAINING_COHORT).stat().st_size < 4000


def test_describing_it_needs_no_training_and_holds_a_nominal_child(tmp_path, child):
    folder = tmp_path / "model"
    shutil.copytree(REFERENCE_FOLDER, folder, ignore=shutil.ignore_patterns("*.png", TRAINING_COHORT))
    one = RECIPE.model_copy(update={"scenes": RECIPE.scenes.model_copy(update={"validation_children": 1})})
    found = describe_reference(one, PARAMS, folder)
    assert read_training_cohort(folder / TRAINING_COHORT) == found | {WEIGHTS: checkpoint_sha256(folder)}
    assert len(found["numbers"]["consistency_deviance"]) == 3
    for view, counts in zip(("anterior", "posterior"), child.counts_rapid.sum(axis=(1, 2)), strict=True):
        lowest, highest = found["ranges"][f"counts_{view}"]
        assert lowest < counts < highest


def watched(day: str, deviance: float, place: int) -> ScanStatistics:
    return ScanStatistics(
        day=day, model="scintiflow-reference", model_sha256=checkpoint_sha256(REFERENCE_FOLDER),
        counts_anterior=3e5 + 1e4 * place, counts_posterior=3.3e5, velocity_mm_s=6.7, spacing_mm=2.4,
        consistency_deviance=deviance, age_band="6 to 11 years", scanner="Siemens Symbia",
    )  # fmt: skip


def test_a_site_that_uses_it_can_watch_its_scans(tmp_path, monkeypatch):
    deviances = read_training_cohort(REFERENCE_FOLDER / TRAINING_COHORT)["numbers"]["consistency_deviance"]
    today, watch = f"{datetime.now(UTC):%Y-%m-%d}", WatchParams(folder=str(tmp_path / "watch"))
    for place, deviance in enumerate(deviances):
        Journal(tmp_path / "watch").append(watched(today, deviance, place))
    assert check_drift(watch, "reference", "", 30).verdict == NO_DRIFT
    for place, deviance in enumerate(deviances):  # as many from a camera with larger pixels than it ever saw
        Journal(tmp_path / "watch").append(replace(watched(today, deviance + 0.2, place), spacing_mm=4.8))
    verdict = check_drift(watch, "reference", "", 30)
    assert verdict.verdict == DRIFT
    assert set(verdict.drifted) == {"spacing_mm", "consistency_deviance"}
    shutil.copytree(REFERENCE_FOLDER, tmp_path / "other")
    content = read_json(tmp_path / "other" / TRAINING_COHORT)
    (tmp_path / "other" / TRAINING_COHORT).write_text(str(content | {WEIGHTS: "0"}).replace("'", '"'))
    monkeypatch.setattr("scintiflow.drift.check.REFERENCE_FOLDER", tmp_path / "other")
    with pytest.raises(ScintiflowError, match="belongs to other weights"):
        check_drift(watch, "reference", "", 30)
