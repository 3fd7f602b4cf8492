"""The cascade f^IR1 -> f^IR2 and its loss.

    f^IR1: (R, k)            -> y1, c1 = y1^2, F1        runs at inference, never sees a mask
    f^IR2: SPI(z, sg(y1), m) -> y2 = sg(y1) + r2, c2 = y2^2, F2   training only
    L = dev(c1, S) + dev(c2, S) + l1 SKD_out + l2 SKD_feat + l3 SCM + l4 L_prior

z are the channels of `counts.CountInput`, m the privileged masks, sg a stop-gradient: no loss of f^IR2 reaches
f^IR1 through y1, and SKD never reaches f^IR2. The order of the networks and the three modules' purpose are the
paper's (arXiv 2503.02321), the equations are ours, and so are L_prior (see `prior_head`) and the mirrored opposite
view as a second input, both off by default.
"""

from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812  the field's usual name
from torch import Tensor, nn

from scintiflow.params import NetworkParams, TrainCascadeParams
from scintiflow.restoration.counts import INPUT_CHANNELS, OPPOSITE_CHANNELS, CountInput, restoration_loss
from scintiflow.restoration.families import build_backbone
from scintiflow.restoration.prior_head import PriorHead, prior_loss
from scintiflow.restoration.scm import semantic_consistency
from scintiflow.restoration.skd import SemanticKnowledgeDistillation
from scintiflow.restoration.spi import SemanticPriorIntegration
from scintiflow.structures import BODY

ROOT_SCALE = 3.0  # roots of counts divided by this are of the order of 1


@dataclass(frozen=True)
class Restored:
    """What a network makes of rapid scans.

    Attributes:
        root: y, `[n, 1, row, column]`, square-root domain.
        counts: y^2, estimated counts of the standard scan.
        features: F at half resolution (sides padded), `[n, width, y, x]`.
        channels: the network's input channels z, at full resolution.
    """

    root: Tensor
    counts: Tensor
    features: Tensor
    channels: Tensor


class FirstNetwork(nn.Module):
    """f^IR1: counts and k in, standard counts out. Has no mask input."""

    def __init__(
        self,
        network: NetworkParams,
        base_blur_pixels: float,
        patch_pixels: int,
        views: int = 1,
        prior_head: bool = False,
    ) -> None:
        super().__init__()
        self.views = views
        self.prepare = CountInput(base_blur_pixels)
        self.backbone = build_backbone(input_channels(views), network, patch_pixels)
        self.prior_head = PriorHead(network.width) if prior_head else None

    def forward(self, counts: Tensor, k: Tensor, opposite: Tensor | None = None, mixed: bool = False) -> Restored:
        """Restore counts.

        Args:
            counts: `[n, 1, row, column]`.
            k: `[n]`.
            opposite: `[n, 2, row, column]`, the mirrored opposite view's counts and 1 where it was measured (see
                `dataset.opposite`); used by a network of two views, for which None is a scan of one view.
            mixed: compute the backbone in bfloat16.
        """
        channels, base = self.prepare(counts, k)
        if self.views == 2:
            channels = torch.cat([channels, self.prepare.opposite(counts, opposite, k)], 1)
        with _arithmetic(channels, mixed):
            residual, features = self.backbone(channels)
        root = base + residual
        return Restored(root, root.square(), features, channels)

    def mask_logits(self, restored: Restored) -> Tensor:
        """What the prior head makes of the features, `[n, structure, row, column]`; ValueError without a head."""
        if self.prior_head is None:
            raise ValueError("this f^IR1 was trained without a prior head")
        return self.prior_head(restored.features, *restored.root.shape[-2:])


class SecondNetwork(nn.Module):
    """f^IR2: refines a detached restoration; with SPI it also sees the privileged masks."""

    def __init__(self, network: NetworkParams, patch_pixels: int, spi: bool, views: int = 1) -> None:
        super().__init__()
        self.backbone = build_backbone(input_channels(views) + 1, network, patch_pixels)
        self.integrate = SemanticPriorIntegration(network.width) if spi else None

    def forward(self, first: Restored, masks: Tensor, mixed: bool = False) -> Restored:
        """Refine `first` (detached here); `masks` `[n, structure, row, column]` are used by SPI alone."""
        root = first.root.detach()
        channels = torch.cat([first.channels, root / ROOT_SCALE], 1)
        with _arithmetic(channels, mixed):
            features = self.backbone.embed(channels)
            if self.integrate is not None:
                features = self.integrate(features, at_feature_size(masks, features))
            features = self.backbone.refine(features)
            residual = self.backbone.residual(features, *root.shape[-2:])
        refined = root + residual
        return Restored(refined, refined.square(), features, channels)


class Cascade(nn.Module):
    """Both networks and the projection of SKD; f^IR1's initial weights depend on the seed alone."""

    def __init__(self, params: TrainCascadeParams) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(params.seed)
            self.first = FirstNetwork(
                params.first,
                params.base_blur_pixels,
                params.patch_pixels,
                params.views,
                prior_head=params.prior_head_weight > 0,
            )
            torch.manual_seed(params.seed + 1)
            self.second = SecondNetwork(params.second, params.patch_pixels, params.spi, params.views)
            self.distil = SemanticKnowledgeDistillation(params.first.width, params.second.width)


@dataclass(frozen=True)
class DistillationWeights:
    """l1, l2, l3 of the loss; a term of weight zero is not computed."""

    output: float
    features: float
    consistency: float


@dataclass(frozen=True)
class Examples:
    """A batch as tensors; see `scintiflow.dataset.patches.Batch`."""

    input: Tensor
    k: Tensor
    target: Tensor
    target_share: Tensor
    masks: Tensor
    opposite: Tensor | None = None
    weight_if_too_low: Tensor | None = None


def input_channels(views: int) -> int:
    """Channels that a network of so many views receives."""
    return INPUT_CHANNELS + (OPPOSITE_CHANNELS if views == 2 else 0)


def first_loss(first: Restored, examples: Examples) -> Tensor:
    """dev(c1, S)."""
    return _deviance(first, examples)


def prior_head_losses(cascade: Cascade, first: Restored, examples: Examples, weight: float) -> dict[str, Tensor]:
    """l4 L_prior by name; nothing for a weight of zero."""
    if not weight:
        return {}
    return {"prior_head": weight * prior_loss(cascade.first.mask_logits(first), examples.masks)}


def cascade_losses(
    cascade: Cascade, first: Restored, examples: Examples, weights: DistillationWeights, mixed: bool = False
) -> dict[str, Tensor]:
    """dev(c2, S) and the weighted distances between both networks, by name; their sum joins dev(c1, S)."""
    second = cascade.second(first, examples.masks, mixed)
    body = _body(examples)
    losses = {
        "deviance_second": _deviance(second, examples),
    }
    masks = at_feature_size(examples.masks, first.features)
    small_body = masks[:, BODY : BODY + 1]
    if weights.output:
        losses["skd_output"] = weights.output * cascade.distil.output_distance(first.root, second.root, body)
    if weights.features:
        distance = cascade.distil.feature_distance(first.features, second.features, small_body)
        losses["skd_feature"] = weights.features * distance
    if weights.consistency:
        distance = semantic_consistency(first.features, second.features, masks, small_body)
        losses["scm"] = weights.consistency * distance
    return losses


def at_feature_size(masks: Tensor, features: Tensor) -> Tensor:
    """Full-resolution masks averaged over the feature pixels, with the backbone's padding."""
    rows, columns = features.shape[-2:]
    missing = 2 * rows - masks.shape[-2], 2 * columns - masks.shape[-1]
    return F.avg_pool2d(F.pad(masks, (0, missing[1], 0, missing[0])), 2)


def _deviance(restored: Restored, examples: Examples) -> Tensor:
    return restoration_loss(
        restored.counts, examples.target, examples.target_share, _body(examples), examples.weight_if_too_low
    )


def _body(examples: Examples) -> Tensor:
    return examples.masks[:, BODY : BODY + 1]


def _arithmetic(like: Tensor, mixed: bool) -> AbstractContextManager:
    return torch.autocast(like.device.type, torch.bfloat16, enabled=mixed)
