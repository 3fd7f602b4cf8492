"""Counts, speeds and pixels that the cohort does not have, made without breaking Poisson statistics.

Only two things turn a Poisson image into another one: keeping each count with some probability (a shorter or
fainter scan) and adding pixels up (coarser pixels, more counts in each). Both are done before the scan is split
into input and target, so that these stay independent. Interpolation, rotation and blur would correlate the
noise and are left to the simulator (our design).
"""

import numpy as np

from scintiflow.params import AugmentationParams


def draw_count_share(params: AugmentationParams, generator: np.random.Generator) -> float:
    """Share of the counts to keep, log-uniform between the smallest share and 1; draws nothing if that is 1."""
    if params.smallest_count_share == 1:
        return 1.0
    return float(np.exp(generator.uniform(np.log(params.smallest_count_share), 0.0)))


def draw_binning(params: AugmentationParams, generator: np.random.Generator) -> bool:
    """Whether to add pixels up; draws nothing if that never happens."""
    return params.binned_share > 0 and bool(generator.random() < params.binned_share)


def kept_share(counts: np.ndarray, share: float, generator: np.random.Generator) -> np.ndarray:
    """Every count kept with probability `share`; the counts themselves, and nothing drawn, for a share of 1."""
    return counts if share == 1 else generator.binomial(counts, share).astype(counts.dtype)


def binned(counts: np.ndarray) -> np.ndarray:
    """Sums of 2 x 2 pixels of `[..., row, column]` with even sides, uint32."""
    *before, rows, columns = counts.shape
    return counts.reshape(*before, rows // 2, 2, columns // 2, 2).sum((-3, -1), dtype=np.uint32)


def binned_masks(masks: np.ndarray) -> np.ndarray:
    """Means of 2 x 2 pixels of uint8 masks `[..., row, column]`, rounded."""
    return ((binned(masks) + 2) // 4).astype(np.uint8)
