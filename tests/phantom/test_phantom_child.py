"""One simulated child: counts, physics, lesions, masks, reproducibility."""

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from scintiflow.phantom.camera import COLUMNS, ROWS, SPACING_MM
from scintiflow.phantom.child import TC99M_HALF_LIFE_S, Child, Velocities, simulate_child
from scintiflow.structures import BLADDER, BODY, BONE, INJECTION_SITE, KIDNEYS, STRUCTURES

VELOCITIES = Velocities(standard=3.333, rapid=6.667)
AGES = (0.5, 2.0, 6.0, 11.0, 16.0)


def child_of(age: float, index: int, lesions: int = 5) -> Child:
    return simulate_child(77, index, VELOCITIES, 0.5, 16.0, lesions, age=age)


@pytest.fixture(scope="module")
def children() -> list[Child]:
    return [child_of(age, index) for index, age in enumerate(AGES)]


def test_same_seed_and_index_give_the_same_child(children):
    again = child_of(AGES[1], 1)
    assert np.array_equal(again.counts_rapid, children[1].counts_rapid)
    assert np.array_equal(again.counts_standard, children[1].counts_standard)
    assert np.array_equal(again.truth.mean_standard, children[1].truth.mean_standard)
    assert again.truth.lesions == children[1].truth.lesions


def test_another_index_and_another_seed_give_another_child(children):
    assert not np.array_equal(child_of(AGES[1], 2).counts_standard, children[1].counts_standard)
    other = simulate_child(78, 1, VELOCITIES, 0.5, 16.0, 5, age=AGES[1])
    assert not np.array_equal(other.counts_standard, children[1].counts_standard)


def test_ages_fill_the_range_that_was_asked_for():
    ages = [simulate_child(5, index, VELOCITIES, 3.0, 4.0, 0).age for index in range(4)]
    assert all(3.0 <= age <= 4.0 for age in ages)
    assert len(set(ages)) == 4


def test_counts_are_those_of_a_clinical_scan(children):
    for child in children:
        assert child.counts_standard.shape == (2, ROWS, COLUMNS)
        assert child.counts_standard.dtype == child.counts_rapid.dtype == np.uint16
        for view in child.counts_standard:
            assert 0.15e6 <= view.sum() <= 2.0e6


def test_expected_ratio_is_velocity_ratio_times_decay(children):
    for child in children:
        first_is_hotter = 2 ** (child.seconds_between / TC99M_HALF_LIFE_S)
        velocity_ratio = VELOCITIES.rapid / VELOCITIES.standard
        expected = velocity_ratio * (first_is_hotter if child.standard_first else 1 / first_is_hotter)
        assert child.count_ratio == pytest.approx(expected, rel=1e-9)
        # The second scan starts after the first one has ended.
        first_velocity = VELOCITIES.standard if child.standard_first else VELOCITIES.rapid
        assert child.seconds_between > ROWS * SPACING_MM / first_velocity


def test_counted_ratio_is_the_expected_one_within_poisson_error(children):
    for child in children:
        standard, rapid = (counts.sum(dtype=np.float64) for counts in (child.counts_standard, child.counts_rapid))
        error = child.count_ratio * np.sqrt(1 / standard + 1 / rapid)
        posture = 0.004 * child.count_ratio  # limbs move, so what lies over what changes a little
        assert abs(standard / rapid - child.count_ratio) < 4 * error + posture


def test_counts_were_drawn_from_the_stored_means(children):
    for child in children:
        for counts, mean in (
            (child.counts_rapid, child.truth.mean_rapid),
            (child.counts_standard, child.truth.mean_standard),
        ):
            well_filled = mean > 2
            expected, seen = mean[well_filled].astype(np.float64), counts[well_filled].astype(np.float64)
            chi_square = np.mean((seen - expected) ** 2 / expected)
            assert chi_square == pytest.approx(1, abs=5 * np.sqrt(2.5 / well_filled.sum()))
            assert seen.sum() == pytest.approx(expected.sum(), abs=5 * np.sqrt(expected.sum()))


def test_scans_are_acquired_independently(children):
    for child in children:
        truth, body = child.truth, child.truth.masks_rapid[BODY] & child.truth.masks_standard[BODY]
        noise_rapid = (child.counts_rapid - truth.mean_rapid)[body] / np.sqrt(truth.mean_rapid[body])
        noise_standard = (child.counts_standard - truth.mean_standard)[body] / np.sqrt(truth.mean_standard[body])
        assert abs(np.corrcoef(noise_rapid, noise_standard)[0, 1]) < 5 / np.sqrt(body.sum())


def test_the_child_moves_a_little_between_the_scans(children):
    for child in children:
        rapid, standard = (np.argwhere(masks[BODY, 0]).mean(axis=0) * SPACING_MM
                           for masks in (child.truth.masks_rapid, child.truth.masks_standard))  # fmt: skip
        assert 0 < np.linalg.norm(rapid - standard) < 25


def test_lesion_contrast_is_what_the_mean_images_show(children):
    listed = 0
    for child in children:
        for lesion in child.truth.lesions:
            place = [[lesion.row_standard], [lesion.column_standard]]
            with_lesion, without = (
                map_coordinates(mean[lesion.view].astype(float), place, order=1)[0]
                for mean in (child.truth.mean_standard, child.mean_without_lesions)
            )
            assert with_lesion / without - 1 == pytest.approx(lesion.contrast, rel=1e-3)
            assert child.truth.masks_standard[BODY, lesion.view][
                round(lesion.row_standard), round(lesion.column_standard)
            ]
            listed += 1
    assert listed >= 6


def test_lesion_has_the_stated_width_and_place_in_the_picture_of_the_lesions_alone(children):
    for child in children:
        alone = child.truth.mean_standard.astype(float) - child.mean_without_lesions
        for lesion in child.truth.lesions:
            around = np.radians(np.arange(0, 360, 15))
            rim = (
                lesion.row_standard + lesion.radius_mm / SPACING_MM * np.sin(around),
                lesion.column_standard + lesion.radius_mm / SPACING_MM * np.cos(around),
            )
            centre = map_coordinates(alone[lesion.view], [[lesion.row_standard], [lesion.column_standard]], order=3)[
                0
            ]
            at_rim = map_coordinates(alone[lesion.view], rim, order=3)
            assert at_rim.mean() / centre == pytest.approx(0.5, abs=0.05)
            assert np.ptp(at_rim) / centre < 0.15


def test_rapid_place_of_a_lesion_is_its_peak_in_the_rapid_mean(children):
    for child in children:
        for lesion in child.truth.lesions:
            if lesion.contrast < 1:
                continue
            mean = child.truth.mean_rapid[lesion.view]
            row, column = round(lesion.row_rapid), round(lesion.column_rapid)
            patch = mean[row - 3 : row + 4, column - 3 : column + 4]
            assert mean[row, column] > 0.8 * patch.max()


def test_no_lesions_when_none_are_allowed():
    child = child_of(6.0, 9, lesions=0)
    assert child.truth.lesions == ()
    assert np.array_equal(child.truth.mean_standard, child.mean_without_lesions)


def test_number_of_lesions_stays_within_the_limit(children):
    for child in children:
        for view in range(2):
            assert sum(lesion.view == view for lesion in child.truth.lesions) <= 5


def test_every_mask_lies_within_the_body(children):
    for child in children:
        for masks in (child.truth.masks_rapid, child.truth.masks_standard):
            assert masks.shape == (len(STRUCTURES), 2, ROWS, COLUMNS)
            assert not (masks & ~masks[BODY]).any()
            assert masks[BODY].any()
            assert masks[BONE].any(axis=(1, 2)).all()
            assert masks[BLADDER].any(axis=(1, 2)).all()
            # Nothing of the body is cut off by the edge of the picture.
            assert not masks[BODY][:, :, [0, -1]].any()
            assert not masks[BODY][:, [0, -1], :].any()


def test_body_mask_holds_nearly_all_counts_and_views_mirror_each_other(children):
    for child in children:
        body = child.truth.masks_standard[BODY]
        assert child.truth.mean_standard[body].sum() > 0.85 * child.truth.mean_standard.sum()
        assert np.array_equal(body[0], body[1, :, ::-1])


def test_bone_is_brighter_than_the_soft_tissue_around(children):
    for child in children:
        mean, masks = child.truth.mean_standard, child.truth.masks_standard
        soft = masks[BODY] & ~masks[1:].any(axis=0)
        assert mean[masks[BONE]].mean() > 1.8 * mean[soft].mean()


def test_kidneys_are_brighter_from_behind(children):
    for child in children:
        kidneys = child.truth.masks_standard[KIDNEYS, 1]
        from_behind = child.truth.mean_standard[1][kidneys].mean()
        from_front = child.truth.mean_standard[0][:, ::-1][kidneys].mean()
        assert from_behind > 1.2 * from_front


def test_bladder_is_brighter_than_bone(children):
    for child in children:
        mean, masks = child.truth.mean_standard[0], child.truth.masks_standard[:, 0]
        assert mean[masks[BLADDER]].max() > 2 * np.median(mean[masks[BONE]])


def test_injection_site_is_sometimes_seen_and_sometimes_not():
    seen = [
        bool(simulate_child(11, index, VELOCITIES, 0.5, 2.0, 0).truth.masks_standard[INJECTION_SITE].any())
        for index in range(8)
    ]
    assert any(seen)
    assert not all(seen)
