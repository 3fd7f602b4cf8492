"""Resolution: how much sharpness a restoration costs, around the child's own bones.

**Added blur**: the reference is blurred by Gaussians of rising width; the width at which it comes nearest to the
restoration is the blur that the restoration added. The error is nearly a parabola in the variance of the
Gaussian, so its minimum is found between the tried widths. The restoration's noise shifts all errors alike. Where
the reference is a noisy standard scan, its own noise is taken out of the error exactly: a Gaussian g on Poisson
counts S leaves noise of variance (g^2 * S).

**Edge response**: mean counts at each distance from the border of bone, inside positive (our design).
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

SIGMAS_MM = (0.0, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0, 7.0, 8.0)
FWHM = 2.0 * math.sqrt(2.0 * math.log(2.0))
MARGIN_MM = 12.0  # around bone
EDGE_REACH_MM = 8  # on both sides; few bones are wider than twice that
EDGE_BIN_MM = 2  # no finer than a pixel
EDGE_BINS = 2 * EDGE_REACH_MM // EDGE_BIN_MM
TRUNCATE = 4.0  # standard deviations


@dataclass(frozen=True)
class BlurScale:
    """A reference view at rising blur.

    Attributes:
        near_bone: boolean `[row, column]`, the pixels that are compared.
        variances: of each width's kernel, mm^2.
        blurred: float64 `[width, pixel]` of those pixels.
        noise: for each width, the mean variance that the reference's own noise leaves.
    """

    near_bone: np.ndarray
    variances: np.ndarray
    blurred: np.ndarray
    noise: np.ndarray

    def added_fwhm_mm(self, estimate: np.ndarray) -> float:
        """FWHM in mm of the Gaussian that brings the reference nearest to the estimate; NaN without bone."""
        if not self.near_bone.any():
            return math.nan
        values = np.asarray(estimate[self.near_bone], dtype=np.float64)
        errors = ((self.blurred - values) ** 2).mean(axis=1) - self.noise
        return FWHM * math.sqrt(_lowest(self.variances, errors))


def blur_scale(
    reference: np.ndarray, bone: np.ndarray, body: np.ndarray, spacing_mm: float, noisy: bool
) -> BlurScale:
    """Blur one reference view `[row, column]`; `noisy`: it is a scan of Poisson counts, not a mean."""
    counts = np.asarray(reference, dtype=np.float64)
    near = bone & body
    if near.any():
        near = body & (ndimage.distance_transform_edt(~bone) * spacing_mm <= MARGIN_MM)
    variances, blurred, noise = [], [], []
    for sigma_mm in SIGMAS_MM:
        kernel = _kernel(sigma_mm / spacing_mm)
        variances.append(_variance(kernel) * spacing_mm**2)
        blurred.append(_separable(counts, kernel)[near])
        noise.append(float(_separable(counts, kernel**2)[near].mean()) if noisy and near.any() else 0.0)
    return BlurScale(near, np.array(variances), np.array(blurred), np.array(noise))


def edge_bins(bone: np.ndarray, body: np.ndarray, spacing_mm: float) -> np.ndarray:
    """For each pixel its distance bin from the border of bone, 0 = `-EDGE_REACH_MM`; -1 where it is farther off."""
    if not bone.any():
        return np.full(bone.shape, -1)
    # the border runs between pixels, half a pixel from either side's centres
    outside = (ndimage.distance_transform_edt(~bone) - 0.5) * spacing_mm
    inside = (ndimage.distance_transform_edt(bone) - 0.5) * spacing_mm
    signed = np.where(bone, inside, -outside)
    bins = np.floor((signed + EDGE_REACH_MM) / EDGE_BIN_MM).astype(int)
    return np.where(body & (bins >= 0) & (bins < EDGE_BINS), bins, -1)


def edge_distances() -> np.ndarray:
    """Middles of the distance bins in mm."""
    return (np.arange(EDGE_BINS) + 0.5) * EDGE_BIN_MM - EDGE_REACH_MM


def edge_sums(estimate: np.ndarray, bins: np.ndarray) -> np.ndarray:
    """Summed counts for each distance bin."""
    known = bins >= 0
    return np.bincount(bins[known], np.asarray(estimate, dtype=np.float64)[known], EDGE_BINS)


def _lowest(places: np.ndarray, errors: np.ndarray) -> float:
    """Where the parabola through the lowest error and its neighbours is lowest; never outside them."""
    best = int(np.argmin(errors))
    if best == len(errors) - 1:
        return float(places[-1])
    first = max(0, best - 1)
    x, y = places[first : first + 3], errors[first : first + 3]
    curvature, slope, _ = np.polyfit(x, y, 2)
    lowest = -slope / (2 * curvature) if curvature > 0 else x[int(np.argmin(y))]
    return float(np.clip(lowest, x[0], x[-1]))


def _kernel(sigma_pixels: float) -> np.ndarray:
    if sigma_pixels == 0:
        return np.ones(1)
    reach = max(1, round(TRUNCATE * sigma_pixels))
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma_pixels) ** 2)
    return weights / weights.sum()


def _variance(kernel: np.ndarray) -> float:
    """In pixels^2; a narrow Gaussian has another variance once it is sampled."""
    places = np.arange(len(kernel)) - len(kernel) // 2
    return float((kernel * places**2).sum())


def _separable(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    return ndimage.correlate1d(ndimage.correlate1d(image, kernel, axis=0), kernel, axis=1)
