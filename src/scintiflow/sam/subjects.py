"""How each modality is shown to SAM and asked about: targets without labels, prompts, and what masks lie on."""

import numpy as np

from scintiflow.modality import Modality
from scintiflow.sam.picture_regions import brightness, picture_prompts, picture_regions
from scintiflow.sam.prompts import Prompts, find_prompts
from scintiflow.sam.pseudo_masks import pseudo_masks
from scintiflow.structures import BODY


def targets_of(modality: Modality, standard: np.ndarray, spacing_mm: float) -> np.ndarray:
    """What adaptation learns from where there are no labels, bool `[structure, pane, row, column]`."""
    find = pseudo_masks if modality.is_counted else picture_regions
    return find(standard, spacing_mm)


def prompts_of(modality: Modality, expected_standard: np.ndarray, spacing_mm: float) -> Prompts:
    """Prompts from the pixels `[plane, row, column]` alone, on the standard scan's scale."""
    find = find_prompts if modality.is_counted else picture_prompts
    return find(expected_standard, spacing_mm)


def pane_counts(modality: Modality, counts: np.ndarray) -> np.ndarray:
    """`[pane, row, column]` in which masks lie: the views of a scan, the brightness of a picture."""
    return counts if modality.is_counted else brightness(counts)


def masks_of_planes(modality: Modality, masks: np.ndarray, planes: int) -> np.ndarray:
    """SAM's masks `[structure, pane, row, column]` as a prior keeps them, `[structure, plane, row, column]`.

    All planes of a picture share its regions, and its frame needs no network.
    """
    if modality.is_counted:
        return masks
    shared = np.repeat(masks, planes, axis=1)
    shared[BODY] = 1
    return shared
