"""How well masks agree: Dice and IoU as scores for people, and the loss that training minimises."""

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


def iou(prediction: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Intersection over union `[structure]` of bool masks, both views; NaN where both are empty.

    For one pair of masks D = 2 J / (1 + J), so it ranks as Dice does, but its mean over patients does not.
    """
    axes = tuple(range(1, prediction.ndim))
    with np.errstate(invalid="ignore"):
        return (prediction & target).sum(axes) / (prediction | target).sum(axes)


def mask_loss(logits: Tensor, target: Tensor, focal_weight: float) -> Tensor:
    """Dice + focal_weight x focal, mean over the leading axes of `[..., y, x]` (Kirillov et al. 2023, A).

    The Dice term carries one pixel of smoothing, so that an empty target asks for an empty answer. In
    the focal term (Lin et al. 2017) alpha is each target's inverse class frequency: a bladder is a
    thousandth of the canvas, and with a constant alpha a network that starts from nothing answers
    "nowhere" to every prompt and stays there (seen).

    `focal_weight` counts on that alpha. Kirillov et al. weigh 20 : 1 a focal term that is a mean over all
    pixels with a constant alpha of 0.25: for a target of a share q of the canvas it is about q/4 x (what is
    missed) + 3/4 x (what is invented), a few thousandths where q is one. Ours is (missed + invented) / 2
    whatever q is, of the same size as the Dice term, so the weight that keeps their balance is about 1. At 20
    the focal term alone would decide, and with balanced classes that calls a pixel inside as soon as its
    chance exceeds q: small structures come out too large.
    """
    probability = torch.sigmoid(logits)
    area = (-2, -1)
    inside, outside = target.sum(area), (1 - target).sum(area)
    dice_loss = 1 - (2 * (probability * target).sum(area) + 1) / (probability.sum(area) + inside + 1)
    missed = (target * (1 - probability) ** FOCAL_GAMMA * functional.softplus(-logits)).sum(area)
    invented = ((1 - target) * probability**FOCAL_GAMMA * functional.softplus(logits)).sum(area)
    focal = (missed / (inside + 1) + invented / (outside + 1)) / 2
    return (dice_loss + focal_weight * focal).mean()
