"""f^IR1 without torch: the graph agrees with torch, belongs to its weights, and gives equal bits on any cores."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from scintiflow.errors import ScintiflowError
from scintiflow.modality import BONE_SCAN, PICTURE, Modality
from scintiflow.params import changed, load_params
from scintiflow.restoration.cascade import Cascade
from scintiflow.restoration.model_folder import DESCRIPTION, FIRST, GRAPH, REFERENCE_FOLDER
from scintiflow.restoration.onnx_graph import TOLERANCE, export_graph
from scintiflow.restoration.restorer import load_restorer, save_cascade
from scintiflow.restoration.runtime import open_restorer

ROOT = Path(__file__).parents[2]


def scan(*shape: int) -> np.ndarray:
    """Counts with an empty background, a body and something hot."""
    mean = np.full(shape, 0.01)
    mean[:, shape[1] // 8 : -shape[1] // 8, shape[2] // 4 : -shape[2] // 4] = 2.0
    mean[:, shape[1] // 2 : shape[1] // 2 + 4, shape[2] // 2 : shape[2] // 2 + 4] = 400.0
    return np.random.default_rng(shape).poisson(mean).astype(np.uint16)


def worst(first: np.ndarray, second: np.ndarray) -> float:
    return float((np.abs(first - second) / (1 + second)).max())


@pytest.mark.parametrize("shape", [(2, 300, 200), (1, 257, 131)])
def test_the_reference_graph_agrees_with_torch_for_any_rows_and_columns(shape):
    counts = scan(*shape)
    graph = open_restorer(REFERENCE_FOLDER)(counts, 2.3)
    assert worst(graph, load_restorer(REFERENCE_FOLDER)(counts, 2.3)) < TOLERANCE
    assert graph.dtype == np.float32


def test_what_the_graph_cannot_do_torch_does():
    counts = scan(2, 128, 60)  # not larger than a training patch
    small = open_restorer(REFERENCE_FOLDER)(counts, 2.0)
    assert worst(small, load_restorer(REFERENCE_FOLDER)(counts, 2.0)) < TOLERANCE


def test_equal_bits_on_one_core_and_on_two():
    counts = scan(2, 260, 140)
    assert np.array_equal(
        open_restorer(REFERENCE_FOLDER, 1)(counts, 2.0), open_restorer(REFERENCE_FOLDER, 2)(counts, 2.0)
    )


def test_a_graph_of_other_weights_or_a_broken_one_is_refused(tmp_path):
    for name in (FIRST, DESCRIPTION, GRAPH):
        shutil.copy(REFERENCE_FOLDER / name, tmp_path / name)
    content = (tmp_path / GRAPH).read_bytes()
    (tmp_path / GRAPH).write_bytes(content[: len(content) // 2])
    with pytest.raises(ScintiflowError, match="models export"):
        open_restorer(tmp_path)
    weights = (tmp_path / FIRST).read_bytes()
    (tmp_path / FIRST).write_bytes(weights[:-1] + bytes([weights[-1] ^ 1]))
    with pytest.raises(ScintiflowError, match="differs from"):
        open_restorer(tmp_path)


def untrained(folder: Path, modality: Modality = BONE_SCAN, **changes) -> Path:
    """A cascade whose weights are random everywhere, so that every part of it shows in the result."""
    small = {"width": 8, "blocks": [1, 1]}
    recipe = changed(
        load_params(ROOT / "params.yaml").train_cascade,
        patch_pixels=32,
        **{"first": small, "second": small} | changes,
    )
    cascade = Cascade(recipe)
    generator = torch.Generator().manual_seed(7)
    for parameter in cascade.first.parameters():
        parameter.data.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    save_cascade(folder, cascade, recipe, "none", [1.3, 2.5], modality)
    return folder


def test_a_network_that_no_one_graph_can_hold_is_said_and_restores_in_torch(tmp_path):
    folder = untrained(tmp_path, first={"width": 8, "blocks": [1, 1], "backbone": "restormer"})
    with pytest.raises(ScintiflowError, match="restores in torch"):
        export_graph(folder)
    assert not (folder / GRAPH).exists()
    counts = scan(2, 131, 47)
    np.testing.assert_allclose(open_restorer(folder)(counts, 1.7), load_restorer(folder)(counts, 1.7), rtol=1e-5)


@pytest.mark.slow  # torch's exporter takes twenty seconds even for the smallest network
@pytest.mark.parametrize(
    "changes",
    [
        {"views": 2, "count_true_pixels": 4.0},
        {"first": {"width": 8, "blocks": [1, 1], "backbone": "unet"}},
        {"modality": PICTURE, "count_true_pixels": 0.0},  # whose rim is continued by its mirror image
    ],
)
def test_an_exported_graph_agrees_with_torch_and_holds_no_weights(tmp_path, changes):
    folder = untrained(tmp_path, **changes)
    text = export_graph(folder).read_bytes()
    for shape in ((2, 70, 64), (2, 131, 47), (1, 64, 200)):
        counts = scan(*shape)
        assert worst(open_restorer(folder)(counts, 1.7), load_restorer(folder)(counts, 1.7)) < TOLERANCE
    assert FIRST.encode() in text
    assert str(ROOT).encode() not in text  # no path of the machine that made it
