"""Semantic Knowledge Distillation (SKD): f^IR1 learns from f^IR2, which has seen the masks.

    SKD_out  = mean over the body of |y1 - sg(y2)|
    SKD_feat = mean over the body of |norm(P F1) - sg(norm(F2))|^2

y are the restored images in the square-root domain, F the features, P a 1 x 1 projection, norm the
layer normalisation over channels, sg stops the gradient: the teacher never bends to the student. The
name is the paper's (arXiv 2503.02321); the equations are inferred by us. P is used in training only.
"""

import torch.nn.functional as F  # noqa: N812  the field's usual name
from torch import Tensor, nn

from scintiflow.restoration.whole_batch import whole_sum


class SemanticKnowledgeDistillation(nn.Module):
    """Both distances, unweighted."""

    def __init__(self, first_channels: int, second_channels: int) -> None:
        super().__init__()
        self.project = nn.Conv2d(first_channels, second_channels, 1)

    def output_distance(self, first_root: Tensor, second_root: Tensor, body: Tensor) -> Tensor:
        """SKD_out of `[n, 1, row, column]` roots; `body` is a weight of the same shape."""
        return body_mean((first_root - second_root.detach()).abs(), body)

    def feature_distance(self, first: Tensor, second: Tensor, body: Tensor) -> Tensor:
        """SKD_feat of features `[n, channel, y, x]`; `body` is a weight `[n, 1, y, x]`."""
        student = _normalised(self.project(first.float()))
        teacher = _normalised(second.detach().float())
        return body_mean((student - teacher).square().mean(1, keepdim=True), body)


def body_mean(values: Tensor, body: Tensor) -> Tensor:
    """Mean of `values` weighted by `body`; 0 where there is no body."""
    return whole_sum((values * body).sum()) / whole_sum(body.sum()).clamp(min=1.0)


def _normalised(features: Tensor) -> Tensor:
    return F.layer_norm(features.permute(0, 2, 3, 1), features.shape[1:2]).permute(0, 3, 1, 2)
