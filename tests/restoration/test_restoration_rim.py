"""What lies beyond an image: nothing beside a body that was scanned, more of the scene around a picture."""

from pathlib import Path

import numpy as np
import pytest
import torch

from scintiflow.modality import BONE_SCAN, PICTURE, Modality
from scintiflow.params import changed, load_params
from scintiflow.restoration.cascade import Cascade
from scintiflow.restoration.restorer import RestorationNetwork, load_network, load_restorer, save_cascade

ROOT = Path(__file__).parents[2]
TILE = 4


def model(folder: Path, modality: Modality, backbone: str) -> Path:
    """A cascade with random weights everywhere: untrained, it would pass the smoothed image on as it is."""
    networks = {"width": 8, "blocks": [1, 1], "backbone": backbone}
    recipe = load_params(ROOT / "params.yaml", ROOT / "profiles" / "endoscopy.yaml").train_cascade
    recipe = changed(recipe, patch_pixels=32, first=networks, second=networks)
    cascade = Cascade(recipe)
    generator = torch.Generator().manual_seed(7)
    for parameter in cascade.first.parameters():
        parameter.data.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    folder.mkdir()
    save_cascade(folder, cascade, recipe, "none", modality=modality)
    return folder


def rim_error(restored: np.ndarray) -> float:
    """The largest relative difference between the rim of a restored constant and its middle, tile by tile.

    A network with random weights draws a pattern that repeats with its coarsest pixel: tiles of that size are equal.
    """
    planes, rows, columns = restored.shape
    tiles = restored.reshape(planes, rows // TILE, TILE, columns // TILE, TILE).swapaxes(2, 3)
    middle = tiles[0, tiles.shape[1] // 2, tiles.shape[2] // 2]
    error = np.abs(tiles / middle - 1).max((0, 3, 4))
    return float(max(error[0].max(), error[-1].max(), error[:, 0].max(), error[:, -1].max()))


@pytest.mark.parametrize("backbone", ["nafnet", "unet", "restormer"])
def test_a_constant_picture_is_as_bright_at_its_rim_as_in_its_middle(tmp_path, backbone):
    folder = model(tmp_path / "model", PICTURE, backbone)
    constant = np.full((3, 72, 96), 40, np.uint16)
    without = RestorationNetwork(load_network(folder).first).eval()
    with torch.no_grad():
        before = without(torch.from_numpy(constant.astype(np.float32))[None], 1.0)[0].numpy()
    after = load_restorer(folder)(constant, 1.0)
    assert rim_error(before) > 0.05, "else this test would see nothing"
    assert rim_error(after) < 0.01


@pytest.mark.parametrize("shape", [(1, 32, 32), (3, 45, 71)])
def test_the_smallest_and_odd_pictures_keep_their_size(tmp_path, shape):
    picture = np.random.default_rng(1).integers(0, 255, shape).astype(np.uint16)
    restored = load_restorer(model(tmp_path / "model", PICTURE, "nafnet"))(picture, 1.0)
    assert restored.shape == shape
    assert np.isfinite(restored).all()


def test_scans_are_restored_by_the_network_alone_to_the_last_bit(tmp_path):
    network = load_network(model(tmp_path / "model", BONE_SCAN, "nafnet"))
    counts = torch.from_numpy(np.random.default_rng(2).poisson(3.0, (1, 1, 70, 50)).astype(np.float32))
    with torch.no_grad():
        alone = network.first(counts, torch.tensor([2.0])).counts
        assert torch.equal(network(counts, 2.0), alone)
