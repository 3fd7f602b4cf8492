"""One packed file for each study: the pair of scans, and nothing that could name a child.

A study is `<study>.npz` with the arrays

- `rapid`, `standard`: uint16 counts `[view, row, column]`; view 0 is anterior, view 1 posterior,
  each as the camera sees it (the posterior view is not mirrored). Row 0 is the head end.

Everything else (age, spacing, velocities, registration, split) stands in `manifest.parquet`.
"""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scintiflow.errors import ScintiflowError
from scintiflow.files import whole_file

ANTERIOR, POSTERIOR = 0, 1
VIEWS = ("anterior", "posterior")


@dataclass(frozen=True)
class Pair:
    """Counts of one child at both speeds, uint16 `[view, row, column]`."""

    rapid: np.ndarray
    standard: np.ndarray

    def __post_init__(self) -> None:
        for name in ("rapid", "standard"):
            counts = getattr(self, name)
            if counts.ndim != 3 or counts.dtype != np.uint16:
                raise ValueError(f"{name} must be uint16 [view, row, column], got {counts.dtype} {counts.shape}")
        if self.rapid.shape != self.standard.shape:
            raise ValueError(f"rapid {self.rapid.shape} and standard {self.standard.shape} differ in shape")


def packed_bytes(pair: Pair) -> bytes:
    """The content of a packed study; equal counts give equal bytes."""
    stream = io.BytesIO()
    np.savez_compressed(stream, rapid=pair.rapid, standard=pair.standard)
    return stream.getvalue()


def save_pair(path: Path, pair: Pair) -> None:
    """Write the packed study, whole or not at all."""
    with whole_file(path) as partial:
        partial.write_bytes(packed_bytes(pair))


def load_pair(path: Path) -> Pair:
    """Read a packed study. Raises ScintiflowError if the file is absent or not a packed study."""
    try:
        with np.load(path, allow_pickle=False) as packed:
            return Pair(rapid=packed["rapid"], standard=packed["standard"])
    except (OSError, KeyError, ValueError) as error:
        raise ScintiflowError(
            f"is not a packed study ({type(error).__name__})", where=path, remedy="Run the ingest stage again"
        ) from None
