"""Noise texture: how strong the noise is in uniform tissue, and how coarse.

Patches of uniform soft tissue are chosen once for a view, on a smooth reference that all methods share, never on
the picture that is judged. In each patch a plane is taken away and the rest is called noise. Its noise power
spectrum (IEC 62220-1, ICRU 54: |Fourier transform|^2 x pixel area / pixels) is averaged over patches and over
directions and divided by the squared mean, so that methods of different brightness compare. A filter that
smooths moves the power to low frequencies: the noise becomes blotches the size of lesions.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

PATCH_MM = 30.0
PATCHES_AT_MOST = 8  # in one view
LARGEST_VARIATION = 0.15  # of the smooth reference in a patch, plane removed: beyond it the tissue is not uniform
FREQUENCY_STEP = 0.02  # 1/mm, of the averaged spectrum
FREQUENCIES = 11  # bins: 0 to 0.22 per mm


@dataclass(frozen=True)
class NoiseReading:
    """Noise in the patches of one view.

    Attributes:
        variation: standard deviation / mean, averaged over patches; NaN without a patch.
        frequency: mean frequency of the noise power spectrum, 1/mm; NaN without a patch or without noise.
        power, samples: per frequency bin the summed relative power (mm^2) and how many samples were summed.
    """

    variation: float
    frequency: float
    power: np.ndarray
    samples: np.ndarray


def bin_frequencies() -> np.ndarray:
    """Middles of the frequency bins, 1/mm."""
    return (np.arange(FREQUENCIES) + 0.5) * FREQUENCY_STEP


def uniform_patches(smooth: np.ndarray, tissue: np.ndarray, spacing_mm: float) -> list[tuple[slice, slice]]:
    """Up to `PATCHES_AT_MOST` squares that do not overlap and lie in uniform tissue, the most uniform first.

    Args:
        smooth: reference counts `[row, column]` without noise, or nearly so.
        tissue: boolean soft tissue, alike.
    """
    side = patch_pixels(spacing_mm)
    if min(tissue.shape) < side:
        return []
    # origin: a window is named by its first row and column
    share = ndimage.uniform_filter(tissue.astype(np.float64), side, origin=-(side // 2), mode="constant")
    inside = share > 1 - 1e-6
    inside[tissue.shape[0] - side + 1 :] = False
    inside[:, tissue.shape[1] - side + 1 :] = False
    rows, columns = np.nonzero(inside)
    step = max(1, side // 4)
    kept = (rows % step == 0) & (columns % step == 0)
    found = []
    for row, column in zip(rows[kept], columns[kept], strict=True):
        patch = smooth[row : row + side, column : column + side]
        rest, mean = _without_plane(patch)
        variation = float(rest.std()) / mean if mean > 0 else math.inf
        if variation <= LARGEST_VARIATION:
            found.append((variation, int(row), int(column)))
    chosen: list[tuple[int, int]] = []
    for _, row, column in sorted(found):
        if all(abs(row - r) >= side or abs(column - c) >= side for r, c in chosen):
            chosen.append((row, column))
        if len(chosen) == PATCHES_AT_MOST:
            break
    return [(slice(row, row + side), slice(column, column + side)) for row, column in chosen]


def patch_pixels(spacing_mm: float) -> int:
    return max(6, round(PATCH_MM / spacing_mm))


def read_noise(estimate: np.ndarray, patches: list[tuple[slice, slice]], spacing_mm: float) -> NoiseReading:
    """Noise of one view `[row, column]` in the chosen patches."""
    power, samples = np.zeros(FREQUENCIES), np.zeros(FREQUENCIES)
    variations, weighted, total = [], 0.0, 0.0
    for patch in patches:
        rest, mean = _without_plane(np.asarray(estimate[patch], dtype=np.float64))
        if mean <= 0:
            continue
        variations.append(float(rest.std()) / mean)
        spectrum = np.abs(np.fft.fft2(rest)) ** 2 * spacing_mm**2 / rest.size / mean**2
        down, right = (np.fft.fftfreq(length, spacing_mm) for length in rest.shape)
        frequency = np.hypot(down[:, None], right[None, :])
        weighted += float((spectrum * frequency).sum())
        total += float(spectrum.sum())
        place = np.floor(frequency / FREQUENCY_STEP).astype(int)
        known = (place < FREQUENCIES) & (frequency > 0)
        power += np.bincount(place[known], spectrum[known], FREQUENCIES)
        samples += np.bincount(place[known], minlength=FREQUENCIES)
    variation = float(np.mean(variations)) if variations else math.nan
    return NoiseReading(variation, weighted / total if total > 0 else math.nan, power, samples)


def _without_plane(patch: np.ndarray) -> tuple[np.ndarray, float]:
    """The patch minus its least-squares plane, and its mean."""
    mean = float(patch.mean())
    rows, columns = (np.arange(length) - (length - 1) / 2 for length in patch.shape)
    centred = patch - mean
    slope_down = float((centred * rows[:, None]).sum() / ((rows**2).sum() * columns.size))
    slope_right = float((centred * columns[None, :]).sum() / ((columns**2).sum() * rows.size))
    return centred - slope_down * rows[:, None] - slope_right * columns[None, :], mean
