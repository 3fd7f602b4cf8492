"""Noise texture and resolution: planted noise and planted blur are found at their size."""

import math

import numpy as np
import pytest
from scipy import ndimage, special

from scintiflow.evaluation.hot_spots import find_hot_spots
from scintiflow.evaluation.noise import bin_frequencies, read_noise, uniform_patches
from scintiflow.evaluation.resolution import (
    FWHM,
    blur_scale,
    edge_bins,
    edge_distances,
    edge_sums,
)

SHAPE, SPACING = (160, 120), 2.4
ROWS, COLUMNS = np.mgrid[: SHAPE[0], : SHAPE[1]]
EVERYWHERE = np.ones(SHAPE, dtype=bool)
TILES = [
    (slice(row, row + 12), slice(column, column + 12)) for row in range(30, 560, 12) for column in range(30, 560, 12)
]


def skeleton():
    bone = (abs(COLUMNS - 60) < 6) | (abs(ROWS % 30 - 15) < 3)
    return 2.0 + 8.0 * ndimage.gaussian_filter(bone.astype(float), 1.5), bone


def test_patches_lie_in_uniform_tissue_and_do_not_overlap():
    mean, bone = skeleton()
    patches = uniform_patches(np.full(SHAPE, 3.0), ~bone, SPACING)
    assert len(patches) >= 2
    covered = np.zeros(SHAPE, dtype=int)
    for patch in patches:
        assert (~bone)[patch].all()
        covered[patch] += 1
    assert covered.max() == 1
    assert not uniform_patches(mean * (1 + (ROWS % 7)), EVERYWHERE, SPACING)  # nothing is uniform there
    assert not uniform_patches(mean, EVERYWHERE & False, SPACING)


@pytest.mark.parametrize("mean", [0.5, 4.0, 20.0])
def test_poisson_noise_has_its_variation_and_a_white_spectrum(mean):
    counts = np.random.default_rng(1).poisson(mean, (600, 600)).astype(float)
    reading = read_noise(counts, TILES, SPACING)
    assert reading.variation == pytest.approx(1 / math.sqrt(mean), rel=0.05)
    spectrum = (reading.power / np.maximum(reading.samples, 1))[2:10]
    assert np.allclose(spectrum, SPACING**2 / mean, rtol=0.1)  # white noise: pixel area x relative variance


def test_smoothing_moves_the_noise_to_low_frequencies_as_its_filter_says():
    counts = np.random.default_rng(2).poisson(10.0, (600, 600)).astype(float)
    sharp, smooth = (read_noise(image, TILES, SPACING) for image in (counts, ndimage.gaussian_filter(counts, 1.5)))
    assert smooth.variation < sharp.variation / 3
    assert smooth.frequency < 0.6 * sharp.frequency
    frequencies = bin_frequencies()
    transfer = np.exp(-2 * (2 * math.pi * 1.5 * SPACING * frequencies) ** 2 / 2)  # |G(f)|^2
    measured = smooth.power[2] / sharp.power[2]
    assert measured == pytest.approx(transfer[2], rel=0.35)


def test_a_tilted_plane_is_no_noise():
    plane = 5.0 + 0.02 * ROWS + 0.03 * COLUMNS
    assert read_noise(plane, uniform_patches(plane, EVERYWHERE, SPACING), SPACING).variation == pytest.approx(
        0, abs=1e-9
    )
    assert math.isnan(read_noise(plane, [], SPACING).variation)


@pytest.mark.parametrize("sigma_mm", [0.0, 2.4, 4.3, 6.5])
def test_the_blur_that_was_added_is_found(sigma_mm):
    mean, bone = skeleton()
    generator = np.random.default_rng(3)
    scale = blur_scale(mean, bone, EVERYWHERE, SPACING, noisy=False)
    blurred = ndimage.gaussian_filter(mean, sigma_mm / SPACING)
    assert scale.added_fwhm_mm(blurred) == pytest.approx(FWHM * sigma_mm, abs=0.25 + 0.02 * FWHM * sigma_mm)
    noisy = blurred + generator.normal(size=SHAPE)  # the restoration's own noise does not matter
    assert scale.added_fwhm_mm(noisy) == pytest.approx(FWHM * sigma_mm, abs=1.2)


def test_a_noisy_reference_finds_the_same_blur():
    mean, bone = skeleton()
    generator = np.random.default_rng(4)
    blurred = ndimage.gaussian_filter(mean, 4.3 / SPACING)
    found = [
        blur_scale(generator.poisson(mean), bone, EVERYWHERE, SPACING, noisy=True).added_fwhm_mm(blurred)
        for _ in range(8)
    ]
    assert np.mean(found) == pytest.approx(FWHM * 4.3, abs=0.5)
    naive = blur_scale(generator.poisson(mean), bone, EVERYWHERE, SPACING, noisy=False).added_fwhm_mm(blurred)
    assert naive > np.mean(found) + 0.5  # without the correction noise passes for sharpness


def test_no_bone_no_blur():
    mean, bone = skeleton()
    assert math.isnan(blur_scale(mean, bone & False, EVERYWHERE, SPACING, noisy=False).added_fwhm_mm(mean))
    assert (edge_bins(bone & False, EVERYWHERE, SPACING) == -1).all()


def test_the_edge_response_is_that_of_the_blur():
    bone = COLUMNS >= 60
    bins = edge_bins(bone, EVERYWHERE, 1.0)
    pixels = np.bincount(bins[bins >= 0])
    for sigma in (1.5, 3.0):
        response = edge_sums(ndimage.gaussian_filter(bone.astype(float), sigma), bins) / pixels
        assert np.allclose(response, special.ndtr(edge_distances() / sigma), atol=0.03)


def test_hot_spots_of_a_noisy_scan():
    def spot(row, column):
        return np.exp(-((ROWS - row) ** 2 + (COLUMNS - column) ** 2) / (2 * 2.5**2))

    generator = np.random.default_rng(5)
    quiet = generator.poisson(np.full(SHAPE, 8.0))
    assert len(find_hot_spots(quiet, EVERYWHERE, SPACING, 0.3, view=0)) == 0
    (found,) = find_hot_spots(generator.poisson(8.0 + 16 * spot(90, 40)), EVERYWHERE, SPACING, 0.3, view=1)
    assert found.view == 1
    assert (found.row_rapid, found.column_rapid) == pytest.approx((90, 40), abs=1.5)
    assert found.contrast > 0.3
    in_the_air = COLUMNS > 80
    assert not find_hot_spots(generator.poisson(8.0 + 16 * spot(90, 40)), in_the_air, SPACING, 0.3, view=1)
