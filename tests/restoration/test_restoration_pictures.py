"""Training on pixels that are no counts: never thinned, validated on real pairs without any correction."""

from pathlib import Path

import numpy as np
import pytest
from picture_pairs import good_picture, poor_picture

from scintiflow.dataset.examples import Study
from scintiflow.dataset.patches import PatchSampler
from scintiflow.errors import ScintiflowError
from scintiflow.modality import PICTURE
from scintiflow.params import load_params
from scintiflow.restoration.validation import corrected_error, held_out_views, validate_restorer
from scintiflow.stages import train_cascade
from scintiflow.tracking import SilentTracker

ROOT = Path(__file__).parents[2]


def study(seed: int) -> Study:
    good = good_picture(seed)
    low, high = (np.moveaxis(picture, 2, 0).astype(np.uint16) for picture in (poor_picture(good, seed), good))
    masks = np.zeros((5, *high.shape), np.uint8)
    masks[0] = 255
    return Study(low, high, masks, 1.0, ((0, 0),) * 3, PICTURE)


def sampler(thinned_share: float) -> PatchSampler:
    return PatchSampler([study(1), study(2)], patch_pixels=48, patches=4, thinned_share=thinned_share, seed=3)


def test_thinning_a_picture_is_refused():
    with pytest.raises(ScintiflowError, match=r"train_cascade\.thinned_share"):
        sampler(0.1)


def test_keeping_the_levels_of_a_poor_picture_is_refused(monkeypatch, tmp_path):
    recipe = load_params(ROOT / "params.yaml").train_cascade
    assert recipe.count_true_pixels > 0
    monkeypatch.setattr(train_cascade.Dataset, "open", lambda folder: None)
    monkeypatch.setattr(train_cascade, "load_studies", lambda *_: [study(1)])
    (tmp_path / "manifest.parquet").write_bytes(b"any")
    with pytest.raises(ScintiflowError, match=r"train_cascade\.count_true_pixels"):
        train_cascade.run(
            recipe, train_cascade.Inputs(tmp_path, tmp_path), train_cascade.Outputs(tmp_path / "x"), SilentTracker()
        )


def test_the_shipped_recipe_of_pictures_asks_for_neither():
    recipe = load_params(ROOT / "params.yaml", ROOT / "profiles" / "endoscopy.yaml").train_cascade
    assert recipe.thinned_share == recipe.count_true_pixels == 0


def test_patches_are_cut_from_real_pairs_plane_by_plane():
    batch = sampler(0.0).batch(0)
    levels = {study(seed).standard[plane].tobytes() for seed in (1, 2) for plane in range(3)}
    assert batch.input.shape == batch.target.shape == (4, 1, 48, 48)
    assert set(batch.k) == set(batch.target_share) == {1.0}
    whole = [np.frombuffer(content, np.uint16).reshape(72, 96) for content in levels]
    for patch in batch.target[:, 0]:
        assert any(_contains(plane, candidate) for plane in whole for candidate in (patch, patch[:, ::-1]))


def _contains(plane: np.ndarray, patch: np.ndarray) -> bool:
    windows = np.lib.stride_tricks.sliding_window_view(plane, patch.shape)
    places = np.argwhere((windows[..., 0, 0] == patch[0, 0]) & (windows[..., -1, -1] == patch[-1, -1]))
    return any(np.array_equal(windows[tuple(place)], patch) for place in places)


def test_validation_takes_the_plain_error_over_255_levels():
    views = held_out_views([study(5)], seed=1)
    assert len(views) == 3
    expected = [np.mean((view.input - view.target).numpy() ** 2) for view in views]
    assert [corrected_error(view.input, view) for view in views] == pytest.approx(expected, rel=1e-5)
    psnr = validate_restorer(lambda counts, k: counts, views)
    assert psnr == pytest.approx(10 * np.log10(255**2 / np.mean(expected)), abs=1e-3)
