"""One view of one study, prepared once for all methods: reference, regions, lesions, blurred references."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from scintiflow.evaluation.cases import Case, Rectangle, body_and_parts, case_overlap
from scintiflow.evaluation.hot_spots import find_hot_spots
from scintiflow.evaluation.noise import uniform_patches
from scintiflow.evaluation.resolution import BlurScale, blur_scale, edge_bins, edge_sums
from scintiflow.params import EvaluateParams
from scintiflow.phantom.truth import Lesion

PATCH_SMOOTHING_PIXELS = 4.0  # of a noisy reference, where no truth says which tissue is uniform


@dataclass(frozen=True)
class Look:
    """One view in one frame, with what all methods are held against there.

    Attributes:
        reference: counts that biases, lesions and sharpness are measured against: truth or standard scan.
        noisy: the reference is a scan.
        lesions: known ones, or hot spots of the standard scan.
        patches: uniform soft tissue.
    """

    view: int
    reference: np.ndarray
    noisy: bool
    body: np.ndarray
    parts: dict[str, np.ndarray]
    lesions: list[Lesion]
    patches: list[Rectangle]
    blur: BlurScale
    edges: np.ndarray
    edge_reference: np.ndarray
    spacing_mm: float
    standard_pose: bool = False


def look_at(case: Case, view: int, params: EvaluateParams) -> Look:
    """The rapid scan's frame; without truth the part of it that the standard scan shows as well."""
    if case.expected is not None and case.truth is not None:
        lesions = [lesion for lesion in case.truth.lesions if lesion.view == view]
        parts = {name: mask[view] for name, mask in case.parts.items()}
        return _prepared(case, view, case.expected[view], False, case.body[view], parts, lesions)
    here, there = case_overlap(case, view)
    standard = case.pair.standard[view][there].astype(np.float64)
    parts = {name: mask[view][here] for name, mask in case.parts.items()}
    spacing = float(case.row["spacing_mm"])
    hot_spots = find_hot_spots(standard, parts["bone"], spacing, params.invented_above, view)
    return _prepared(case, view, standard, True, case.body[view][here], parts, hot_spots)


def look_at_standard(case: Case, view: int) -> Look:
    """The standard scan's own pose, whose truth is another than the rapid scan's."""
    assert case.truth is not None
    body, parts = body_and_parts(case.truth.masks_standard[:, [view]], float(case.row["spacing_mm"]))
    lesions = [lesion for lesion in case.truth.lesions if lesion.view == view]
    mean, masks = case.truth.mean_standard[view], {name: mask[0] for name, mask in parts.items()}
    return _prepared(case, view, mean, False, body[0], masks, lesions, standard_pose=True)


def _prepared(
    case: Case,
    view: int,
    reference: np.ndarray,
    noisy: bool,
    body: np.ndarray,
    parts: dict[str, np.ndarray],
    lesions: list[Lesion],
    standard_pose: bool = False,
) -> Look:
    spacing = float(case.row["spacing_mm"])
    smooth = reference if not noisy else ndimage.gaussian_filter(reference, PATCH_SMOOTHING_PIXELS)
    tissue = parts["soft_tissue"] if parts["soft_tissue"].any() else body
    edges = edge_bins(parts["bone"], body, spacing)
    return Look(
        view, reference, noisy, body, parts, lesions,
        patches=uniform_patches(smooth, tissue, spacing),
        blur=blur_scale(reference, parts["bone"], body, spacing, noisy),
        edges=edges,
        edge_reference=edge_sums(reference, edges),
        spacing_mm=spacing,
        standard_pose=standard_pose,
    )  # fmt: skip
