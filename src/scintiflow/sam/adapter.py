"""The adapted SAM on disk: `adapter.pt`, the trained parameters alone, and `sam.json`, what they are.

The base network is rebuilt from its checkpoint (or, for 'small', is contained in the adapter), so an
adapter of the decoder takes 16 MB and not the 375 MB of ViT-B.
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

ADAPTER = "adapter.pt"
DESCRIPTION = "sam.json"


def freeze_all_but(sam: Sam, trainable: str) -> list[torch.nn.Parameter]:
    """Let only the decoder ('decoder') or everything ('all') learn; returns the parameters that do.

    Parameters that no answer depends on (mask input, the quality head, the masks that
    multimask_output=False never returns) get no gradient and stay as they are.
    """
    for name, parameter in sam.named_parameters():
        parameter.requires_grad_(trainable == "all" or name.startswith("mask_decoder."))
    return [parameter for parameter in sam.parameters() if parameter.requires_grad]


def trained_state(sam: Sam, trainable: str) -> dict[str, Tensor]:
    """Copies on the CPU of what training may have changed, by name in the network."""
    return {
        name: value.detach().cpu().clone()
        for name, value in sam.state_dict().items()
        if trainable == "all" or name.startswith("mask_decoder.")
    }


def load_trained_state(sam: Sam, state: dict[str, Tensor]) -> None:
    """Put trained parameters into a freshly built network."""
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
    load_trained_state(sam, torch.load(folder / ADAPTER, map_location="cpu", weights_only=True))
    return sam, description
