"""Semantic Consistency Module (SCM): both networks see the same relations between pixels and structures.

    p_s(F)    = sum_x m_s(x) F(x) / sum_x m_s(x)          prototype of structure s
    C_s(F, x) = cos(F(x), p_s(F))                         how much pixel x resembles structure s
    SCM       = mean over body and present structures of (C_s(F1, x) - C_s(F2, x))^2

m are the soft masks, F the features. Relations instead of features are compared, so the networks may differ in
width. Gradients reach both networks; F1 is f^IR1's own, y1 stays detached. The name is the paper's
(arXiv 2503.02321); the equations are inferred by us. The module has no weights of its own.
"""

import torch
import torch.nn.functional as F  # noqa: N812  the field's usual name
from torch import Tensor

from scintiflow.restoration.whole_batch import whole_sum

SMALLEST_REGION_PIXELS = 4.0  # of feature pixels; a smaller region has no trustworthy prototype


def semantic_consistency(first: Tensor, second: Tensor, masks: Tensor, body: Tensor) -> Tensor:
    """SCM of features `[n, channel, y, x]`, masks `[n, structure, y, x]`, body `[n, 1, y, x]`."""
    size = masks.sum((2, 3))
    present = (size >= SMALLEST_REGION_PIXELS).float()[:, :, None, None]
    difference = similarity_maps(first, masks) - similarity_maps(second, masks)
    weight = present * body
    return whole_sum((difference.square() * weight).sum()) / whole_sum(weight.sum()).clamp(min=1.0)


def similarity_maps(features: Tensor, masks: Tensor) -> Tensor:
    """Cosine of every pixel's features with every structure's prototype, `[n, structure, y, x]` in -1..1."""
    features = features.float()
    size = masks.sum((2, 3)).clamp(min=1e-6)
    prototypes = torch.einsum("ncyx,nsyx->nsc", features, masks) / size[:, :, None]
    return torch.einsum(
        "ncyx,nsc->nsyx", F.normalize(features, dim=1, eps=1e-6), F.normalize(prototypes, dim=2, eps=1e-6)
    )
