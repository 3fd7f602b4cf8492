"""Where hot spots are expected, and where they are: atlas regions, isolated spots in limbs, growing a spot."""

import numpy as np
from scipy import ndimage

from scintiflow.sam.anatomy import Landmarks

SPOT_SMOOTHING_MM = 4.0
SURROUNDINGS_MM = 14.0
SPOT_CONTRAST = 1.0  # of the body's median
MIRROR_RATIO = 1.5
ELBOW_LEVEL = 0.3  # of the way from chin to hip joints; nobody injects above
FEET = 0.6  # of the way from knee to foot
MIRROR_REACH_MM = 30.0  # limbs are never laid exactly symmetrically
TRUNK_HALF_WIDTH = 0.085  # share of stature; farther out are arms and hands


def region(
    marks: Landmarks, rows: tuple[float, float], columns: tuple[float, float], spacing_mm: float
) -> tuple[float, float, float, float]:
    """A box (top, left, bottom, right) in pixels.

    Rows are shares of the way from chin (0) to hip joints (1), columns shares of stature off the midline.
    """
    stature = marks.stature_mm / spacing_mm
    return (
        marks.trunk_row(rows[0]),
        marks.midline + columns[0] * stature,
        marks.trunk_row(rows[1]),
        marks.midline + columns[1] * stature,
    )


def inside(box: tuple[float, float, float, float], shape: tuple[int, ...]) -> np.ndarray:
    """Bool `[row, column]`: pixel centres within a box."""
    row, column = np.ogrid[: shape[0], : shape[1]]
    return (row >= box[0]) & (row <= box[2]) & (column >= box[1]) & (column <= box[3])


def grow(counts: np.ndarray, within: np.ndarray, peak: tuple[int, int], radius: float, level: float) -> np.ndarray:
    """The part around `peak` that stays above `level` of the way from its surroundings to the peak.

    Args:
        counts: smoothed counts `[row, column]`.
        within: bool `[row, column]`, where the spot may reach.
        radius: pixels, how far it may reach.
    """
    row, column = np.ogrid[: counts.shape[0], : counts.shape[1]]
    near = within & (np.hypot(row - peak[0], column - peak[1]) <= radius)
    near[peak] = True
    surroundings = np.percentile(counts[near], 20)
    labels, _ = ndimage.label(near & (counts >= surroundings + level * (counts[peak] - surroundings)))
    return labels == labels[peak]


def both_views(counts: np.ndarray) -> np.ndarray:
    """Anterior plus mirrored posterior counts, float32 `[row, column]` in the anterior's geometry.

    A spot in a thin limb shows in both views at one place, noise does not.
    """
    return counts[0].astype(np.float32) + counts[1, :, ::-1].astype(np.float32)


def limb_spot(
    counts: np.ndarray, body: np.ndarray, marks: Landmarks, spacing_mm: float
) -> tuple[tuple[int, int], bool]:
    """The place in arms or feet that stands out most against its mirror image, and whether it is a hot spot.

    Both are judged on a difference of Gaussians (4 and 14 mm), which a spot passes and a shaft does not.
    A hot spot exceeds everything within 30 mm of its mirror image by half and rises above its
    surroundings by more than they hold: the injection site, if it was not covered.
    """
    height, width = counts.shape
    narrow = ndimage.gaussian_filter(counts, SPOT_SMOOTHING_MM / spacing_mm)
    broad = ndimage.gaussian_filter(counts, SURROUNDINGS_MM / spacing_mm)
    column = np.arange(width)
    row = np.arange(height)[:, None]
    beside = np.abs(column - marks.midline) > TRUNK_HALF_WIDTH * marks.stature_mm / spacing_mm
    near_body = ndimage.binary_dilation(body, iterations=max(1, round(15 / spacing_mm)))
    elbows_and_below = beside[None] & (row > marks.trunk_row(ELBOW_LEVEL)) & (row < marks.knee_row)
    limbs = near_body & (elbows_and_below | (row > marks.knee_row + FEET * (marks.knee_row - marks.hip_row)))
    if not limbs.any():
        return (height // 2, width // 2), False
    contrast = narrow - broad
    strongest_near = ndimage.maximum_filter(contrast, size=2 * max(1, round(MIRROR_REACH_MM / spacing_mm)) + 1)
    mirror = np.clip(np.round(2 * marks.midline - column).astype(int), 0, width - 1)
    excess = np.where(limbs, contrast - MIRROR_RATIO * strongest_near[:, mirror], -np.inf)
    at = int(np.argmax(excess))
    peak = (at // width, at % width)
    return peak, bool(excess[peak] > 0 and contrast[peak] > SPOT_CONTRAST * np.median(narrow[body]))
