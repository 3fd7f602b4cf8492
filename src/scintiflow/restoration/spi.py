"""Semantic Prior Integration (SPI): privileged masks modulate the features of f^IR2.

    (g, b) = M(f, m)
    f'     = f (1 + tanh g) + b

f are the features that f^IR2's stem makes of (z, y1), m the soft masks of the five structures. The name
is the paper's (arXiv 2503.02321); the equation is inferred by us, in the manner of feature-wise
modulation (Perez et al. 2018, arXiv 1709.07871), bounded so that a wrong mask cannot switch a feature's sign.
M ends in zeros: at the start f' = f, the network without SPI.
"""

import torch
from torch import Tensor, nn

from scintiflow.structures import STRUCTURES


class SemanticPriorIntegration(nn.Module):
    """Modulates features `[n, channel, y, x]` by masks `[n, structure, y, x]` in 0..1."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mix = nn.Sequential(nn.Conv2d(channels + len(STRUCTURES), channels, 1), nn.GELU())
        self.modulation = nn.Conv2d(channels, 2 * channels, 3, padding=1)
        for parameter in self.modulation.parameters():
            nn.init.zeros_(parameter)

    def forward(self, features: Tensor, masks: Tensor) -> Tensor:
        gain, offset = self.modulation(self.mix(torch.cat([features, masks.to(features.dtype)], 1))).chunk(2, dim=1)
        return features * (1 + gain.tanh()) + offset
