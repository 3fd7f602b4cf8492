"""The reference model and its limits: a good restoration passes; what its counts contradict does not."""

from dataclasses import astuple, replace

import numpy as np
import pytest

from scintiflow.drift.features import coarse_deviance
from scintiflow.errors import ScintiflowError
from scintiflow.evaluation.agreement import (
    Agreement,
    agreement,
    calibrated,
    contradictions,
    load_calibration,
    save_calibration,
)
from scintiflow.evaluation.baselines import Gaussian
from scintiflow.params import RefusalParams
from scintiflow.phantom.camera import SPACING_MM
from scintiflow.phantom.child import Velocities, simulate_child
from scintiflow.restoration.model_folder import CALIBRATION, REFERENCE_FOLDER, checkpoint_sha256
from scintiflow.restoration.runtime import open_restorer
from scintiflow.stages.held_out import calibrate
from scintiflow.structures import BONE

SEED = 515  # of a child that neither training nor calibration has seen
BLOB_MM = 7.0  # sigma


@pytest.fixture(scope="module")
def child():
    return simulate_child(SEED, 0, Velocities(3.333, 6.667), 8.0, 9.0, lesions_at_most=5)


@pytest.fixture(scope="module")
def restored(child):
    return open_restorer(REFERENCE_FOLDER, cores=2)(child.counts_rapid, child.count_ratio)


@pytest.fixture(scope="module")
def calibration():
    found = load_calibration(REFERENCE_FOLDER / CALIBRATION, checkpoint_sha256(REFERENCE_FOLDER))
    assert found is not None, "make it: scintiflow reference calibrate"
    return found


def against(child, calibration, picture: np.ndarray) -> list[str]:
    return contradictions(agreement(child.counts_rapid, picture, child.count_ratio, SPACING_MM), calibration)


def spot(shape: tuple[int, int], row: int, column: int) -> np.ndarray:
    y, x = np.mgrid[: shape[0], : shape[1]]
    return np.exp(-((y - row) ** 2 + (x - column) ** 2) / (2 * (BLOB_MM / SPACING_MM) ** 2))


def busy_bone(child) -> tuple[int, int, int]:
    """View, row and column of a place in bone with typical counts: nothing extreme on either side."""
    bone = child.truth.masks_rapid[BONE] & ~child.truth.masks_rapid[[2, 3, 4]].any(axis=0)
    places, values = np.argwhere(bone), child.truth.mean_rapid[bone]
    view, row, column = places[np.argsort(values)[int(0.8 * len(values))]]
    return int(view), int(row), int(column)


def test_a_good_restoration_passes(child, restored, calibration):
    assert against(child, calibration, restored) == []


def test_the_truth_itself_passes(child, calibration):
    assert against(child, calibration, child.truth.mean_rapid * child.count_ratio) == []


def test_an_invented_lesion_fails(child, restored, calibration):
    view, row, column = busy_bone(child)
    invented = restored.copy()
    invented[view] += 1.5 * restored[view, row, column] * spot(restored.shape[1:], row, column)
    objections = against(child, calibration, invented)
    assert len(objections) == 1
    assert objections[0].startswith("a place shows more than was measured")


def test_an_erased_lesion_fails(child, restored, calibration):
    """A lesion of the same size is added to the child, and the picture is that of the child without it."""
    view, row, column = busy_bone(child)
    lesion = 1.5 * child.truth.mean_rapid[view, row, column] * spot(restored.shape[1:], row, column)
    measured = child.counts_rapid.copy()
    measured[view] += np.random.default_rng(1).poisson(lesion).astype(measured.dtype)
    seen = agreement(measured, restored, child.count_ratio, SPACING_MM)
    assert any(words.startswith("a place lost what was measured") for words in contradictions(seen, calibration))


@pytest.mark.parametrize("factor", [0.95, 1.05])
def test_scaled_counts_fail(child, restored, calibration, factor):
    assert any("sum of counts is off" in words for words in against(child, calibration, restored * factor))


def test_a_picture_blurred_away_fails(child, restored, calibration):
    flat = np.broadcast_to(restored.mean(axis=(1, 2), keepdims=True), restored.shape)
    objections = against(child, calibration, flat)
    assert any(words.startswith("the counts' deviance") for words in objections)


def test_limits_are_the_quantile_plus_margins():
    seen = [Agreement(0.9 + 0.01 * n, 0.001 * n, float(n), 2.0 * n) for n in range(1, 11)]
    params = RefusalParams(quantile=0.5)
    found = calibrated(reversed(seen), params, "ten scans", "a" * 64)
    expected = [sorted(values)[5] for values in zip(*map(astuple, seen), strict=True)]  # the upper of the middle two
    margins = params.margins
    added = [margins.deviance, margins.count_error, margins.excess, margins.loss]
    np.testing.assert_allclose(astuple(found.limits), np.add(expected, added))
    assert found.scans == 10


def test_the_evaluation_calibrates_on_the_validation_patients(real_cohort, tmp_path):
    """Each patient's limits are what this very restorer shows: with no margin its own scan lies on them."""
    gaussian, path = Gaussian(1.2), tmp_path / CALIBRATION
    none = RefusalParams(quantile=1.0, margins={"deviance": 0.0, "count_error": 0.0, "excess": 0.0, "loss": 0.0})
    deviances = calibrate(real_cohort.dataset, gaussian, none, "c" * 64, path)
    found = load_calibration(path, "c" * 64)
    rows = list(real_cohort.dataset.rows("validation"))
    assert found.scans == len(rows) == 1
    pair, ratio = real_cohort.dataset.pair(rows[0]["study"]), float(rows[0]["count_ratio"])
    seen = agreement(pair.rapid, gaussian(pair.rapid, ratio), ratio, float(rows[0]["spacing_mm"]))
    np.testing.assert_allclose(astuple(found.limits), astuple(seen))
    assert deviances == [coarse_deviance(pair.rapid, gaussian(pair.rapid, ratio), ratio)]
    assert contradictions(seen, found) == []
    assert contradictions(agreement(pair.rapid, gaussian(pair.rapid, ratio) * 1.2, ratio, 4.0), found) != []


def test_a_number_that_is_none_speaks_against_a_picture(calibration):
    assert len(contradictions(Agreement(np.nan, np.nan, np.nan, np.nan), calibration)) == 4


@pytest.mark.parametrize("view", [0, 1])
def test_a_picture_that_is_no_number_in_any_view_fails(child, restored, calibration, view):
    spoilt = restored.copy()
    spoilt[view, spoilt.shape[1] // 2] = np.nan
    assert against(child, calibration, spoilt)


def test_a_calibration_belongs_to_its_weights(calibration, tmp_path):
    save_calibration(tmp_path / CALIBRATION, calibration)
    assert load_calibration(tmp_path / CALIBRATION, calibration.checkpoint_sha256) == calibration
    assert load_calibration(tmp_path / "absent.json", "") is None
    with pytest.raises(ScintiflowError, match="other weights"):
        load_calibration(tmp_path / CALIBRATION, "b" * 64)
    save_calibration(tmp_path / CALIBRATION, replace(calibration, margins={"excess": 1.0}))
    with pytest.raises(ScintiflowError, match="no calibration"):
        load_calibration(tmp_path / CALIBRATION, calibration.checkpoint_sha256)
