"""f^IR1 as an ONNX graph, for machines that should restore without torch.

The graph holds no weights of its own: its large tensors are references into `first.safetensors` beside it (ONNX calls
that external data), so the weights stay one file with one SHA-256, which the graph names. Rows and columns are free
above the side of a training patch; one view goes in at a time.

- `counts` float32 `[1, 1, row, column]`, `k` float32 `[1]`, for a network of two views also `opposite` float32
  `[1, 2, row, column]` as `dataset.opposite` makes it;
- `restored` float32 `[1, 1, row, column]`.
"""

import hashlib
import json
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from scintiflow.errors import ScintiflowError
from scintiflow.files import whole_file
from scintiflow.restoration.model_folder import FIRST, GRAPH, checked_weights, checkpoint_sha256, description_of
from scintiflow.restoration.restorer import RestorationNetwork, load_network
from scintiflow.restoration.runtime import WEIGHTS_PROPERTY

TOLERANCE = 1e-4  # largest difference from torch: of counts relative to 1 + counts; a test holds it
UNROLLED = ("restormer",)  # backbones whose operations depend on the image's size
ODD_ROWS, ODD_COLUMNS = 45, 11  # more than a patch: sides without a common divisor, so that none is taken for fixed
SMALLEST_REFERENCE_BYTES = 64  # smaller tensors stay in the graph
SAFETENSORS_HEADER = 8  # bytes that say how long the header is


def export_graph(cascade_folder: Path) -> Path:
    """Write `first.onnx` beside the weights of f^IR1; returns its path.

    Raises ScintiflowError if the folder is no trained cascade, its weights are not the described ones, or its network
    cannot be one graph for all sizes.
    """
    network, description = load_network(cascade_folder), description_of(cascade_folder)
    if description["first"]["backbone"] in UNROLLED:
        raise ScintiflowError(
            "a Restormer cuts an image into as many tiles as its size asks for, so no one graph fits all sizes",
            where=cascade_folder,
            remedy="Nothing to do: it restores in torch",
        )
    model = _exported(network, int(description["patch_pixels"]))
    _refer_to(checked_weights(cascade_folder), model)
    _sign(model, checkpoint_sha256(cascade_folder))
    with whole_file(cascade_folder / GRAPH) as partial:
        partial.write_bytes(model.SerializeToString(deterministic=True))
    return cascade_folder / GRAPH


class _OneView(nn.Module):
    """What is exported."""

    def __init__(self, network: RestorationNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, counts: Tensor, k: Tensor, opposite: Tensor | None = None) -> Tensor:
        return self.network.one_view(counts, k, opposite)


def _exported(network: RestorationNetwork, patch_pixels: int) -> onnx.ModelProto:
    rows, columns = 2 * patch_pixels + ODD_ROWS, patch_pixels + ODD_COLUMNS
    free = {2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC}
    inputs: tuple[Tensor, ...] = (torch.ones(1, 1, rows, columns), torch.tensor([2.0]))
    shapes: tuple[dict | None, ...] = (free, None)
    if network.first.views == 2:
        inputs, shapes = (*inputs, torch.ones(1, 2, rows, columns)), (*shapes, free)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            _OneView(network).eval(),
            inputs,
            dynamo=True,
            verbose=False,
            dynamic_shapes=shapes,
            input_names=["counts", "k", "opposite"][: len(inputs)],
            output_names=["restored"],
        )
    assert program is not None
    return program.model_proto


def _refer_to(weights: Path, model: onnx.ModelProto) -> None:
    """Let tensors whose bytes lie in the weights' file refer to them there."""
    content = weights.read_bytes()
    start = SAFETENSORS_HEADER + int.from_bytes(content[:SAFETENSORS_HEADER], "little")
    places = {}
    for name, entry in json.loads(content[SAFETENSORS_HEADER:start]).items():
        if name != "__metadata__":
            first, last = (start + offset for offset in entry["data_offsets"])
            places[hashlib.sha256(content[first:last]).digest()] = (first, last - first)
    for tensor in model.graph.initializer:
        data = np.ascontiguousarray(numpy_helper.to_array(tensor)).tobytes()
        found = places.get(hashlib.sha256(data).digest())
        if found is None or len(data) < SMALLEST_REFERENCE_BYTES:
            continue
        for field in ("raw_data", "float_data"):
            tensor.ClearField(field)
        tensor.data_location = onnx.TensorProto.EXTERNAL
        del tensor.external_data[:]
        for key, value in (("location", FIRST), ("offset", found[0]), ("length", found[1])):
            tensor.external_data.add(key=key, value=str(value))


def _sign(model: onnx.ModelProto, sha256: str) -> None:
    """Name the weights; forget the places in the source where nodes were made, which are paths of this machine."""
    for node in model.graph.node:
        del node.metadata_props[:]
        node.ClearField("doc_string")
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        del value.metadata_props[:]
        value.ClearField("doc_string")
    del model.graph.metadata_props[:]
    del model.metadata_props[:]
    model.metadata_props.add(key=WEIGHTS_PROPERTY, value=sha256)
