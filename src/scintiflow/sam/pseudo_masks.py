"""Targets without manual labels: five masks of a standard scan, from counts and proportions alone.

Body: Otsu. Bone: hysteresis on what stands out from its surroundings and from the soft tissue.
Kidneys and bladder: the spot at the expected place, down to a level between its surroundings and its
peak. Injection site: a hot spot that the other arm or foot does not have; often none.
Sizes in mm scale with the child's stature (our design; no published recipe is followed).
"""

import numpy as np
from scipy import ndimage

from scintiflow.dataset.study import ANTERIOR, POSTERIOR
from scintiflow.sam import spots
from scintiflow.sam.anatomy import Landmarks, body_mask, landmarks, smoothed_root
from scintiflow.structures import BLADDER, BODY, BONE, INJECTION_SITE, KIDNEYS, STRUCTURES

VERSION = 1  # of the recipe; raise it whenever the masks change

BONE_SMOOTHING_MM = 3.0
ADULT_MM = 1700.0

# Regions of a spot's centre: rows from chin (0) to hip joints (1), columns from the midline in shares of stature
KIDNEY_ROWS, KIDNEY_COLUMNS = (0.55, 0.69), (0.028, 0.052)
BLADDER_ROWS, BLADDER_COLUMNS = (0.84, 1.1), (-0.03, 0.03)
BLADDER_RADIUS_MM, INJECTION_RADIUS_MM = 60.0, 16.0
BLADDER_LEVEL, INJECTION_LEVEL, KIDNEY_LEVEL = 0.3, 0.3, 0.4
# A kidney's half length as a share of stature, and its half width as a share of that
KIDNEY_STATURES_MM, KIDNEY_HALF_LENGTHS, KIDNEY_SLENDERNESS = (660, 1090, 1720), (0.048, 0.038, 0.031), 0.48


def pseudo_masks(standard: np.ndarray, spacing_mm: float) -> np.ndarray:
    """Masks of a standard scan, bool `[structure, view, row, column]` in the order of `STRUCTURES`.

    Args:
        standard: counts `[view, row, column]`.
        spacing_mm: side of a pixel.
    """
    masks = np.zeros((len(STRUCTURES), *standard.shape), dtype=bool)
    views = [standard[view].astype(np.float32) for view in (ANTERIOR, POSTERIOR)]
    for view, counts in enumerate(views):
        body = body_mask(counts, spacing_mm)
        if not body.any():
            continue
        marks = landmarks(body, spacing_mm)
        smooth = ndimage.gaussian_filter(counts, spots.SPOT_SMOOTHING_MM / spacing_mm)
        masks[BODY, view] = body
        if view == ANTERIOR:
            site = _injection_site(spots.both_views(standard), body, marks, spacing_mm)
            masks[INJECTION_SITE] = _in_both_views(site, view)
            masks[BLADDER] = _in_both_views(_bladder(smooth, body, marks, spacing_mm), view)
        else:
            masks[KIDNEYS] = _in_both_views(_kidneys(smooth, body, marks, spacing_mm), view)
    masks[KIDNEYS : BLADDER + 1] &= masks[BODY]
    masks[KIDNEYS] &= ~masks[BLADDER]
    for view, counts in enumerate(views):
        masks[BONE, view] = _bone(counts, masks[BODY, view], np.logical_or.reduce(masks[KIDNEYS:, view]), spacing_mm)
    return masks


def _in_both_views(mask: np.ndarray, view: int) -> np.ndarray:
    """`[view, row, column]`: opposed parallel-hole cameras see one silhouette, mirrored about the matrix centre."""
    mirrored = mask[:, ::-1]
    return np.stack([mask, mirrored] if view == ANTERIOR else [mirrored, mask])


def _injection_site(both: np.ndarray, body: np.ndarray, marks: Landmarks, spacing_mm: float) -> np.ndarray:
    peak, isolated = spots.limb_spot(both, body, marks, spacing_mm)
    if not isolated:
        return np.zeros_like(body)
    smooth = ndimage.gaussian_filter(both, spots.SPOT_SMOOTHING_MM / 2 / spacing_mm)
    return spots.grow(smooth, np.ones_like(body), peak, INJECTION_RADIUS_MM / spacing_mm, INJECTION_LEVEL)


def _bladder(smooth: np.ndarray, body: np.ndarray, marks: Landmarks, spacing_mm: float) -> np.ndarray:
    where = spots.inside(spots.region(marks, BLADDER_ROWS, BLADDER_COLUMNS, spacing_mm), smooth.shape)
    peak = _highest(smooth, body & where)
    if peak is None:
        return np.zeros_like(body)
    return spots.grow(smooth, body, peak, BLADDER_RADIUS_MM * marks.stature_mm / ADULT_MM / spacing_mm, BLADDER_LEVEL)


def _kidneys(smooth: np.ndarray, body: np.ndarray, marks: Landmarks, spacing_mm: float) -> np.ndarray:
    """Two kidney-sized ellipses where the counts fit best, or what stands out of their surroundings there.

    A kidney is often fainter than the iliac crest below and the ribs above it; therefore its size and
    place are taken from stature, and only its exact centre and outline from the counts.
    """
    stature = marks.stature_mm / spacing_mm
    half_length = float(np.interp(marks.stature_mm, KIDNEY_STATURES_MM, KIDNEY_HALF_LENGTHS)) * stature
    half_width = KIDNEY_SLENDERNESS * half_length
    shaped = ndimage.gaussian_filter(smooth, (half_length / 2, half_width / 2))
    fit = shaped - ndimage.gaussian_filter(smooth, (half_length, 2 * half_width))
    row, column = np.ogrid[: smooth.shape[0], : smooth.shape[1]]
    found = np.zeros_like(body)
    near, far = KIDNEY_COLUMNS
    for columns in ((-far, -near), (near, far)):
        where = spots.inside(spots.region(marks, KIDNEY_ROWS, columns, spacing_mm), smooth.shape)
        centre = _highest(fit - fit.min(), body & where)
        if centre is None:
            continue
        distance = np.hypot((row - centre[0]) / half_length, (column - centre[1]) / half_width)
        ellipse, ring = distance <= 1, (distance > 1.3) & (distance <= 1.8)
        level = np.median(smooth[ring]) + KIDNEY_LEVEL * (
            np.percentile(smooth[ellipse], 80) - np.median(smooth[ring])
        )
        outlined = ndimage.binary_opening((distance <= 1.15) & (smooth > level))
        found |= outlined if outlined.sum() > 0.5 * ellipse.sum() else ellipse
    return found


def _highest(values: np.ndarray, where: np.ndarray) -> tuple[int, int] | None:
    """Row and column of the largest value in a region, None if there is none above zero."""
    candidates = np.where(where, values, -1)
    row, column = divmod(int(np.argmax(candidates)), values.shape[1])
    return (row, column) if candidates[row, column] > 0 else None


def _bone(counts: np.ndarray, body: np.ndarray, not_bone: np.ndarray, spacing_mm: float) -> np.ndarray:
    """Hysteresis: seeds stand well out of the soft tissue, the rest hangs together with a seed.

    Bone is narrow almost everywhere, so a white top-hat (60 mm) finds it; skull and pelvis are wide and
    are found by their level above the body's soft tissue.
    """
    root = smoothed_root(counts, BONE_SMOOTHING_MM / spacing_mm)
    inside = body & ~ndimage.binary_dilation(not_bone, iterations=max(1, round(6 / spacing_mm)))
    if not inside.any():
        return np.zeros_like(body)
    soft = float(np.percentile(root[inside], 30))
    width = max(3, round(60 / spacing_mm))
    top_hat = ndimage.white_tophat(np.where(body, root, np.minimum(root, soft)), size=(width, width))
    contrast = np.maximum(top_hat, root - 1.25 * soft) / soft
    strong, weak = inside & (contrast > 0.55), inside & (contrast > 0.3)
    labels, _ = ndimage.label(weak)
    seeded = np.unique(labels[strong])
    return ndimage.binary_opening(np.isin(labels, seeded[seeded > 0])) & inside
