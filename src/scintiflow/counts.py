"""The identity of a scan's counts, by which a simulated child's truth is found after de-identification."""

import hashlib

import numpy as np


def counts_sha256(counts: np.ndarray) -> str:
    """Hex SHA-256 of counts `[view, row, column]` as little-endian uint16, C order."""
    return hashlib.sha256(np.ascontiguousarray(counts, dtype="<u2").data).hexdigest()
