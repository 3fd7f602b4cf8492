"""The plain U-Net: what the other backbones are measured against.

Ronneberger et al. 2015, arXiv 1505.04597: pairs of 3 x 3 convolutions with ReLU, 2 x 2 max pooling down, transposed
convolution up, skipped features concatenated. Convolutions are padded, so that sides are kept, and there is no
normalisation, as in the original: nothing in it depends on the size of the image.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812  the field's usual name
from torch import Tensor, nn

from scintiflow.restoration.backbone import Backbone


class UNet(Backbone):
    """A U of convolution pairs; `blocks` counts the pairs of each level."""

    def build(self, widths: Sequence[int], blocks: Sequence[int], patch_pixels: int) -> None:
        sides = range(len(widths) - 1)
        inputs = [widths[0], *widths]  # a level receives what the level above gives
        self.encoders = nn.ModuleList(_pairs(inputs[i], widths[i], blocks[i]) for i in sides)
        self.middle = _pairs(inputs[len(sides)], widths[-1], blocks[-1])
        self.ups = nn.ModuleList(nn.ConvTranspose2d(widths[i + 1], widths[i], 2, stride=2) for i in sides)
        self.decoders = nn.ModuleList(_pairs(2 * widths[i], widths[i], blocks[i]) for i in sides)

    def refine(self, features: Tensor) -> Tensor:
        skipped = []
        for encoder in self.encoders:
            features = encoder(features)
            skipped.append(features)
            features = F.max_pool2d(features, 2)
        features = self.middle(features)
        for up, decoder, skip in zip(reversed(self.ups), reversed(self.decoders), reversed(skipped), strict=True):
            features = decoder(torch.cat([skip, up(features)], 1))
        return features


def _pairs(inputs: int, outputs: int, count: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for number in range(2 * count):
        convolution = nn.Conv2d(outputs if number else inputs, outputs, 3, padding=1)
        nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")  # the original's initial weights
        layers += [convolution, nn.ReLU()]
    return nn.Sequential(*layers)
