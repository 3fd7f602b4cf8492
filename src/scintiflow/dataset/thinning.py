"""Binomial thinning: a faster scan made from a slower one, with a target that is independent of it.

Every count of a standard scan S is kept with probability p. The kept counts A are distributed like a
scan of p times the duration, and A and S - A are independent Poisson images (splitting property of the
Poisson process). A is therefore a training input whose fair target is S - A.

A and S are not independent, because S contains A. A network trained on A -> S learns to copy the noise of its input,
scores above the ceiling of a perfect restoration against S, and is worse than a Gaussian filter
against the truth. For that reason nothing here returns A without S - A, and S itself is never a target.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ThinnedPair:
    """Two independent parts of one scan, integer counts of the scan's shape and type.

    Attributes:
        input: A, the kept counts; E[A] = p E[S].
        k: 1 / p, the expected standard / input count ratio.
        target: S - A; E[S - A] = target_share x E[S].
        target_share: 1 - p.
    """

    input: np.ndarray
    k: float
    target: np.ndarray
    target_share: float


def thinned_pair(standard: np.ndarray, k: float, generator: np.random.Generator) -> ThinnedPair:
    """Split a scan into an input that is k times poorer in counts and the independent rest.

    Args:
        standard: non-negative integer counts, any shape.
        k: expected ratio of the scan's to the input's counts, above 1.
        generator: source of randomness; equal state gives equal parts.

    Raises:
        ValueError: if k does not exceed 1 or the counts are not non-negative integers.
    """
    if not k > 1:
        raise ValueError(f"k must exceed 1, got {k}")
    if not np.issubdtype(standard.dtype, np.integer) or (standard.size and int(standard.min()) < 0):
        raise ValueError(f"only non-negative integer counts can be thinned, got {standard.dtype}")
    kept = generator.binomial(standard, 1.0 / k).astype(standard.dtype)
    return ThinnedPair(input=kept, k=float(k), target=standard - kept, target_share=1.0 - 1.0 / k)
