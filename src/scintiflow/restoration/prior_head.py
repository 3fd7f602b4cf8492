"""The prior head: f^IR1 says itself where body, bone, kidneys, bladder and injection site are.

    m' = sigmoid(H F1)
    L_prior = BCE(m', m) + mean over structures of 1 - (2 sum m' m + e) / (sum m' + sum m + e)

F1 are f^IR1's features, m the soft masks that SAM made, H two convolutions: SAM distilled into the restorer, so that
semantics are known from the rapid scan alone. The loss shapes F1, and H is only computed when masks are wanted:
restoring costs what it cost without it. Our design; the published method has no such head as far as we know.
"""

import torch
import torch.nn.functional as F  # noqa: N812  the field's usual name
from torch import Tensor, nn

from scintiflow.restoration.backbone import STEM_STRIDE
from scintiflow.restoration.whole_batch import whole_mean, whole_sum
from scintiflow.structures import STRUCTURES

SMOOTHING_PIXELS = 1.0  # e above: a structure that is neither there nor predicted costs nothing


class PriorHead(nn.Module):
    """Features `[n, width, y, x]` at half resolution -> logits of the masks at full resolution."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(width, len(STRUCTURES) * STEM_STRIDE**2, 1),
            nn.PixelShuffle(STEM_STRIDE),
        )

    def forward(self, features: Tensor, rows: int, columns: int) -> Tensor:
        """Logits `[n, structure, row, column]`, cut back to the image's size."""
        return self.layers(features.float())[..., :rows, :columns]


def prior_loss(logits: Tensor, masks: Tensor) -> Tensor:
    """L_prior of logits and soft masks in 0..1, both `[n, structure, row, column]`."""
    predicted = logits.sigmoid()
    shared = whole_sum((predicted * masks).sum((0, 2, 3)))
    total = whole_sum((predicted + masks).sum((0, 2, 3)))
    dice = (2 * shared + SMOOTHING_PIXELS) / (total + SMOOTHING_PIXELS)
    entropy = F.binary_cross_entropy_with_logits(logits, masks)
    return whole_mean(entropy, logits.numel()) + torch.mean(1 - dice)
