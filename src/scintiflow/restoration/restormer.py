"""Restormer: a U-shaped network whose attention runs across channels, so that its cost is linear in pixels.

Zamir et al. 2022, arXiv 2111.09881: multi-Dconv head transposed attention (their section 3.1) and gated-Dconv
feed-forward network (3.2). Level i has 2^i heads. As in NAFNet here, statistics over an image are taken
over windows of the training patch's size, since a whole-body scan is mostly empty (Chu et al. 2022,
arXiv 2112.04491): the attention of larger images is computed in windows that tile them.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F  # noqa: N812  the field's usual name
from torch import Tensor, nn

from scintiflow.restoration.backbone import STEM_STRIDE, Backbone
from scintiflow.restoration.nafnet import LayerNorm2d

FEED_FORWARD_EXPANSION = 2.66


class TransposedAttention(nn.Module):
    """Attention of channels to channels; `window` is the side of the region that one attention map covers."""

    def __init__(self, channels: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads, self.window = heads, window
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.project_in = nn.Sequential(
            nn.Conv2d(channels, 3 * channels, 1, bias=False),
            nn.Conv2d(3 * channels, 3 * channels, 3, padding=1, groups=3 * channels, bias=False),
        )
        self.project_out = nn.Conv2d(channels, channels, 1, bias=False)

    def forward(self, image: Tensor) -> Tensor:
        projected = self.project_in(image)
        rows, columns = image.shape[-2:]
        bands = []
        for top, height in _tiles(rows, self.window):
            band = [
                self._attend(projected[..., top : top + height, left : left + width])
                for left, width in _tiles(columns, self.window)
            ]
            bands.append(torch.cat(band, 3))
        return self.project_out(torch.cat(bands, 2))

    def _attend(self, projected: Tensor) -> Tensor:
        number, channels, rows, columns = projected.shape
        shape = number, self.heads, channels // (3 * self.heads), rows * columns
        query, key, value = (part.reshape(shape) for part in projected.chunk(3, dim=1))
        similarity = F.normalize(query, dim=-1) @ F.normalize(key, dim=-1).transpose(-2, -1)
        attended = (similarity * self.temperature).softmax(-1).to(value.dtype) @ value
        return attended.reshape(number, channels // 3, rows, columns)


class GatedFeedForward(nn.Module):
    """One half of the widened channels gates the other."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = int(FEED_FORWARD_EXPANSION * channels)
        self.project_in = nn.Sequential(
            nn.Conv2d(channels, 2 * hidden, 1, bias=False),
            nn.Conv2d(2 * hidden, 2 * hidden, 3, padding=1, groups=2 * hidden, bias=False),
        )
        self.project_out = nn.Conv2d(hidden, channels, 1, bias=False)

    def forward(self, image: Tensor) -> Tensor:
        gate, value = self.project_in(image).chunk(2, dim=1)
        return self.project_out(F.gelu(gate) * value)


class TransformerBlock(nn.Module):
    """Attention, then feed-forward, each normalised before and added after."""

    def __init__(self, channels: int, heads: int, window: int) -> None:
        super().__init__()
        self.attention = nn.Sequential(LayerNorm2d(channels), TransposedAttention(channels, heads, window))
        self.feed_forward = nn.Sequential(LayerNorm2d(channels), GatedFeedForward(channels))

    def forward(self, image: Tensor) -> Tensor:
        image = image + self.attention(image)
        return image + self.feed_forward(image)


class Restormer(Backbone):
    """A U of transformer blocks; `width` must be even, since levels change size by shuffling pixels."""

    def build(self, widths: Sequence[int], blocks: Sequence[int], patch_pixels: int) -> None:
        windows = [max(1, patch_pixels // (STEM_STRIDE * 2**level)) for level in range(len(widths))]
        levels = [
            [
                TransformerBlock(width, 2**level, window)
                for _ in range(2 * count if level < len(widths) - 1 else count)
            ]
            for level, (width, window, count) in enumerate(zip(widths, windows, blocks, strict=True))
        ]
        sides = range(len(widths) - 1)
        self.encoders = nn.ModuleList(nn.Sequential(*levels[i][: blocks[i]]) for i in sides)
        self.downs = nn.ModuleList(
            nn.Sequential(nn.Conv2d(widths[i], widths[i] // 2, 3, padding=1, bias=False), nn.PixelUnshuffle(2))
            for i in sides
        )
        self.middle = nn.Sequential(*levels[-1])
        self.ups = nn.ModuleList(
            nn.Sequential(nn.Conv2d(widths[i + 1], 4 * widths[i], 3, padding=1, bias=False), nn.PixelShuffle(2))
            for i in sides
        )
        self.merges = nn.ModuleList(nn.Conv2d(2 * widths[i], widths[i], 1, bias=False) for i in sides)
        self.decoders = nn.ModuleList(nn.Sequential(*levels[i][blocks[i] :]) for i in sides)

    def refine(self, features: Tensor) -> Tensor:
        skipped = []
        for encoder, down in zip(self.encoders, self.downs, strict=True):
            features = encoder(features)
            skipped.append(features)
            features = down(features)
        features = self.middle(features)
        sides = zip(
            reversed(self.ups), reversed(self.merges), reversed(self.decoders), reversed(skipped), strict=True
        )
        for up, merge, decoder, skip in sides:
            features = decoder(merge(torch.cat([up(features), skip], 1)))
        return features


def _tiles(length: int, window: int) -> list[tuple[int, int]]:
    """Starts and lengths of near-equal parts of `length`, none longer than 1.5 windows, one where it fits."""
    parts = max(1, round(length / window))
    edges = [length * part // parts for part in range(parts + 1)]
    return [(start, end - start) for start, end in pairwise(edges)]
