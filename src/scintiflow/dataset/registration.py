"""How the standard scan lies relative to the rapid one: measured and stored, never applied.

Resampling would correlate the noise of neighbouring pixels; training shifts loss weights instead.
The estimate maximises the correlation of smoothed square-root images, in which bright bladder and
injection site do not outweigh the skeleton (our design). Coarse to fine: phase correlation for whole
pixels, then the enhanced correlation of shift and rotation on smooth images (Gauss-Newton).
"""

from dataclasses import dataclass

import numpy as np
from scipy import fft, ndimage

SMOOTHING_PIXELS = 2.5
COARSE_SMOOTHING_PIXELS = 4.0
LARGEST_SHIFT_SHARE = 0.35  # of the image's side, searched by phase correlation
STEPS_AT_MOST = 25
STRIDE = 2
CONVERGED_PIXELS = 5e-3


@dataclass(frozen=True)
class Registration:
    """Rigid position of one view of the standard scan relative to the rapid scan.

    With c the centre of the image, what the rapid scan shows at r the standard scan shows at
    c + R (r - c) + shift, with R the rotation by `rotation` degrees that turns rows towards columns.
    Without rotation: standard(r + row_shift, c + column_shift) shows what rapid(r, c) shows.

    Attributes:
        row_shift, column_shift: pixels.
        rotation: degrees.
        residual: 1 - correlation of the smoothed square-root images after registration, 0 = identical.
    """

    row_shift: float
    column_shift: float
    rotation: float
    residual: float


def register_view(rapid: np.ndarray, standard: np.ndarray) -> Registration:
    """Register counts `[row, column]` of one view. Images without counts give zeros and residual 1."""
    if rapid.shape != standard.shape or rapid.ndim != 2:
        raise ValueError(f"two views of equal shape are needed, got {rapid.shape} and {standard.shape}")
    if not rapid.any() or not standard.any():
        return Registration(0.0, 0.0, 0.0, 1.0)
    row, column = _whole_pixel_shift(*(_prepared(view, COARSE_SMOOTHING_PIXELS) for view in (rapid, standard)))
    fixed, moving = (_prepared(view, SMOOTHING_PIXELS) for view in (rapid, standard))
    slopes = np.gradient(moving)
    position = np.array([row, column, 0.0])
    residual = 1.0
    arm = max(rapid.shape) / 4  # pixels moved by one radian, for comparing rotation with shift
    for _ in range(STEPS_AT_MOST):
        step, residual = _gauss_newton_step(fixed, moving, slopes, position)
        position = position + step
        if np.abs(step * [1.0, 1.0, arm]).max() < CONVERGED_PIXELS:
            break
    return Registration(float(position[0]), float(position[1]), float(np.degrees(position[2])), float(residual))


def register_pair(rapid: np.ndarray, standard: np.ndarray) -> tuple[Registration, ...]:
    """Register each view of counts `[view, row, column]`."""
    return tuple(register_view(*views) for views in zip(rapid, standard, strict=True))


def _prepared(counts: np.ndarray, smoothing: float) -> np.ndarray:
    """Smoothed counts, then the square root: the variance is nearly constant and bias is small."""
    return np.sqrt(ndimage.gaussian_filter(counts.astype(np.float32), smoothing, mode="constant"))


def _whole_pixel_shift(fixed: np.ndarray, moving: np.ndarray) -> tuple[int, int]:
    """Peak of the circular cross-correlation of zero-padded images, within the searched range."""
    shape = [fft.next_fast_len(2 * side, real=True) for side in fixed.shape]
    spectra = [fft.rfft2(image - image.mean(), shape) for image in (fixed, moving)]
    correlation = fft.irfft2(np.conj(spectra[0]) * spectra[1], shape)
    reach = [int(side * LARGEST_SHIFT_SHARE) for side in fixed.shape]
    rows, columns = (np.arange(-r, r + 1) for r in reach)
    searched = correlation[np.ix_(rows % shape[0], columns % shape[1])]
    best = np.unravel_index(np.argmax(searched), searched.shape)
    return int(rows[best[0]]), int(columns[best[1]])


def _gauss_newton_step(
    fixed: np.ndarray, moving: np.ndarray, slopes: tuple[np.ndarray, ...], position: np.ndarray
) -> tuple[np.ndarray, float]:
    """Best small change of (row shift, column shift, rotation in radians) and the residual before it.

    Solves least squares for the change together with a gain between the two images, so that
    different counts do not matter. Every second pixel of the smooth images is enough.
    """
    centre = (np.array(fixed.shape, dtype=np.float32) - 1) / 2
    y, x = np.indices(fixed.shape, dtype=np.float32)[:, ::STRIDE, ::STRIDE]
    y, x, sampled = (y - centre[0]).ravel(), (x - centre[1]).ravel(), fixed[::STRIDE, ::STRIDE].ravel()
    cosine, sine = np.cos(position[2]), np.sin(position[2])
    where = np.stack(
        [centre[0] + cosine * y - sine * x + position[0], centre[1] + sine * y + cosine * x + position[1]]
    )
    warped, slope_row, slope_column = (
        ndimage.map_coordinates(image, where, order=1, mode="constant") for image in (moving, *slopes)
    )
    turning = slope_row * (-sine * y - cosine * x) + slope_column * (cosine * y - sine * x)
    design = np.stack([slope_row, slope_column, turning, -sampled], axis=1).astype(float)
    normal, target = design.T @ design, -(design.T @ warped)
    solution = np.linalg.solve(normal + 1e-9 * np.trace(normal) * np.eye(4) / 4, target)
    return solution[:3], 1.0 - _correlation(sampled, warped)


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    a, b = one - one.mean(dtype=float), other - other.mean(dtype=float)
    return float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum() + 1e-30))
