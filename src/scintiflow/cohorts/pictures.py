"""The picture of a scan on the cohort's pages: small, and drawn while the counts are at hand.

It depends on the scan alone, so it is made where the scan is taken in, and the pages need not read the objects again.
"""

import math
from collections.abc import Mapping
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from scintiflow.cohorts.workers import spread
from scintiflow.dicom.reading import read_scan
from scintiflow.dicom.scan import Scan

BLACK_COUNTS = 40.0  # counts per pixel shown as black, at BLACK_VELOCITY; fewer in proportion for a faster scan
BLACK_VELOCITY = 10 / 3  # mm/s: 20 cm/min
SMALLER = 4  # a picture has a quarter of the scan's rows and columns
QUALITY = 85  # of the JPEG; a pair takes ten to twenty KiB
SUFFIX = ".jpg"
LONGEST_SECONDS_PER_SCAN = 60.0


def save_picture(place: Path, scan: Scan) -> None:
    """Draw `scan` beside its object at `place`. Neither synced nor under a temporary name."""
    place.with_suffix(SUFFIX).write_bytes(draw(scan.counts, scan.velocity_mm_s))


def draw_missing(objects: Mapping[str, Path], folder: Path, workers: int) -> dict[str, Path]:
    """Pictures of `objects`, by the same keys, drawn in `folder`. One that could not be drawn is not there."""
    drawn = {name: (folder / name).with_suffix(SUFFIX) for name in objects}
    spread(
        partial(_draw_object, folder=folder),
        list(objects.items()),
        workers=workers,
        seconds=LONGEST_SECONDS_PER_SCAN,
        preload=__name__,
    )
    return {name: picture for name, picture in drawn.items() if picture.exists()}


def _draw_object(named: tuple[str, Path], folder: Path) -> None:
    name, path = named
    save_picture(folder / name, read_scan(path))


def draw(counts: np.ndarray, velocity_mm_s: float) -> bytes:
    """JPEG of counts `[view, row, column]`, views side by side, dark where there are counts, as bone scans are read.

    Each of its pixels is the mean of 4 x 4; grey falls with the square root, to black at as many counts as
    BLACK_COUNTS comes to at this velocity.
    """
    sums = _block_sums(counts)
    black = BLACK_COUNTS * BLACK_VELOCITY / velocity_mm_s * SMALLER**2
    levels = np.sqrt(np.arange(math.ceil(black) + 1) / black)
    greys = (255 * (1 - np.minimum(levels, 1))).astype(np.uint8)
    target = BytesIO()
    Image.fromarray(np.hstack([*greys.take(sums, mode="clip")])).save(target, format="JPEG", quality=QUALITY)
    return target.getvalue()


def _block_sums(counts: np.ndarray) -> np.ndarray:
    """Sums of 4 x 4 counts; what is left over at the lower and right edge is left out."""
    views, rows, columns = counts.shape
    whole = counts[:, : rows - rows % SMALLER, : columns - columns % SMALLER]
    wide = np.uint16 if int(counts.max()) * SMALLER**2 <= np.iinfo(np.uint16).max else np.uint32
    of_rows = np.add.reduce(whole.reshape(views, -1, SMALLER, whole.shape[2]), axis=2, dtype=wide)
    return np.add.reduce([of_rows[..., first::SMALLER] for first in range(SMALLER)], axis=0, dtype=wide)
