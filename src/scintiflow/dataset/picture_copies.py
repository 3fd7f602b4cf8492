"""Frames of one scene under two patients' names: kept out of training where they would meet a held-out frame.

Public sets of pictures repeat frames, resized or compressed anew. Two pictures count as the same if their thumbnails
correlate. Nobody changes split for it, since a patient's split depends on the pseudonym alone (decision 0003): of two
copies in different splits the one that trains is left out, then the one that validates (our design).
"""

from collections.abc import Sequence

import numpy as np
from skimage.transform import resize

SIDE = 24  # pixels of a thumbnail
STRICTEST_FIRST = ("test", "validation", "train")
ROWS_AT_ONCE = 2048


def thumbnail(levels: np.ndarray) -> np.ndarray:
    """Grey thumbnail of `[plane, row, column]`, float32 `[SIDE * SIDE]` of mean 0 and length 1; zeros if uniform."""
    small = resize(levels.mean(axis=0), (SIDE, SIDE), anti_aliasing=True).ravel()
    small -= small.mean()
    length = float(np.linalg.norm(small))
    return (small / length if length > 1e-6 else np.zeros_like(small)).astype(np.float32)


def copies_of_held_out(thumbnails: np.ndarray, splits: Sequence[str], least_correlation: float) -> list[bool]:
    """For each picture whether one of a stricter split (test, then validation) shows the same.

    Args:
        thumbnails: `[picture, pixel]`, see `thumbnail`.
        least_correlation: from which on two pictures are the same.
    """
    rank = np.array([STRICTEST_FIRST.index(split) for split in splits])
    found = np.zeros(len(splits), dtype=bool)
    for mine in range(1, len(STRICTEST_FIRST)):
        stricter = thumbnails[rank < mine]
        places = np.flatnonzero(rank == mine)
        for start in range(0, len(places) if len(stricter) else 0, ROWS_AT_ONCE):
            chosen = places[start : start + ROWS_AT_ONCE]
            found[chosen] = (thumbnails[chosen] @ stricter.T).max(axis=1) >= least_correlation
    return found.tolist()
