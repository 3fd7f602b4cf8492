"""The folder of a trained cascade, as far as it can be read without torch.

What restores a scan needs f^IR1 alone: `first.safetensors`, `cascade.json`, and, where they are, `first.onnx` (the
network as a graph over these weights, see `onnx_graph`) and `calibration.json` (from when on a restoration
contradicts the counts it was made from, see `evaluation.agreement`).
"""

import json
from pathlib import Path

import scintiflow
from scintiflow.errors import ScintiflowError
from scintiflow.files import read_json, sha256_file
from scintiflow.modality import BONE_SCAN

FIRST, SECOND, DESCRIPTION = "first.safetensors", "second.safetensors", "cascade.json"
GRAPH, CALIBRATION = "first.onnx", "calibration.json"
REFERENCE = "reference"  # the name of the model that the project carries with it, and of its folder
REFERENCE_FOLDER = Path(scintiflow.__file__).parents[2] / REFERENCE


def description_of(cascade_folder: Path) -> dict:
    """What `cascade.json` says. Raises ScintiflowError if the folder is no trained cascade."""
    try:
        return read_json(cascade_folder / DESCRIPTION)
    except (OSError, json.JSONDecodeError):
        raise ScintiflowError(
            "is not a trained cascade", where=cascade_folder, remedy="Run the train_cascade stage first"
        ) from None


def checked_weights(cascade_folder: Path) -> Path:
    """The weights of f^IR1. Raises ScintiflowError if they are absent or not the described ones."""
    weights = cascade_folder / FIRST
    if not weights.is_file() or sha256_file(weights) != checkpoint_sha256(cascade_folder):
        raise ScintiflowError(
            f"is absent or differs from {DESCRIPTION}", where=weights, remedy="Run the train_cascade stage again"
        )
    return weights


def checkpoint_sha256(cascade_folder: Path) -> str:
    """Hex SHA-256 of f^IR1's weights: the identity of what restores."""
    return str(description_of(cascade_folder)["first_sha256"])


def modality_of_cascade(cascade_folder: Path) -> str:
    """Name of the modality that the cascade was trained on; folders written before it was kept are of bone scans."""
    return str(description_of(cascade_folder).get("modality", BONE_SCAN.name))


def trained_accelerations(cascade_folder: Path) -> tuple[float, float] | None:
    """The lowest and highest k that the cascade was trained for; None where it knows its own protocol only."""
    found = description_of(cascade_folder).get("accelerations")
    return (float(found[0]), float(found[1])) if found else None
