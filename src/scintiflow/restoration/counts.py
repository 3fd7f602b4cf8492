"""Counts in, counts out: the square-root domain and the loss that keeps a restoration true to counts.

A count image times k is blurred by Gaussians and brought to the square-root domain, where Poisson noise
has the same size everywhere. A network corrects the root of the narrowest blur, and the square of the
corrected root is the estimate. With a correction of zero the estimate is exactly the Gaussian filter.
Our design; the published method states none of it.
"""

import torch
import torch.nn.functional as F  # noqa: N812  the field's usual name
from torch import Tensor, nn

from scintiflow.restoration.whole_batch import whole_mean, whole_sum

ANSCOMBE_OFFSET = 0.375
TRUNCATE_SIGMAS = 4.0
WIDER_BLURS = (2.0, 4.0)  # further blurred copies, as multiples of the base blur: context at once
INPUT_CHANNELS = 3 + len(WIDER_BLURS)
OPPOSITE_CHANNELS = INPUT_CHANNELS  # the same without the noise level, and where the view was measured
FEWEST_COUNTS = 0.01  # counts per pixel: where next to nothing was measured, nothing is scaled
DEVIANCE_OFFSET = 0.05  # counts per pixel, see poisson_deviance


class CountInput(nn.Module):
    """Rapid counts and k -> network channels and the root that the network corrects."""

    def __init__(self, base_blur_pixels: float) -> None:
        super().__init__()
        self.base_blur_pixels = base_blur_pixels

    def forward(self, counts: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        """Prepare the input of f^IR1.

        Args:
            counts: rapid counts `[n, 1, row, column]`.
            k: expected standard / rapid count ratio `[n]`.

        Returns:
            channels `[n, INPUT_CHANNELS, row, column]`, all of the order of 1, and the root of the
            blurred k R `[n, 1, row, column]`, counts of the standard scan under the root.
        """
        scaled = counts * k.view(-1, 1, 1, 1)
        base = gaussian_blur(scaled, self.base_blur_pixels).sqrt()
        wider = [gaussian_blur(scaled, factor * self.base_blur_pixels).sqrt() for factor in WIDER_BLURS]
        noisy = (scaled + ANSCOMBE_OFFSET).sqrt()
        noise = (k.sqrt() / 2).view(-1, 1, 1, 1).expand_as(counts)  # standard deviation of `noisy`
        channels = [noisy - base, base / 3, *(base - copy for copy in wider), noise]
        return torch.cat(channels, 1), base

    def opposite(self, counts: Tensor, opposite: Tensor | None, k: Tensor) -> Tensor:
        """Channels of the opposite view, `[n, OPPOSITE_CHANNELS, row, column]`: zeros where it was not measured.

        `opposite` is `[n, 2, row, column]`, its counts and 1 where it was measured; None stands for nothing measured.
        """
        if opposite is None:
            return counts.new_zeros(len(counts), OPPOSITE_CHANNELS, *counts.shape[-2:])
        channels, _ = self(opposite[:, :1], k)
        measured = opposite[:, 1:]
        return torch.cat([channels[:, :-1] * measured, measured], 1)


def gaussian_blur(image: Tensor, sigma: float) -> Tensor:
    """Gaussian filter of `[n, channel, row, column]`, edges repeated, kernel cut off at 4 sigma.

    Equal to `scipy.ndimage.gaussian_filter(image, sigma, mode="nearest")` for every image.
    """
    radius = int(TRUNCATE_SIGMAS * sigma + 0.5)
    offsets = torch.arange(-radius, radius + 1, dtype=image.dtype, device=image.device)
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    kernel = kernel / kernel.sum()
    number, channels, rows, columns = image.shape
    flat = image.reshape(number * channels, 1, rows, columns)
    flat = F.conv2d(F.pad(flat, (0, 0, radius, radius), mode="replicate"), kernel.view(1, 1, -1, 1))
    flat = F.conv2d(F.pad(flat, (radius, radius, 0, 0), mode="replicate"), kernel.view(1, 1, 1, -1))
    return flat.reshape(image.shape)


def count_true(estimate: Tensor, measured: Tensor, sigma_pixels: float) -> Tensor:
    """The estimate, scaled so that its counts around each pixel are those that were measured there.

    Around means weighted by a Gaussian. Over thousands of pixels the measured counts are known to a few parts in a
    thousand, better than any network knows them; what is finer than the Gaussian stays as the network drew it.

    Args:
        estimate: expected counts `[n, 1, row, column]`.
        measured: counts on the same scale (k times the rapid counts), same shape.
        sigma_pixels: of the Gaussian.
    """
    known, drawn = (gaussian_blur(image, sigma_pixels) for image in (measured, estimate))
    return estimate * (known + FEWEST_COUNTS) / (drawn + FEWEST_COUNTS)


def poisson_deviance(expected: Tensor, observed: Tensor) -> Tensor:
    """Poisson deviance of each pixel, 2 (e - o + o log(o / e)), both raised by DEVIANCE_OFFSET.

    The deviance is a Bregman divergence: its expectation over `observed` is smallest where `expected` is the
    conditional mean, and adding a constant to both sides leaves that so. The offset keeps the
    gradient finite where nothing is expected. Equal to scikit-learn's `mean_poisson_deviance` before averaging.
    """
    expected, observed = expected + DEVIANCE_OFFSET, observed + DEVIANCE_OFFSET
    return 2 * (expected - observed + observed * torch.log(observed / expected))


def restoration_loss(
    standard: Tensor, target: Tensor, target_share: Tensor, body: Tensor, weight_if_too_low: Tensor | None = None
) -> Tensor:
    """Poisson deviance, averaged over the body's pixels plus averaged over all pixels.

    Its minimum is the conditional mean, which gives up the contrast of what the counts hardly show. Where
    `weight_if_too_low` is not zero, an estimate below its target weighs more than one above it, and the minimum is a
    higher expectile. The target must then be an expected picture: the noise of a measured one would be taken for
    contrast.

    Args:
        standard: estimated standard counts `[n, 1, row, column]`.
        target: observed counts of the same shape, E[target] = target_share x E[standard].
        target_share: `[n]`.
        body: soft mask of the body `[n, 1, row, column]`, a weight and nothing more.
        weight_if_too_low: joins `body` where the estimate is below its target; same shape.
    """
    estimate = standard * target_share.view(-1, 1, 1, 1)
    deviance = poisson_deviance(estimate, target)
    weight = body if weight_if_too_low is None else body + weight_if_too_low * (estimate < target)
    over_the_body = whole_sum((deviance * weight).sum()) / whole_sum(body.sum()).clamp(min=1.0)
    return over_the_body + whole_mean(deviance.mean(), deviance.numel())
