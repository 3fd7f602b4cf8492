"""NAFNet, the default backbone: a U-shaped network of blocks without nonlinear activations.

Chen et al. 2022, arXiv 2204.04676 (layer normalisation, SimpleGate, simplified channel attention). Channel
attention averages over a window of the training patch's size instead of the whole image, so that a
whole-body scan, mostly empty, meets the statistics that training has seen (Chu et al. 2022, arXiv 2112.04491).
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812  the field's usual name
from torch import Tensor, nn

from scintiflow.restoration.backbone import STEM_STRIDE, Backbone


class LayerNorm2d(nn.Module):
    """Layer normalisation over the channels of `[n, channel, row, column]`."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, image: Tensor) -> Tensor:
        last = image.permute(0, 2, 3, 1)
        return F.layer_norm(last, last.shape[-1:], self.weight, self.bias, eps=1e-6).permute(0, 3, 1, 2)


class ChannelAttention(nn.Module):
    """Simplified channel attention: every channel is scaled by a linear map of local channel means."""

    def __init__(self, channels: int, window: int) -> None:
        super().__init__()
        self.window = window
        self.mix = nn.Conv2d(channels, channels, 1)

    def forward(self, image: Tensor) -> Tensor:
        return image * self.mix(local_mean(image, self.window).to(image.dtype))


class NafBlock(nn.Module):
    """One NAFNet block; both branches start switched off (zero scales), so it begins as the identity."""

    def __init__(self, channels: int, window: int) -> None:
        super().__init__()
        self.spatial = nn.Sequential(
            LayerNorm2d(channels),
            nn.Conv2d(channels, 2 * channels, 1),
            nn.Conv2d(2 * channels, 2 * channels, 3, padding=1, groups=2 * channels),
            SimpleGate(),
            ChannelAttention(channels, window),
            nn.Conv2d(channels, channels, 1),
        )
        self.pointwise = nn.Sequential(
            LayerNorm2d(channels),
            nn.Conv2d(channels, 2 * channels, 1),
            SimpleGate(),
            nn.Conv2d(channels, channels, 1),
        )
        self.spatial_scale = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.pointwise_scale = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        image = image + self.spatial(image) * self.spatial_scale
        return image + self.pointwise(image) * self.pointwise_scale


class SimpleGate(nn.Module):
    """The product of both halves of the channels."""

    def forward(self, image: Tensor) -> Tensor:
        first, second = image.chunk(2, dim=1)
        return first * second


class NafNet(Backbone):
    """A U of NAFNet blocks; skipped features are added."""

    def build(self, widths: Sequence[int], blocks: Sequence[int], patch_pixels: int) -> None:
        *sides, middle = blocks
        windows = [max(1, patch_pixels // (STEM_STRIDE * 2**level)) for level in range(len(blocks))]
        self.encoders = nn.ModuleList(_level(widths[i], windows[i], count) for i, count in enumerate(sides))
        self.downs = nn.ModuleList(nn.Conv2d(widths[i], widths[i + 1], 2, stride=2) for i in range(len(sides)))
        self.middle = _level(widths[-1], windows[-1], middle)
        self.ups = nn.ModuleList(
            nn.Sequential(nn.Conv2d(widths[i + 1], 4 * widths[i], 1), nn.PixelShuffle(2)) for i in range(len(sides))
        )
        self.decoders = nn.ModuleList(_level(widths[i], windows[i], count) for i, count in enumerate(sides))

    def refine(self, features: Tensor) -> Tensor:
        skipped = []
        for encoder, down in zip(self.encoders, self.downs, strict=True):
            features = encoder(features)
            skipped.append(features)
            features = down(features)
        features = self.middle(features)
        for up, decoder, skip in zip(reversed(self.ups), reversed(self.decoders), reversed(skipped), strict=True):
            features = decoder(up(features) + skip)
        return features


def local_mean(image: Tensor, window: int) -> Tensor:
    """Mean over a `window` x `window` neighbourhood of every pixel, edges repeated.

    Where the image is not larger than the window this is the plain mean, `[n, channel, 1, 1]`.
    """
    rows, columns = image.shape[-2:]
    if rows <= window and columns <= window:
        return image.mean((2, 3), keepdim=True)
    return _sliding_mean(_sliding_mean(image.float(), min(window, rows), 2), min(window, columns), 3)


def _sliding_mean(image: Tensor, window: int, axis: int) -> Tensor:
    sums = F.pad(image, (0, 0, 1, 0) if axis == 2 else (1, 0)).cumsum(axis, dtype=torch.float64)
    length = image.shape[axis]
    means = (sums.narrow(axis, window, length - window + 1) - sums.narrow(axis, 0, length - window + 1)) / window
    before = (window - 1) // 2
    padding = (before, window - 1 - before)
    return F.pad(means.float(), (0, 0, *padding) if axis == 2 else (*padding, 0, 0), mode="replicate")


def _level(channels: int, window: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(NafBlock(channels, window) for _ in range(count)))
