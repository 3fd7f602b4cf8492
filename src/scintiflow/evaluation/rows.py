"""The rows of one study: every estimate against the truth, the standard scan and the rapid scan's own counts.

What all methods of a view share (regions, uniform patches, the reference at rising blur) is prepared once.
"""

import math
from dataclasses import dataclass, field

import numpy as np
from scipy import ndimage

from scintiflow.dataset.study import VIEWS
from scintiflow.evaluation import metrics
from scintiflow.evaluation.cases import PARTS, Case, Rectangle, body_and_parts, bounding_box, case_overlap
from scintiflow.evaluation.columns import STANDARD, TRUTH, age_band
from scintiflow.evaluation.consistency import consistency, local_scores
from scintiflow.evaluation.fidelity import LesionReading, count_false_hot_spots, read_lesions, relative_bias
from scintiflow.evaluation.hot_spots import INVENTED_SIGNIFICANCE, find_hot_spots
from scintiflow.evaluation.noise import NoiseReading, read_noise, uniform_patches
from scintiflow.evaluation.perceptual import Lpips, NotAvailable
from scintiflow.evaluation.picture_rows import score_picture
from scintiflow.evaluation.resolution import BlurScale, blur_scale, edge_bins, edge_sums
from scintiflow.params import EvaluateParams
from scintiflow.phantom.truth import Lesion

Estimates = dict[str, tuple[np.ndarray, float]]  # by method: the estimate [view, row, column] and its seconds
PICTURE_MARGIN_PIXELS = 8
PATCH_SMOOTHING_PIXELS = 4.0  # of the rapid scan, where no truth says which tissue is uniform


@dataclass
class CaseScores:
    """What one study contributes: table rows, and sums by method that are averaged over all studies.

    Attributes:
        rows, lesions: of `patients.parquet` and `lesions.parquet`.
        noise: method -> (summed power, samples) of each frequency bin.
        edges: method -> (summed counts of the estimate, of its reference, pixels) of each distance bin.
    """

    rows: list[dict] = field(default_factory=list)
    lesions: list[dict] = field(default_factory=list)
    noise: dict[str, np.ndarray] = field(default_factory=dict)
    edges: dict[str, np.ndarray] = field(default_factory=dict)

    def add(self, other: "CaseScores") -> None:
        self.rows += other.rows
        self.lesions += other.lesions
        for mine, theirs in ((self.noise, other.noise), (self.edges, other.edges)):
            for method, sums in theirs.items():
                mine[method] = mine[method] + sums if method in mine else sums


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


def score_case(
    case: Case, estimates: Estimates, params: EvaluateParams, distance: Lpips | NotAvailable
) -> CaseScores:
    """Every estimate, and for a simulated child the standard scan and the truth; of pictures see `picture_rows`."""
    scores = CaseScores()
    if not case.is_counted:
        return CaseScores(rows=score_picture(case, estimates, params))
    for view in range(case.views):
        look = _look(case, view, params)
        for method, (estimate, seconds) in estimates.items():
            _add(scores, case, look, method, estimate[view], params, distance, seconds)
        if case.expected is not None:
            _add(scores, case, look, TRUTH, case.expected[view], params, distance)
            own = _look_at_standard(case, view)
            _add(scores, case, own, STANDARD, case.pair.standard[view].astype(np.float64), params, distance)
    return scores


def _look(case: Case, view: int, params: EvaluateParams) -> Look:
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


def _look_at_standard(case: Case, view: int) -> Look:
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


def _add(
    scores: CaseScores,
    case: Case,
    look: Look,
    method: str,
    estimate: np.ndarray,
    params: EvaluateParams,
    distance: Lpips | NotAvailable,
    seconds: float = math.nan,
) -> None:
    """One row, the rows of its lesions and its share of the curves."""
    identity = _identifiers(case, look.view, method, params)
    line = identity | {"seconds": seconds}
    if not look.standard_pose:
        line |= _against_standard(case, look.view, estimate, params, distance)
        line |= _against_counts(case, look.view, estimate, params)
    shown = estimate
    if look.noisy:
        here, _ = case_overlap(case, look.view)
        shown = estimate[here]
    else:
        line |= _against_truth(look, shown, params, distance)
    readings = read_lesions(
        shown, look.reference, look.lesions, look.body, look.parts["bone"], look.spacing_mm, look.standard_pose,
        params.missed_below,
    )  # fmt: skip
    noise = read_noise(shown, look.patches, look.spacing_mm)
    line |= _against_reference(look, shown, readings, noise, params)
    scores.rows.append(line)
    if not look.noisy:
        scores.lesions += [_lesion_row(identity, look.lesions, reading) for reading in readings]
    pixels = np.bincount(look.edges[look.edges >= 0], minlength=len(look.edge_reference))
    sums = CaseScores(
        noise={method: np.stack([noise.power, noise.samples])},
        edges={method: np.stack([edge_sums(shown, look.edges), look.edge_reference, pixels])},
    )
    scores.add(sums)


def _identifiers(case: Case, view: int, method: str, params: EvaluateParams) -> dict:
    row = case.row
    return {
        **{name: row[name] for name in ("patient", "study", "cohort", "scanner")},
        "age_years": float(row["age_years"]),
        "age_band": age_band(float(row["age_years"])),
        "view": VIEWS[view],
        "method": method,
        "reference": "standard" if case.truth is None else "truth",
        "regions_from": case.regions_from,
        "data_range_counts": params.data_range_counts,
    }


def _against_standard(
    case: Case, view: int, estimate: np.ndarray, params: EvaluateParams, distance: Lpips | NotAvailable
) -> dict[str, float]:
    here, there = case_overlap(case, view)
    restored, body = estimate[here], case.body[view][here]
    standard = case.pair.standard[view][there].astype(np.float64)
    data_range = params.data_range_counts
    error = metrics.corrected_error(restored, standard, body)
    return {
        "psnr_standard": metrics.psnr(restored, standard, data_range, body),
        "psnr_standard_frame": metrics.psnr(restored, standard, data_range),
        "ssim_standard": metrics.ssim(restored, standard, data_range, body),
        "ms_ssim_standard": metrics.ms_ssim(restored, standard, data_range, body),
        "mse_corrected": error,
        "psnr_corrected": metrics.psnr_of_error(error, data_range),
        "ceiling_standard": metrics.ceiling(standard, data_range, body),
        "deviance_standard": metrics.poisson_deviance(restored, standard, body),
        "lpips_standard": _lpips(distance, restored, standard, body),
    }


def _against_counts(case: Case, view: int, estimate: np.ndarray, params: EvaluateParams) -> dict[str, float]:
    """What the rapid scan's own counts say of the estimate; no truth enters."""
    rapid, body = case.pair.rapid[view], case.body[view]
    whole = consistency(rapid, estimate, case.ratio, body)
    box = bounding_box(body, PICTURE_MARGIN_PIXELS)  # wider than the window of the scores
    scores = local_scores(rapid[box], estimate[box], case.ratio, float(case.row["spacing_mm"]))[body[box]]
    beyond = np.abs(scores) > params.unsupported_beyond
    return {
        "consistency_deviance": whole.deviance,
        "consistency_z": whole.z,
        "unsupported_share": float(beyond.mean()) if beyond.size else math.nan,
    } | {
        f"consistency_z_{name}": consistency(rapid, estimate, case.ratio, case.parts[name][view]).z for name in PARTS
    }


def _against_truth(
    look: Look, estimate: np.ndarray, params: EvaluateParams, distance: Lpips | NotAvailable
) -> dict[str, float]:
    truth, data_range = look.reference, params.data_range_counts
    return {
        "psnr_truth": _finite(metrics.psnr(estimate, truth, data_range, look.body)),
        "psnr_truth_frame": _finite(metrics.psnr(estimate, truth, data_range)),
        "ssim_truth": metrics.ssim(estimate, truth, data_range, look.body),
        "ms_ssim_truth": metrics.ms_ssim(estimate, truth, data_range, look.body),
        "lpips_truth": _lpips(distance, estimate, truth, look.body),
    }


def _against_reference(
    look: Look, estimate: np.ndarray, readings: list[LesionReading], noise: NoiseReading, params: EvaluateParams
) -> dict[str, float]:
    """Counts, lesions, noise and sharpness: against the truth where it is known, else the standard scan."""
    bone = look.parts["bone"]
    line = {"count_bias": relative_bias(estimate, look.reference, look.body)}
    line |= {f"{name}_bias": relative_bias(estimate, look.reference, look.parts[name]) for name in PARTS}
    line |= {
        "noise_cov": noise.variation,
        "noise_frequency": noise.frequency,
        "added_blur_mm": look.blur.added_fwhm_mm(estimate),
    }
    if look.noisy and not bone.any():
        return line
    line |= {
        "lesions": len(readings),
        "lesions_missed": sum(reading.missed for reading in readings),
        "false_hot_spots": count_false_hot_spots(
            estimate, look.reference, look.lesions, bone, look.spacing_mm, look.standard_pose,
            params.invented_above, INVENTED_SIGNIFICANCE if look.noisy else 0.0,
        ),
    }  # fmt: skip
    if not look.noisy:
        line["lesion_contrast"] = _mean([reading.recovery for reading in readings])
        line["lesion_cnr"] = _mean([reading.contrast_to_noise for reading in readings])
    return line


def _lesion_row(identity: dict, lesions: list[Lesion], reading: LesionReading) -> dict:
    lesion = reading.lesion
    return identity | {
        "lesion": 1 + lesions.index(lesion),
        "region": lesion.region,
        "row": lesion.row_rapid,
        "column": lesion.column_rapid,
        "radius_mm": lesion.radius_mm,
        "true_contrast": reading.true_contrast,
        "recovery": reading.recovery,
        "cnr": reading.contrast_to_noise,
        "missed": reading.missed,
    }


def _lpips(metric: Lpips | NotAvailable, estimate: np.ndarray, reference: np.ndarray, body: np.ndarray) -> float:
    if isinstance(metric, NotAvailable):
        return math.nan
    box = bounding_box(body, PICTURE_MARGIN_PIXELS)
    return metric(estimate[box], reference[box])


def _finite(value: float) -> float:
    """NaN instead of the infinite PSNR of an exact copy."""
    return value if math.isfinite(value) else math.nan


def _mean(values: list[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return float(np.mean(known)) if known else math.nan
