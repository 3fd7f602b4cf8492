"""The opposite view lies where the body lies, mirrored, in whole pixels, and is absent where it was not measured."""

import numpy as np
import pytest

from scintiflow.dataset.examples import Study
from scintiflow.dataset.opposite import mirror_sum, opposite_views, opposite_window
from scintiflow.dataset.patches import PatchSampler

ROWS, COLUMNS = 121, 75


def body(offset: int, seed: int = 0) -> np.ndarray:
    """An asymmetric child in two views: the posterior one mirrored and set off by `offset` columns."""
    generator = np.random.default_rng(seed)
    rows, columns = np.mgrid[:ROWS, :COLUMNS]
    mean = 4.0 * (((rows - 60) / 50) ** 2 + ((columns - 35) / 18) ** 2 < 1)
    mean += 15.0 * (((rows - 40) ** 2 + (columns - 42) ** 2) < 30)
    behind = np.roll(mean[:, ::-1], offset, 1) * 0.8
    return generator.poisson(np.stack([mean, behind]) + 0.05).astype(np.uint16)


@pytest.mark.parametrize("offset", [-7, 0, 5])
def test_the_mirror_is_found_where_the_bodies_meet(offset):
    assert mirror_sum(body(offset)) == COLUMNS - 1 + offset


def test_the_mirror_is_the_same_from_the_back_and_in_faint_scans():
    scan = body(4)
    assert mirror_sum(scan[::-1]) == mirror_sum(scan)
    faint = np.random.default_rng(1).binomial(scan, 0.1).astype(np.uint16)
    assert abs(mirror_sum(faint) - mirror_sum(scan)) <= 1


@pytest.mark.parametrize("shape", [(1, ROWS, COLUMNS), (3, 40, 30), (2, 40, 30)])
def test_without_a_second_view_nothing_is_measured(shape):
    empty = np.zeros(shape, np.uint16)
    assert mirror_sum(empty) == shape[2] - 1
    if shape[0] != 2:
        assert not opposite_views(empty + 1).any()


def test_every_pixel_is_the_mirrored_pixel_of_the_other_view():
    scan, mirror = body(5), COLUMNS + 4
    found = opposite_views(scan)
    for view in range(2):
        for column in range(COLUMNS):
            place = mirror - column
            inside = 0 <= place < COLUMNS
            expected = scan[1 - view][:, place] if inside else np.zeros(ROWS)
            np.testing.assert_array_equal(found[view, 0, :, column], expected)
            assert (found[view, 1, :, column] == inside).all()


def test_the_opposite_of_the_opposite_is_the_view_itself():
    scan, mirror = body(-3), COLUMNS - 4
    rows, columns = slice(10, 50), slice(20, 50)
    there = slice(mirror - columns.stop + 1, mirror - columns.start + 1)
    back = opposite_window(scan, 1, mirror, rows, there)[:, :, ::-1]
    np.testing.assert_array_equal(back[0], scan[0][rows, columns])
    assert (back[1] == 1).all()


def study(offset: int = 0, shifts=((0, 0), (0, 0)), seed: int = 0) -> Study:
    """Both scans are the same counts, so that places can be compared; the rapid scan lies `shifts` off."""
    standard = body(offset, seed)
    moved = [
        np.roll(image, (-rows, -columns), (0, 1)) for image, (rows, columns) in zip(standard, shifts, strict=True)
    ]
    masks = np.zeros((5, *standard.shape), np.uint8)
    masks[0] = 255
    return Study(np.stack(moved), standard, masks, 2.0, shifts)


def sampler(studies, **changes) -> PatchSampler:
    return PatchSampler(studies, **{"patch_pixels": 32, "patches": 200, "thinned_share": 1.0, "seed": 7} | changes)


def test_two_views_change_neither_the_default_batches_nor_their_shape():
    plain = sampler([study()], patches=4).batch(1)
    assert plain.opposite is None
    both = sampler([study()], patches=4, views=2).batch(1)
    assert both.opposite.shape == (4, 2, 32, 32)
    assert both.opposite.dtype == np.float32
    np.testing.assert_array_equal(both.opposite[:, 1][both.opposite[:, 1] > 0], 1)


@pytest.mark.parametrize("thinned_share", [0.0, 1.0])
def test_a_patch_and_its_opposite_show_the_same_part_of_the_child(thinned_share):
    drawn = sampler([study(6, ((2, -3), (2, 3)))], views=2, thinned_share=thinned_share).batch(0)
    known = drawn.opposite[:, 1].mean((1, 2)) == 1
    assert 0.5 < known.mean() <= 1
    here, there = drawn.input[known, 0], drawn.opposite[known, 0]
    pairs = [pair for pair in zip(here, there, strict=True) if pair[0].std() > 1.5]
    agreement = [np.corrcoef(one.ravel(), other.ravel())[0, 1] for one, other in pairs]
    mirrored = [np.corrcoef(one.ravel(), other[:, ::-1].ravel())[0, 1] for one, other in pairs]
    assert np.median(agreement) > 0.6
    assert np.median(agreement) > np.median(mirrored) + 0.1


def test_some_patches_lack_their_opposite_so_that_single_views_are_known():
    drawn = sampler([study()], patches=400, views=2).batch(0)
    assert (drawn.opposite[:, 1].max((1, 2)) == 0).mean() == pytest.approx(0.1, abs=0.05)


def test_the_opposite_view_does_not_know_the_noise_of_the_target():
    flat = np.random.default_rng(2).poisson(6.0, (2, ROWS, COLUMNS)).astype(np.uint16)
    flat_study = Study(flat, flat, np.full((5, 2, ROWS, COLUMNS), 255, np.uint8), 2.0, ((0, 0), (0, 0)))
    drawn = sampler([flat_study], views=2).batch(0)
    seen = drawn.opposite[:, 1] > 0
    correlation = np.corrcoef(drawn.opposite[:, 0][seen], drawn.target[:, 0][seen])[0, 1]
    assert abs(correlation) < 0.03


def test_a_scan_of_one_view_gives_patches_without_opposite():
    both = study()
    single = Study(both.rapid[:1], both.standard[:1], both.masks[:, :1], 2.0, ((0, 0),))
    assert not sampler([single], patches=5, views=2).batch(0).opposite.any()
