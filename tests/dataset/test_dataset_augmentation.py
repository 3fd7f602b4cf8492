"""Fewer counts, other speeds, coarser pixels: still Poisson, still independent, still what is expected."""

import numpy as np
import pytest

from scintiflow.dataset.augmentation import binned, binned_masks, draw_count_share, kept_share
from scintiflow.dataset.examples import Study
from scintiflow.dataset.patches import PatchSampler
from scintiflow.errors import ScintiflowError
from scintiflow.params import AugmentationParams

MEAN, ROWS, COLUMNS = 6.0, 150, 90
WIDE = AugmentationParams(smallest_count_share=0.25, accelerations=[1.5, 4.0], binned_share=0.3)


def flat_study(seed: int = 1) -> Study:
    generator = np.random.default_rng(seed)
    rapid, standard = (generator.poisson(MEAN / k, (2, ROWS, COLUMNS)).astype(np.uint16) for k in (2.0, 1.0))
    return Study(rapid, standard, np.full((5, 2, ROWS, COLUMNS), 255, np.uint8), 2.0, ((0, 0), (0, 0)))


def drawn(augmentation, patches=300, **changes):
    settings = {"patch_pixels": 32, "patches": patches, "thinned_share": 1.0, "seed": 7} | changes
    return PatchSampler([flat_study()], augmentation=augmentation, **settings).batch(0)


def test_the_defaults_change_nothing():
    plain, named = (drawn(augmentation, patches=6) for augmentation in (None, AugmentationParams()))
    for name in ("input", "k", "target", "target_share", "masks"):
        np.testing.assert_array_equal(getattr(plain, name), getattr(named, name))


def test_accelerations_cover_their_range():
    k = drawn(AugmentationParams(accelerations=[1.5, 4.0])).k
    assert k.min() < 1.6
    assert k.max() > 3.9
    assert k.min() >= 1.5
    assert k.max() <= 4.0


def test_counts_reach_from_a_quarter_to_the_whole_evenly_in_octaves():
    batch = drawn(AugmentationParams(smallest_count_share=0.25))
    share = (batch.input + batch.target).mean((1, 2, 3)) / MEAN
    assert 0.24 < share.min() < 0.3
    assert 0.9 < share.max() < 1.05
    assert (share < 0.5).mean() == pytest.approx(0.5, abs=0.08)


def test_binned_patches_hold_four_times_the_counts_and_keep_their_size():
    batch = drawn(AugmentationParams(binned_share=0.4))
    counts = (batch.input + batch.target).mean((1, 2, 3)) / MEAN
    assert ((counts > 3.7) & (counts < 4.3)).mean() == pytest.approx(0.4, abs=0.08)
    assert ((counts > 0.8) & (counts < 1.2)).mean() == pytest.approx(0.6, abs=0.08)


def test_wide_examples_stay_unbiased_poisson_and_independent():
    batch = drawn(WIDE, views=2)
    k, share = batch.k.reshape(-1, 1, 1, 1), batch.target_share.reshape(-1, 1, 1, 1)
    scale = (batch.input * k).mean((1, 2, 3)) / (batch.target / share).mean((1, 2, 3))
    assert scale.mean() == pytest.approx(1.0, abs=0.01)
    for image in (batch.input, batch.target):
        fano = image.var((1, 2, 3)) / image.mean((1, 2, 3))
        assert fano.mean() == pytest.approx(1.0, abs=0.02)
    noise = [image - image.mean((1, 2, 3), keepdims=True) for image in (batch.input, batch.target)]
    assert abs(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]) < 0.01


def test_binning_adds_and_never_averages_counts():
    counts = np.arange(24, dtype=np.uint16).reshape(4, 6) + 60000
    summed = binned(counts)
    assert summed.shape == (2, 3)
    assert summed[0, 0] == int(counts[0, 0]) + int(counts[0, 1]) + int(counts[1, 0]) + int(counts[1, 1])
    assert int(summed.sum()) == int(counts.sum(dtype=np.int64))
    masks = np.full((5, 4, 6), 255, np.uint8)
    masks[:, 0, 0] = 0
    assert binned_masks(masks)[0, 0, 0] == 191
    assert binned_masks(masks)[0, 1, 1] == 255


def test_a_share_of_one_draws_nothing():
    generator = np.random.default_rng(3)
    before = generator.bit_generator.state
    counts = np.arange(5, dtype=np.uint16)
    assert kept_share(counts, draw_count_share(AugmentationParams(), generator), generator) is counts
    assert generator.bit_generator.state == before


def test_summed_patches_that_do_not_fit_are_refused():
    with pytest.raises(ScintiflowError, match="do not fit into scans of 150 x 90"):
        drawn(AugmentationParams(binned_share=0.1), patch_pixels=64)


def test_accelerations_must_be_a_range():
    for wrong in ([2.0], [3.0, 2.0], [0.9, 2.0]):
        with pytest.raises(ValueError, match="accelerations"):
            AugmentationParams(accelerations=wrong)
