"""Patches: aligned by whole pixels, independent of their target, seeded, biased to the body."""

import hashlib
import time

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage

from scintiflow.dataset.manifest import COLUMNS, STUDIES, Dataset, save_manifest
from scintiflow.dataset.patches import PatchSampler, Study, aligned_pair, load_studies
from scintiflow.dataset.priors import Prior, save_prior
from scintiflow.dataset.study import Pair, save_pair
from scintiflow.errors import ScintiflowError

ROWS, COLUMNS_OF_SCAN = 150, 90
SHIFTS = ((5, -3), (-4, 2))


def coded_study(shifts=SHIFTS) -> Study:
    """Counts that tell their own place: the standard scan is the rapid one, moved, and so are its masks."""
    place = np.arange(ROWS * COLUMNS_OF_SCAN, dtype=np.uint16).reshape(ROWS, COLUMNS_OF_SCAN) + 1
    rapid = np.stack([place, place + 20000])
    standard = np.stack([np.roll(image, shift, (0, 1)) for image, shift in zip(rapid, shifts, strict=True)])
    masks = (standard % 251).astype(np.uint8)[None].repeat(5, 0)
    return Study(rapid, standard, masks, 2.0, tuple(shifts))


def noisy_study(seed: int, mean: float = 6.0) -> Study:
    generator = np.random.default_rng(seed)
    expected = np.full((2, ROWS, COLUMNS_OF_SCAN), mean)
    masks = np.zeros((5, 2, ROWS, COLUMNS_OF_SCAN), np.uint8)
    masks[0, :, 60:100, 30:60] = 255
    rapid, standard = (generator.poisson(expected / k).astype(np.uint16) for k in (2.0, 1.0))
    return Study(rapid, standard, masks, 2.0, ((0, 0), (0, 0)))


def sampler(studies, **changes) -> PatchSampler:
    settings = {"patch_pixels": 32, "patches": 8, "thinned_share": 0.0, "seed": 7} | changes
    return PatchSampler(studies, **settings)


@pytest.mark.parametrize("view", [0, 1])
def test_a_synthetic_shift_is_undone_over_the_whole_view(view):
    example = aligned_pair(coded_study(), view)
    np.testing.assert_array_equal(example.input, example.target)
    np.testing.assert_array_equal(example.masks[0], (example.input % 251).astype(np.uint8))
    lost = np.abs(SHIFTS[view])
    assert example.input.shape == (ROWS - lost[0], COLUMNS_OF_SCAN - lost[1])


def test_real_patches_are_aligned_flips_included_and_never_resampled():
    drawn = sampler([coded_study()], patches=64).batch(0)
    np.testing.assert_array_equal(drawn.input, drawn.target)
    np.testing.assert_allclose(drawn.masks[:, 0] * 255, drawn.input[:, 0] % 251 % 256, atol=1e-3)
    assert (drawn.target_share == 1).all()
    steps = np.unique(np.diff(drawn.input[:, 0], axis=2))
    assert set(steps) == {-1, 1}  # both orientations occur, and neighbours stay neighbours


def test_thinned_patches_split_the_standard_scan_and_keep_masks_in_place():
    study = coded_study()
    drawn = sampler([study], patches=32, thinned_share=1.0).batch(3)
    total = drawn.input + drawn.target
    np.testing.assert_allclose(drawn.masks[:, 0] * 255, total[:, 0] % 251, atol=1e-3)
    np.testing.assert_allclose(drawn.target_share, 1 - 1 / drawn.k, rtol=1e-6)
    assert 1.7 <= drawn.k.min() < drawn.k.max() <= 2.3


@pytest.mark.parametrize("thinned_share", [0.0, 1.0])
def test_no_target_contains_the_noise_of_its_input(thinned_share):
    drawn = sampler([noisy_study(1), noisy_study(2)], patches=300, thinned_share=thinned_share).batch(0)
    correlation = np.corrcoef(drawn.input.ravel(), drawn.target.ravel())[0, 1]
    assert abs(correlation) < 0.03  # A against S would give 0.7


@pytest.mark.parametrize("thinned_share", [0.0, 1.0])
def test_input_and_target_have_the_promised_expectations(thinned_share):
    drawn = sampler([noisy_study(1)], patches=300, thinned_share=thinned_share).batch(0)
    assert (drawn.input * drawn.k.reshape(-1, 1, 1, 1)).mean() == pytest.approx(6.0, rel=0.02)
    assert (drawn.target / drawn.target_share.reshape(-1, 1, 1, 1)).mean() == pytest.approx(6.0, rel=0.02)


def test_the_share_of_thinned_patches_is_kept():
    drawn = sampler([noisy_study(1)], patches=400, thinned_share=0.25).batch(0)
    assert (drawn.target_share < 1).mean() == pytest.approx(0.25, abs=0.06)


def test_patches_prefer_the_body_and_still_visit_elsewhere():
    drawn = sampler([noisy_study(1)], patches=300, thinned_share=1.0).batch(0)
    body = drawn.masks[:, 0].mean((1, 2))
    assert np.median(body) > 0.4  # drawn anywhere the median would be about 0.1
    assert body.min() < 0.05


def test_a_batch_depends_on_seed_and_step_alone():
    studies = [noisy_study(1), noisy_study(2)]
    used = sampler(studies, thinned_share=0.5)
    used.batch(0)
    later, fresh = used.batch(5), sampler(studies, thinned_share=0.5).batch(5)
    for name in vars(later):
        np.testing.assert_array_equal(getattr(later, name), getattr(fresh, name))
    assert not np.array_equal(later.input, used.batch(6).input)
    assert not np.array_equal(later.input, sampler(studies, thinned_share=0.5, seed=8).batch(5).input)


def test_patches_shrink_to_small_scans_and_tiny_overlaps_are_refused():
    assert sampler([coded_study()], patch_pixels=128).patch_shape == (128, COLUMNS_OF_SCAN - 3)
    with pytest.raises(ScintiflowError, match="smallest scan leaves patches of 32 x 20"):
        sampler([coded_study(((0, 70), (0, 0)))])


def test_sampling_costs_far_less_than_a_training_step():
    drawing = sampler([noisy_study(1)], patch_pixels=64, patches=8, thinned_share=1.0)
    drawing.batch(0)
    started = time.process_time()
    for step in range(10):
        drawing.batch(step)
    assert (time.process_time() - started) / 10 < 0.05


def written(tmp_path, masks_shape=(5, 2, ROWS, COLUMNS_OF_SCAN), study: Study | None = None) -> Dataset:
    study = study or coded_study()
    save_pair(tmp_path / "dataset" / STUDIES / "a.npz", Pair(study.rapid, study.standard))
    masks = np.zeros(masks_shape, np.uint8)
    save_prior(tmp_path / "priors" / "a.npz", Prior(masks, masks))
    row = {name: "" if kind == "string" else 0 for name, kind in COLUMNS.items()}
    row |= {"study": "a", "patient": "p", "split": "train", "count_ratio": 2.06}
    for view, name in enumerate(("anterior", "posterior")):
        row[f"row_shift_{name}"] = SHIFTS[view][0] + 0.3
        row[f"column_shift_{name}"] = SHIFTS[view][1] - 0.4
    save_manifest(tmp_path / "dataset", [row])
    return Dataset.open(tmp_path / "dataset")


def test_studies_carry_whole_pixel_shifts_and_the_count_ratio(tmp_path):
    (study,) = load_studies(written(tmp_path), tmp_path / "priors", "train")
    assert study.shifts == SHIFTS
    assert study.k == pytest.approx(2.06)


def test_masks_of_the_rapid_scan_are_moved_to_the_standard_scan_and_know_nothing_of_it(tmp_path):
    dataset, coded = written(tmp_path), coded_study()
    masks_rapid = (coded.rapid % 251).astype(np.uint8)[None].repeat(5, 0)
    save_prior(tmp_path / "priors" / "a.npz", Prior(masks_rapid, np.full_like(masks_rapid, 7)))
    (privileged,) = load_studies(dataset, tmp_path / "priors", "train")
    assert (privileged.masks == 7).all()
    (study,) = load_studies(dataset, tmp_path / "priors", "train", masks_from="rapid")
    for view in range(2):
        example = aligned_pair(study, view)
        np.testing.assert_array_equal(example.masks[0], example.input % 251)
        _, _, rows, columns = study.overlap(view)
        uncovered = np.ones((ROWS, COLUMNS_OF_SCAN), bool)
        uncovered[rows, columns] = False
        assert not study.masks[:, view][:, uncovered].any()


@pytest.mark.parametrize(("masks_from", "knows"), [("standard", True), ("rapid", False)])
def test_only_masks_of_the_standard_scan_know_the_noise_of_the_target(tmp_path, masks_from, knows):
    study = noisy_study(4)

    def segmented(counts: np.ndarray) -> np.ndarray:
        smooth = ndimage.gaussian_filter(counts.astype(float), (0, 1.5, 1.5))
        return ((smooth > np.median(smooth)) * np.uint8(255))[None].repeat(5, 0)

    dataset = written(tmp_path, study=study)
    save_prior(tmp_path / "priors" / "a.npz", Prior(segmented(study.rapid), segmented(study.standard)))
    studies = load_studies(dataset, tmp_path / "priors", "train", masks_from)
    drawn = sampler(studies, thinned_share=1.0, patches=300).batch(0)
    correlation = np.corrcoef(drawn.masks[:, 0].ravel(), drawn.target.ravel())[0, 1]
    assert (correlation > 0.08) == knows
    assert knows or abs(correlation) < 0.03


def test_the_default_batches_are_those_of_every_earlier_version():
    """Guards the order of draws: a recipe must go on giving the data that it gave."""
    digest = hashlib.sha256()
    drawing = sampler([noisy_study(1), noisy_study(2)], thinned_share=0.5)
    for step in range(3):
        batch = drawing.batch(step)
        for array in (batch.input, batch.k, batch.target, batch.target_share, batch.masks):
            digest.update(array.tobytes())
    assert digest.hexdigest() == "9f54e7c6327434c42454a16085c40e46e8562b8552eca207d17f76c7d31019af"


def test_an_empty_split_and_a_foreign_prior_are_refused(tmp_path):
    with pytest.raises(ScintiflowError, match="no validation studies"):
        load_studies(written(tmp_path), tmp_path / "priors", "validation")
    with pytest.raises(ScintiflowError, match="do not belong"):
        load_studies(written(tmp_path, (5, 2, 8, 8)), tmp_path / "priors", "train")
    assert isinstance(written(tmp_path).table, pd.DataFrame)
