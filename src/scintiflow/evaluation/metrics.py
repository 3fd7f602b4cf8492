"""Numbers that say how far an estimate lies from a reference, on counts, with a declared data range.

Everything takes one view: arrays `[row, column]` in counts. `inside` is a boolean mask of the pixels
that count; None means the whole frame. The data range L is a fixed number of counts per pixel, never
an image's own maximum, so that numbers of different children can be compared.

torchmetrics loads torchvision and the compiler of torch, which takes seconds: it is imported where it is called, for
those who come here for an error and a PSNR alone.
"""

import math

import numpy as np
import torch

from scintiflow.evaluation.consistency import SMALLEST_MEAN, unit_deviance

SSIM_WINDOW = 11  # pixels
MS_SSIM_SIDE = 176  # pixels; five scales need more than 160


def mean_squared_error(estimate: np.ndarray, reference: np.ndarray, inside: np.ndarray | None = None) -> float:
    """Mean squared difference in counts^2; NaN for an empty mask."""
    difference = _chosen(estimate, inside) - _chosen(reference, inside)
    return float(np.mean(difference**2)) if difference.size else math.nan


def psnr(estimate: np.ndarray, reference: np.ndarray, data_range: float, inside: np.ndarray | None = None) -> float:
    """Peak signal-to-noise ratio in dB, 10 log10(L^2 / MSE). NaN for an empty mask, inf for equal images."""
    from torchmetrics.functional.image import peak_signal_noise_ratio

    chosen, target = _chosen(estimate, inside), _chosen(reference, inside)
    if chosen.size == 0:
        return math.nan
    return float(peak_signal_noise_ratio(torch.from_numpy(chosen), torch.from_numpy(target), data_range=data_range))


def psnr_of_error(error: float, data_range: float) -> float:
    """PSNR in dB of a mean squared error in counts^2; NaN where the error is not positive."""
    return 10.0 * math.log10(data_range**2 / error) if error > 0 else math.nan


def corrected_error(estimate: np.ndarray, noisy: np.ndarray, inside: np.ndarray | None = None) -> float:
    """Mean squared error against the unknown mean of `noisy`, in counts^2: MSE - mean(noisy).

    Holds in expectation if `noisy` are Poisson counts, independent of the estimate and in register
    with it: E (x - N)^2 = (x - m)^2 + m. A single image's value scatters and may be negative.
    """
    counts = _chosen(noisy, inside)
    return mean_squared_error(estimate, noisy, inside) - float(counts.mean()) if counts.size else math.nan


def corrected_psnr(estimate: np.ndarray, noisy: np.ndarray, data_range: float, inside: np.ndarray) -> float:
    """Noise-corrected PSNR in dB; NaN where the corrected error is not positive."""
    return psnr_of_error(corrected_error(estimate, noisy, inside), data_range)


def ceiling(noisy: np.ndarray, data_range: float, inside: np.ndarray | None = None) -> float:
    """What the perfect estimate scores in PSNR against this noisy scan: 10 log10(L^2 / mean counts), in dB."""
    counts = _chosen(noisy, inside)
    return psnr_of_error(float(counts.mean()), data_range) if counts.size else math.nan


def ssim(estimate: np.ndarray, reference: np.ndarray, data_range: float, inside: np.ndarray | None = None) -> float:
    """Structural similarity (Wang 2004: Gaussian window of sigma 1.5 pixels), its map averaged over the mask.

    NaN for an empty mask or a frame smaller than the 11-pixel window.
    """
    from torchmetrics.functional.image import structural_similarity_index_measure

    if min(estimate.shape) < SSIM_WINDOW or (inside is not None and not inside.any()):
        return math.nan
    if inside is not None:  # far from the mask nothing enters its windows
        box = tuple(
            slice(max(0, int(used.min()) - 2 * SSIM_WINDOW), int(used.max()) + 1 + 2 * SSIM_WINDOW)
            for used in np.nonzero(inside)
        )
        estimate, reference, inside = estimate[box], reference[box], inside[box]
    _, local = structural_similarity_index_measure(
        _as_image(estimate), _as_image(reference), data_range=data_range, return_full_image=True
    )
    similarity = np.squeeze(local.numpy())
    return float(similarity.mean() if inside is None else similarity[inside].mean())


def ms_ssim(estimate: np.ndarray, reference: np.ndarray, data_range: float, inside: np.ndarray) -> float:
    """Multi-scale structural similarity (Wang 2003, five scales) of the box around the mask.

    Its coarse scales know no mask. The box is widened to `MS_SSIM_SIDE` pixels a side as far as the frame
    reaches, since five scales need that many; NaN for an empty mask or a smaller frame.
    """
    from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

    if min(estimate.shape) < MS_SSIM_SIDE or not inside.any():
        return math.nan
    box = tuple(
        _widened(int(used.min()), int(used.max()) + 1, length)
        for used, length in zip(np.nonzero(inside), inside.shape, strict=True)
    )
    found = multiscale_structural_similarity_index_measure(
        _as_image(estimate[box]), _as_image(reference[box]), data_range=data_range
    )
    return float(found)


def poisson_deviance(mean: np.ndarray, counts: np.ndarray, inside: np.ndarray | None = None) -> float:
    """Poisson deviance per pixel of `counts` under the estimated `mean`; about 1 for the truth at high counts.

    Means below `SMALLEST_MEAN` are lifted to it. NaN for an empty mask.
    """
    expected = np.maximum(_chosen(mean, inside), SMALLEST_MEAN)
    observed = _chosen(counts, inside)
    if observed.size == 0:
        return math.nan
    return float(unit_deviance(observed, expected).mean())


def _widened(first: int, last: int, length: int) -> slice:
    missing = max(0, MS_SSIM_SIDE - (last - first))
    first = min(max(0, first - missing // 2), max(0, length - max(MS_SSIM_SIDE, last - first)))
    return slice(first, max(last, first + MS_SSIM_SIDE))


def _chosen(image: np.ndarray, inside: np.ndarray | None) -> np.ndarray:
    return np.asarray(image if inside is None else image[inside], dtype=np.float64)


def _as_image(view: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.array(view, dtype=np.float32))[None, None]  # convolved ten times as fast as float64
