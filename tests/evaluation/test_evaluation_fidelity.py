"""Counts and lesions: planted changes are found, at the size planted."""

import math

import numpy as np
import pytest
from scipy import ndimage

from scintiflow.evaluation.cases import bounding_box, overlap, regions
from scintiflow.evaluation.fidelity import count_false_hot_spots, read_lesions, relative_bias
from scintiflow.phantom.truth import Lesion
from scintiflow.structures import BODY, BONE, INJECTION_SITE, STRUCTURES

SHAPE, SPACING = (120, 90), 2.0
ROWS, COLUMNS = np.mgrid[: SHAPE[0], : SHAPE[1]]
BONE_MASK = np.ones(SHAPE, dtype=bool)


def spot(row, column, radius_pixels):
    return np.exp(-np.log(2) * ((ROWS - row) ** 2 + (COLUMNS - column) ** 2) / radius_pixels**2)


@pytest.fixture
def truth():
    return 10.0 * (1 + 1.5 * spot(40, 30, 4))


@pytest.fixture
def lesion():
    return Lesion(0, 40, 30, 45, 32, 4 * SPACING, 1.5, "rib")


def read(estimate, truth, lesions, **options):
    return read_lesions(estimate, truth, lesions, BONE_MASK, BONE_MASK, SPACING, **options)


@pytest.mark.parametrize("kept", [0.2, 0.7, 1.0, 1.2])
def test_recovery_is_the_kept_share_of_the_contrast(truth, lesion, kept):
    estimate = 10.0 * (1 + kept * 1.5 * spot(40, 30, 4))
    (reading,) = read(estimate, truth, [lesion])
    assert reading.recovery == pytest.approx(kept, abs=1e-6)
    assert reading.missed == (kept < 0.5)


def test_contrast_to_noise_falls_with_the_noise(truth, lesion):
    noise = np.random.default_rng(6).normal(size=SHAPE)
    (quiet,), (loud,) = (read(truth + size * noise, truth, [lesion]) for size in (1.0, 2.0))
    signal = quiet.contrast_to_noise
    assert loud.contrast_to_noise == pytest.approx(signal / 2, rel=0.15)
    assert math.isnan(read(truth, truth, [lesion])[0].contrast_to_noise)


def test_the_standard_pose_reads_the_standard_position(truth, lesion):
    moved = np.roll(truth, (5, 2), (0, 1))
    (reading,) = read(moved, moved, [lesion], standard_pose=True)
    assert reading.recovery == pytest.approx(1.0)
    assert not read(moved, moved, [Lesion(0, 100, 70, 0, 0, 8.0, 1.5, "rib")])  # nothing there to read


def test_a_known_lesion_is_no_false_hot_spot_and_an_invented_one_is(truth, lesion):
    invented = truth + 10.0 * spot(90, 60, 4)
    assert count_false_hot_spots(truth, truth, [lesion], BONE_MASK, SPACING) == 0
    assert count_false_hot_spots(invented, truth, [lesion], BONE_MASK, SPACING) == 1
    assert count_false_hot_spots(invented + 10.0 * spot(20, 70, 4), truth, [lesion], BONE_MASK, SPACING) == 2
    stronger = truth + 10.0 * spot(40, 30, 3)
    assert count_false_hot_spots(stronger, truth, [lesion], BONE_MASK, SPACING) == 0
    assert count_false_hot_spots(invented, truth, [lesion], np.zeros(SHAPE, dtype=bool), SPACING) == 0


def test_noise_makes_false_hot_spots_and_smoothing_removes_them(truth, lesion):
    low = truth / 5
    noisy = np.random.default_rng(7).poisson(low / 2) * 2.0
    smooth = ndimage.gaussian_filter(noisy, 3)
    before, after = (count_false_hot_spots(image, low, [lesion], BONE_MASK, SPACING) for image in (noisy, smooth))
    assert before > 3 * max(after, 1)


def test_relative_bias(truth):
    half = ROWS < 60
    assert relative_bias(1.05 * truth, truth, half) == pytest.approx(0.05)
    assert math.isnan(relative_bias(truth, np.zeros(SHAPE), half))
    assert math.isnan(relative_bias(truth, truth, np.zeros(SHAPE, dtype=bool)))


@pytest.mark.parametrize("shift", [(3, -2), (-4, 5), (0, 0)])
def test_overlap_brings_the_standard_scan_onto_the_rapid_one(shift):
    rapid = np.random.default_rng(8).random((30, 20))
    standard = np.roll(rapid, shift, (0, 1))  # standard(r + rows, c + columns) = rapid(r, c)
    here, there = overlap(rapid.shape, shift)
    assert np.array_equal(rapid[here], standard[there])
    assert rapid[here].shape == (30 - abs(shift[0]), 20 - abs(shift[1]))


def test_overlap_refuses_a_shift_that_leaves_nothing():
    with pytest.raises(ValueError, match="leaves nothing"):
        overlap((30, 20), (0, 20))


def test_bounding_box_holds_the_mask():
    inside = np.zeros((30, 20), dtype=bool)
    inside[5:9, 12:15] = True
    assert bounding_box(inside, 2) == (slice(3, 11), slice(10, 17))
    assert bounding_box(inside, 100) == (slice(0, 30), slice(0, 20))


def test_regions_leave_out_the_injection_site_and_its_margin():
    masks = np.zeros((len(STRUCTURES), 2, 40, 40), dtype=bool)
    masks[BODY], masks[BONE] = True, True
    masks[INJECTION_SITE, 0, 20, 20] = True
    body, bone = regions(masks, spacing_mm=4.0)
    assert not body[0, 20, 17:24].any()
    assert body[0, 20, 16]
    assert body[1].all()  # seen from one side only
    assert np.array_equal(body, bone)
