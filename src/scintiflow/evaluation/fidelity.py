"""Does a restoration keep what a physician reads: counts, bone uptake, lesions.

One view at a time, arrays `[row, column]` in counts, lengths in mm unless a name says pixels.
The definitions are ours; `METRICS` in definitions.py says them in words for the report.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from scintiflow.phantom.truth import Lesion

MISSED_BELOW = 0.5  # default of `evaluate.missed_below`
HOT_SPOT_EXCESS = 0.3  # default of `evaluate.invented_above`
EYE_SIGMA_MM = 4.0  # detector of false hot spots: Gaussian, about the resolution of the camera
LESION_MARGIN = 2.0  # known lesions are left out up to this many radii when false hot spots are counted
RING = (1.8, 3.5)  # background ring around a lesion, in radii
SMALLEST_RING_PIXELS = 12
SMALLEST_TRUE_CONTRAST = 0.1  # a lesion fainter than that against its ring in the truth is not scored


@dataclass(frozen=True)
class LesionReading:
    """How one known lesion shows in an estimate.

    Attributes:
        recovery: (disc - ring) of the estimate / (disc - ring) of the truth; 1 is perfect.
        contrast_to_noise: (disc - ring) of the estimate / standard deviation of (estimate - truth) in the ring.
        missed: recovery below the threshold that was asked for.
    """

    lesion: Lesion
    true_contrast: float
    recovery: float
    contrast_to_noise: float
    missed: bool


def relative_bias(estimate: np.ndarray, reference: np.ndarray, inside: np.ndarray) -> float:
    """Sum of the estimate / sum of the reference - 1 inside a mask; NaN where the reference holds no counts."""
    total = float(reference[inside].sum(dtype=np.float64))
    return float(estimate[inside].sum(dtype=np.float64)) / total - 1.0 if total > 0 else math.nan


def read_lesions(
    estimate: np.ndarray,
    truth: np.ndarray,
    lesions: list[Lesion],
    body: np.ndarray,
    bone: np.ndarray,
    spacing_mm: float,
    standard_pose: bool = False,
    missed_below: float = MISSED_BELOW,
) -> list[LesionReading]:
    """Read every known lesion of one view. `standard_pose`: the arrays lie in the standard scan's frame.

    A lesion that keeps less than `missed_below` of its true contrast is missed. A lesion whose true contrast
    against its ring is below `SMALLEST_TRUE_CONTRAST` is left out: next to the bladder, for example, no reader
    could see it either.
    """
    distances = [_distance_in_radii(estimate.shape, lesion, spacing_mm, standard_pose) for lesion in lesions]
    anywhere_near = np.zeros(estimate.shape, dtype=bool)
    for distance in distances:
        anywhere_near |= distance < RING[0]
    readings = []
    for lesion, distance in zip(lesions, distances, strict=True):
        disc = distance <= max(1.0, float(distance.min()))
        ring = (distance >= RING[0]) & (distance <= RING[1]) & ~anywhere_near
        in_bone = ring & bone
        ring = in_bone if in_bone.sum() >= SMALLEST_RING_PIXELS else ring & body
        if ring.sum() < SMALLEST_RING_PIXELS:
            continue
        true_signal = float(truth[disc].mean() - truth[ring].mean())
        true_contrast = true_signal / max(float(truth[ring].mean()), 1e-9)
        if true_contrast < SMALLEST_TRUE_CONTRAST:
            continue
        signal = float(estimate[disc].mean() - estimate[ring].mean())
        noise = float(np.std(estimate[ring].astype(np.float64) - truth[ring]))
        recovery = signal / true_signal
        readings.append(
            LesionReading(
                lesion, true_contrast, recovery, signal / noise if noise > 0 else math.nan, recovery < missed_below
            )
        )
    return readings


def count_false_hot_spots(
    estimate: np.ndarray,
    truth: np.ndarray,
    lesions: list[Lesion],
    bone: np.ndarray,
    spacing_mm: float,
    standard_pose: bool = False,
    excess: float = HOT_SPOT_EXCESS,
    beyond_noise: float = 0.0,
) -> int:
    """Spots in bone, away from known lesions, that look like a lesion and are none.

    Estimate and truth are blurred alike (sigma `EYE_SIGMA_MM`); a spot is a connected group of bone pixels
    whose blurred estimate exceeds the blurred truth by more than the share `excess` of it. Where a noisy scan
    stands for the truth, it must also exceed it by `beyond_noise` standard deviations of that scan's noise.
    """
    sigma = EYE_SIGMA_MM / spacing_mm
    seen = ndimage.gaussian_filter(np.asarray(estimate, dtype=np.float64), sigma)
    true = ndimage.gaussian_filter(np.asarray(truth, dtype=np.float64), sigma)
    suspicious = bone & (seen > (1.0 + excess) * true)
    if beyond_noise:
        suspicious &= seen > true + beyond_noise * blurred_noise(true, sigma)
    for lesion in lesions:
        suspicious &= _distance_in_radii(estimate.shape, lesion, spacing_mm, standard_pose) > LESION_MARGIN
    return int(ndimage.label(suspicious, structure=np.ones((3, 3)))[1])


def blurred_noise(mean: np.ndarray, sigma_pixels: float) -> np.ndarray:
    """Standard deviation of Poisson counts of a mean after a Gaussian blur: sqrt(mean / (4 pi sigma^2))."""
    return np.sqrt(np.maximum(mean, 0.0) / (4.0 * math.pi * sigma_pixels**2))


def _distance_in_radii(shape: tuple[int, ...], lesion: Lesion, spacing_mm: float, standard_pose: bool) -> np.ndarray:
    row = lesion.row_standard if standard_pose else lesion.row_rapid
    column = lesion.column_standard if standard_pose else lesion.column_rapid
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return np.hypot(rows - row, columns - column) * spacing_mm / lesion.radius_mm
