"""How well masks agree: Dice as a score for people, and the loss that training minimises."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

FOCAL_GAMMA = 2.0  # Lin et al. 2017


def dice(prediction: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Dice `[structure]` over both views of masks `[structure, view, row, column]`; NaN where both are empty.

    Soft masks in 0..1 are allowed: 2 sum(p t) / (sum p^2 + sum t^2), which is the usual Dice for bool masks.
    """
    first, second = (array.astype(np.float32).reshape(len(array), -1) for array in (prediction, target))
    overlap = 2 * np.einsum("si,si->s", first, second)
    total = np.einsum("si,si->s", first, first) + np.einsum("si,si->s", second, second)
    with np.errstate(invalid="ignore"):
        return overlap / total


def mask_loss(logits: Tensor, target: Tensor, focal_weight: float) -> Tensor:
    """Dice + focal_weight x focal, mean over the leading axes of `[..., y, x]` (Kirillov et al. 2023, A).

    The Dice term carries one pixel of smoothing, so that an empty target asks for an empty answer. In
    the focal term (Lin et al. 2017) alpha is each target's inverse class frequency: a bladder is a
    thousandth of the canvas, and with a constant alpha a network that starts from nothing answers
    "nowhere" to every prompt and stays there (seen).
    """
    probability = torch.sigmoid(logits)
    area = (-2, -1)
    inside, outside = target.sum(area), (1 - target).sum(area)
    dice_loss = 1 - (2 * (probability * target).sum(area) + 1) / (probability.sum(area) + inside + 1)
    missed = (target * (1 - probability) ** FOCAL_GAMMA * functional.softplus(-logits)).sum(area)
    invented = ((1 - target) * probability**FOCAL_GAMMA * functional.softplus(logits)).sum(area)
    focal = (missed / (inside + 1) + invented / (outside + 1)) / 2
    return (dice_loss + focal_weight * focal).mean()
