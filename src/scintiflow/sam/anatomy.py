"""Where a child's structures are to be expected: body outline, body box and height-scaled landmarks.

Everything is computed from the scan itself and its pixel spacing, so that a new rapid scan can be
treated like a training scan. Proportions change with stature: the head of an infant is a quarter of
its height, an adolescent's an eighth. Landmarks are fractions of the body box's height, linear in
stature between tabled ages (medians of common growth charts; the way they are used is our design).
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from skimage.filters import threshold_otsu

STATURES_MM = (660, 870, 1090, 1335, 1560, 1720)  # medians at 0.5, 2, 5, 9, 13 and 16 years
CHIN_FRACTIONS = (0.235, 0.202, 0.178, 0.157, 0.144, 0.135)
HIP_FRACTIONS = (0.605, 0.56, 0.52, 0.495, 0.48, 0.476)
KNEE_BELOW_HIP = 0.51  # of the way from the hip to the ankle
ANKLE_FRACTION = 0.955
SMOOTHING_MM = 6.0


@dataclass(frozen=True)
class Box:
    """A box of whole pixels; bottom and right are excluded."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def height(self) -> int:
        return self.bottom - self.top

    @property
    def width(self) -> int:
        return self.right - self.left

    def union(self, other: "Box") -> "Box":
        return Box(
            min(self.top, other.top),
            min(self.left, other.left),
            max(self.bottom, other.bottom),
            max(self.right, other.right),
        )


@dataclass(frozen=True)
class Landmarks:
    """Rows and the midline column of one view, in pixels of the scan, and the body's height in mm."""

    chin_row: float
    hip_row: float
    knee_row: float
    midline: float
    stature_mm: float

    def trunk_row(self, fraction: float) -> float:
        """Row at a fraction of the way from the chin (0) to the hip joints (1)."""
        return self.chin_row + fraction * (self.hip_row - self.chin_row)


def body_mask(counts: np.ndarray, spacing_mm: float) -> np.ndarray:
    """The body's outline in one view, bool `[row, column]`.

    Otsu's threshold on smoothed square-root counts. Bone, bladder and the injection site would pull
    the threshold up into the soft tissue, so the image is capped at the median of what was above the
    previous threshold, twice. Kept: everything at least a twentieth of the largest part, holes filled.
    """
    root = smoothed_root(counts, SMOOTHING_MM / spacing_mm)
    if root.max() <= 0:
        return np.zeros(counts.shape, dtype=bool)
    for _ in range(2):
        above = root > threshold_otsu(root)
        root = np.minimum(root, np.median(root[above]))
    mask = ndimage.binary_closing(np.pad(root > threshold_otsu(root), 8), iterations=3)[8:-8, 8:-8]
    labels, parts = ndimage.label(mask)
    if parts == 0:
        return np.zeros(counts.shape, dtype=bool)
    sizes = np.bincount(labels.ravel())[1:]
    kept = 1 + np.flatnonzero(sizes >= sizes.max() / 20)
    return ndimage.binary_fill_holes(np.isin(labels, kept))


def smoothed_root(counts: np.ndarray, sigma_pixels: float) -> np.ndarray:
    """Square root of the Gaussian-smoothed counts, float32 `[row, column]`."""
    return np.sqrt(ndimage.gaussian_filter(counts.astype(np.float32), sigma_pixels))


def body_box(mask: np.ndarray) -> Box:
    """The smallest box around a mask; the whole image if the mask is empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if rows.size == 0:
        return Box(0, 0, *mask.shape)
    return Box(int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)


def landmarks(mask: np.ndarray, spacing_mm: float) -> Landmarks:
    """Height-scaled landmarks from the body's outline in one view.

    The midline is the median column of head and trunk: arms that lie unevenly move it little.
    """
    box = body_box(mask)
    stature = box.height * spacing_mm
    chin = float(np.interp(stature, STATURES_MM, CHIN_FRACTIONS))
    hip = float(np.interp(stature, STATURES_MM, HIP_FRACTIONS))
    knee = hip + KNEE_BELOW_HIP * (ANKLE_FRACTION - hip)
    hip_row = box.top + hip * box.height
    columns = np.nonzero(mask[box.top : max(box.top + 1, int(hip_row))])[1]
    midline = float(np.median(columns)) if columns.size else (box.left + box.right - 1) / 2
    return Landmarks(
        chin_row=box.top + chin * box.height,
        hip_row=hip_row,
        knee_row=box.top + knee * box.height,
        midline=midline,
        stature_mm=stature,
    )
