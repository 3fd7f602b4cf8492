"""The adapted SAM on disk: `adapter.pt`, the trained parameters alone, and `sam.json`, what they are.

The base network is rebuilt from its checkpoint (or, for 'small', is contained in the adapter), so an
adapter of ViT-B's decoder takes 16 MB, one of low rank alone 0.6 MB, and not 375 MB.
"""

import io
from pathlib import Path

import torch
from segment_anything.modeling import Sam
from torch import Tensor

from scintiflow.errors import ScintiflowError
from scintiflow.files import read_json, sha256_file, whole_file
from scintiflow.params import SamArchitecture
from scintiflow.sam.build import build_sam
from scintiflow.sam.trainable import Trainable

ADAPTER = "adapter.pt"
DESCRIPTION = "sam.json"


def load_trained_state(sam: Sam, state: dict[str, Tensor]) -> None:
    """Put trained parameters into a freshly built and extended network."""
    unknown = sam.load_state_dict(state, strict=False).unexpected_keys
    if unknown:
        raise KeyError(f"not in this network: {', '.join(unknown)}")


def save_adapter(folder: Path, state: dict[str, Tensor]) -> str:
    """Write `adapter.pt` and return its SHA-256; equal weights give equal bytes."""
    buffer = io.BytesIO()  # a file's name would become part of the archive
    torch.save(state, buffer)
    with whole_file(folder / ADAPTER) as partial:
        partial.write_bytes(buffer.getvalue())
    return sha256_file(folder / ADAPTER)


def load_adapted_sam(folder: Path) -> tuple[Sam, dict]:
    """The adapted network on the CPU in evaluation mode, and the content of `sam.json`.

    Raises ScintiflowError if the folder is not one that adapt_sam wrote, or was changed since.
    """
    if not (folder / DESCRIPTION).is_file() or not (folder / ADAPTER).is_file():
        raise ScintiflowError("holds no adapted SAM", where=folder, remedy="Run the adapt_sam stage first")
    description = read_json(folder / DESCRIPTION)
    if sha256_file(folder / ADAPTER) != description["adapter_sha256"]:
        raise ScintiflowError(
            "does not match the SHA-256 in sam.json", where=folder / ADAPTER, remedy="Run the adapt_sam stage again"
        )
    architecture = SamArchitecture.model_validate(description["architecture"])
    sam, _ = build_sam(architecture, seed=description["provenance"]["seed"])
    Trainable.model_validate(description["trainable"]).extend(sam)
    load_trained_state(sam, torch.load(folder / ADAPTER, map_location="cpu", weights_only=True))
    return sam, description
