"""Semantic priors as they are stored: one packed file for each study, written by distil_priors.

`<study>.npz` holds, for the rapid and the standard scan,

- `masks_rapid`, `masks_standard`: uint8 soft masks `[structure, view, row, column]`, 0..255 = 0..1;
- `embedding_rapid`, `embedding_standard` (optional): float16 SAM image embeddings `[channel, y, x]`.

A prior of the standard scan is privileged: training may use it, inference never has it.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scintiflow.errors import ScintiflowError
from scintiflow.files import whole_file

INDEX = "priors.json"  # {"key": ..., "dataset_sha256": ..., "sam_sha256": ..., "structures": [...]}


@dataclass(frozen=True)
class Prior:
    """Soft masks in [0, 1] (stored as uint8) and optional SAM embeddings of one study."""

    masks_rapid: np.ndarray
    masks_standard: np.ndarray
    embedding_rapid: np.ndarray | None = None
    embedding_standard: np.ndarray | None = None


def save_prior(path: Path, prior: Prior) -> None:
    arrays = {name: value for name, value in vars(prior).items() if value is not None}
    with whole_file(path) as partial, partial.open("wb") as target:
        np.savez_compressed(target, **arrays)


def load_prior(folder: Path, study: str) -> Prior:
    path = folder / f"{study}.npz"
    if not path.is_file():
        raise ScintiflowError("no prior for this study", where=path, remedy="Run the distil_priors stage again")
    with np.load(path, allow_pickle=False) as packed:
        return Prior(**{name: packed[name] for name in packed.files})
