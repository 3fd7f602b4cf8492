"""Hot spots of a noisy scan: what stands for the lesions of a real child, whose truth nobody knows.

A hot spot is a connected group of bone pixels that a reader would notice in the standard scan: hotter than the
bone around by a share, and by more than the scan's own noise. Growth plates and joints are hot spots too: they
are physiology, and a restoration must keep them just the same (our design).
"""

import math

import numpy as np
from scipy import ndimage

from scintiflow.evaluation.fidelity import EYE_SIGMA_MM, blurred_noise
from scintiflow.phantom.truth import Lesion

SURROUNDINGS_SIGMA_MM = 20.0  # of the bone that a hot spot is compared with
SIGNIFICANCE = 5.0  # standard deviations of the scan's noise above its surroundings
INVENTED_SIGNIFICANCE = 4.0  # ... by which a restoration must exceed the scan to have invented a spot
SMALLEST_RADIUS_MM = EYE_SIGMA_MM * math.sqrt(2 * math.log(2))


def find_hot_spots(counts: np.ndarray, bone: np.ndarray, spacing_mm: float, excess: float, view: int) -> list[Lesion]:
    """Hot spots of one view `[row, column]` of a scan's counts, hotter than their surroundings by `excess`."""
    if not bone.any():
        return []
    sigma = EYE_SIGMA_MM / spacing_mm
    seen = _mean_inside(counts, bone, sigma)
    around = _mean_inside(counts, bone, SURROUNDINGS_SIGMA_MM / spacing_mm)
    hot = bone & (seen > (1.0 + excess) * around) & (seen > around + SIGNIFICANCE * blurred_noise(around, sigma))
    labels, number = ndimage.label(hot, structure=np.ones((3, 3)))
    spots = []
    for label in range(1, number + 1):
        inside = labels == label
        row, column = ndimage.center_of_mass(seen * inside)
        radius = max(SMALLEST_RADIUS_MM, math.sqrt(float(inside.sum()) / math.pi) * spacing_mm)
        contrast = float((seen[inside] / around[inside]).max()) - 1.0
        spots.append(Lesion(view, row, column, row, column, radius, contrast, "hot spot"))
    return spots


def _mean_inside(counts: np.ndarray, inside: np.ndarray, sigma_pixels: float) -> np.ndarray:
    """Gaussian mean of the pixels inside a mask alone; zero far from it."""
    weight = ndimage.gaussian_filter(inside.astype(np.float64), sigma_pixels)
    total = ndimage.gaussian_filter(np.where(inside, counts, 0.0).astype(np.float64), sigma_pixels)
    return np.divide(total, weight, out=np.zeros_like(total), where=weight > 1e-3)
