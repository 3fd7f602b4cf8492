"""Score restorers on the patients of a split: one row for each patient, study, view and method.

Two references. The **truth**, where the child is simulated: expected counts in the rapid scan's pose,
times k. The **standard scan**, for everyone: noisy counts, brought into the rapid scan's frame by whole
pixels and scored on the overlap. Everything is body-only unless a column says `frame`, because empty
background inflates whole-frame numbers. Bias is taken against the truth where known (`reference`).

Two extra methods are rows of a simulated child: `standard`, its real standard scan against the truth of
its own pose (a second look), and `truth`, the perfect restoration, whose PSNR against the standard scan
is the measured ceiling.
"""

import math
import os
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from scintiflow.dataset.manifest import Dataset
from scintiflow.dataset.study import VIEWS
from scintiflow.errors import ScintiflowError
from scintiflow.evaluation import metrics
from scintiflow.evaluation.baselines import AnscombeBm3d, Gaussian, Identity, Restorer
from scintiflow.evaluation.cases import Case, bounding_box, case_overlap, load_case, regions
from scintiflow.evaluation.fidelity import count_false_hot_spots, read_lesions, relative_bias
from scintiflow.evaluation.perceptual import Fid, Lpips, NotAvailable, Perceptual, fid_picture, load_perceptual
from scintiflow.params import EvaluateParams
from scintiflow.progress import work

STANDARD, TRUTH = "standard", "truth"
AGE_BANDS = (("under 2 years", 2.0), ("2 to 5 years", 6.0), ("6 to 11 years", 12.0), ("12 years and over", math.inf))
AGE_UNKNOWN = "age unknown"
PICTURE_MARGIN_PIXELS = 8
BASELINES = (Identity, Gaussian, AnscombeBm3d)

IDENTIFIERS = (
    "patient", "study", "cohort", "scanner", "age_years", "age_band", "view", "method",
    "reference", "regions_from", "data_range_counts",
)  # fmt: skip
NUMBERS = (
    "psnr_truth", "psnr_truth_frame", "ssim_truth", "psnr_standard", "psnr_standard_frame", "ssim_standard",
    "mse_corrected", "psnr_corrected", "ceiling_standard", "deviance_standard", "count_bias", "bone_bias",
    "lesions", "lesion_contrast", "lesion_cnr", "lesions_missed", "false_hot_spots",
    "lpips_truth", "lpips_standard", "fid_standard", "seconds",
)  # fmt: skip

Estimates = dict[str, tuple[np.ndarray, float]]  # by method: the estimate [view, row, column] and its seconds


def score_dataset(
    dataset: Dataset,
    split: str,
    restorers: dict[str, Restorer],
    truth_root: Path | None,
    priors: Path | None,
    params: EvaluateParams,
    *,
    perceptual: Perceptual | None = None,
    workers: int | None = None,
) -> pd.DataFrame:
    """Score every restorer on every patient of `split`.

    Returns a table with the columns `IDENTIFIERS` + `NUMBERS`; a number that does not exist is NaN. All
    but `seconds` (wall clock per scan) is the same for any number of workers. `perceptual` is loaded from
    `params` if not given. Raises ScintiflowError for an empty split.

    Restorers run in the calling thread, one study at a time; the baselines of this package and the scoring
    run in `workers` threads (default: one for each core).
    """
    rows = list(dataset.rows(split))
    if not rows:
        raise ScintiflowError(f"has no patients in the split '{split}'", where=dataset.folder, remedy="Add a cohort")
    for name in (STANDARD, TRUTH):
        if name in restorers:
            raise ValueError(f"'{name}' names a reference row, not a restorer")
    perceptual = perceptual or load_perceptual(params)
    wants_fid = isinstance(perceptual.fid, Fid)
    ours = {name: restorer for name, restorer in restorers.items() if isinstance(restorer, BASELINES)}
    foreign = {name: restorer for name, restorer in restorers.items() if name not in ours}
    workers = min(workers or os.cpu_count() or 1, len(rows))

    lines: list[dict] = []
    pictures: dict[str, list[np.ndarray]] = {}
    with work(f"scoring {len(rows)} {split} scans", len(rows)) as bar:
        tasks = (
            (
                dataset,
                row,
                truth_root,
                priors,
                _timed(foreign, dataset, row),
                ours,
                params,
                perceptual.lpips,
                wants_fid,
            )
            for row in rows
        )
        for scored, shown in _in_order(tasks, workers):
            lines += scored
            for method, views in shown.items():
                pictures.setdefault(method, []).extend(views)
            bar.advance()
    table = pd.DataFrame(lines, columns=[*IDENTIFIERS, *NUMBERS])
    if isinstance(perceptual.fid, Fid):
        table["fid_standard"] = table["method"].map(_fid_of_each(perceptual.fid, pictures)).astype("float64")
    order = {name: place for place, name in enumerate([*restorers, STANDARD, TRUTH])}
    return table.sort_values(
        ["patient", "study", "view", "method"],
        key=lambda column: column.map(order) if column.name == "method" else column,
        ignore_index=True,
        kind="stable",
    )


def age_band(years: float) -> str:
    """Name of the age band; NaN is 'age unknown'."""
    if math.isnan(years):
        return AGE_UNKNOWN
    return next(name for name, below in AGE_BANDS if years < below)


def score_case(
    case: Case, estimates: Estimates, params: EvaluateParams, distance: Lpips | NotAvailable
) -> list[dict]:
    """Rows of one study: every estimate, and for a simulated child the standard scan and the truth."""
    lines = []
    for view in range(case.views):
        for method, (estimate, seconds) in estimates.items():
            lines.append(_line(case, view, method, estimate[view], params, distance) | {"seconds": seconds})
        if case.expected is not None:
            lines.append(_line(case, view, TRUTH, case.expected[view], params, distance))
            lines.append(_standard_line(case, view, params, distance))
    return lines


def _line(
    case: Case, view: int, method: str, estimate: np.ndarray, params: EvaluateParams, distance: Lpips | NotAvailable
) -> dict:
    line = _identifiers(case, view, method, params) | _against_standard(case, view, estimate, params, distance)
    if case.expected is None or case.truth is None:
        return line
    line |= _against_truth(
        case, view, estimate, case.expected[view], (case.body[view], case.bone[view]), params, distance
    )
    return line


def _standard_line(case: Case, view: int, params: EvaluateParams, distance: Lpips | NotAvailable) -> dict:
    assert case.truth is not None
    scan = case.pair.standard[view].astype(np.float64)
    body, bone = regions(case.truth.masks_standard[:, [view]], float(case.row["spacing_mm"]))
    return _identifiers(case, view, STANDARD, params) | _against_truth(
        case, view, scan, case.truth.mean_standard[view], (body[0], bone[0]), params, distance, standard_pose=True
    )


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
    restored, body, bone = estimate[here], case.body[view][here], case.bone[view][here]
    standard = case.pair.standard[view][there].astype(np.float64)
    data_range = params.data_range_counts
    error = metrics.corrected_error(restored, standard, body)
    return {
        "psnr_standard": metrics.psnr(restored, standard, data_range, body),
        "psnr_standard_frame": metrics.psnr(restored, standard, data_range),
        "ssim_standard": metrics.ssim(restored, standard, data_range, body),
        "mse_corrected": error,
        "psnr_corrected": metrics.psnr_of_error(error, data_range),
        "ceiling_standard": metrics.ceiling(standard, data_range, body),
        "deviance_standard": metrics.poisson_deviance(restored, standard, body),
        "count_bias": relative_bias(restored, standard, body),
        "bone_bias": relative_bias(restored, standard, bone),
        "lpips_standard": _lpips(distance, restored, standard, body),
    }


def _against_truth(
    case: Case,
    view: int,
    estimate: np.ndarray,
    truth: np.ndarray,
    body_and_bone: tuple[np.ndarray, np.ndarray],
    params: EvaluateParams,
    distance: Lpips | NotAvailable,
    standard_pose: bool = False,
) -> dict[str, float]:
    assert case.truth is not None
    (body, bone), data_range = body_and_bone, params.data_range_counts
    spacing = float(case.row["spacing_mm"])
    lesions = [lesion for lesion in case.truth.lesions if lesion.view == view]
    readings = read_lesions(estimate, truth, lesions, body, bone, spacing, standard_pose)
    return {
        "psnr_truth": _finite(metrics.psnr(estimate, truth, data_range, body)),
        "psnr_truth_frame": _finite(metrics.psnr(estimate, truth, data_range)),
        "ssim_truth": metrics.ssim(estimate, truth, data_range, body),
        "count_bias": relative_bias(estimate, truth, body),
        "bone_bias": relative_bias(estimate, truth, bone),
        "lesions": len(readings),
        "lesion_contrast": _mean([reading.recovery for reading in readings]),
        "lesion_cnr": _mean([reading.contrast_to_noise for reading in readings]),
        "lesions_missed": sum(reading.missed for reading in readings),
        "false_hot_spots": count_false_hot_spots(estimate, truth, lesions, bone, spacing, standard_pose),
        "lpips_truth": _lpips(distance, estimate, truth, body),
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


def _timed(restorers: dict[str, Restorer], dataset: Dataset, row: pd.Series) -> Estimates:
    """Every restorer's estimate of a study, checked for shape and finite values."""
    if not restorers:
        return {}
    rapid, ratio, estimates = dataset.pair(row["study"]).rapid, float(row["count_ratio"]), {}
    for name, restorer in restorers.items():
        started = time.perf_counter()
        estimate = np.asarray(restorer(rapid, ratio))
        seconds = time.perf_counter() - started
        if estimate.shape != rapid.shape or not np.isfinite(estimate).all():
            raise ScintiflowError(
                f"gave {estimate.shape} for {rapid.shape}, or values that are not finite",
                where=f"restorer '{name}'",
                remedy="Train it again; its weights are not usable",
            )
        estimates[name] = (estimate, seconds)
    return estimates


def _work_on(task: tuple) -> tuple[list[dict], dict[str, list[np.ndarray]]]:
    dataset, row, truth_root, priors, estimates, ours, params, distance, wants_fid = task
    case = load_case(dataset, row, truth_root, priors)
    estimates = estimates | _timed(ours, dataset, row)
    shown = _fid_pictures(case, estimates, params) if wants_fid else {}
    return score_case(case, estimates, params, distance), shown


def _fid_pictures(case: Case, estimates: Estimates, params: EvaluateParams) -> dict[str, list[np.ndarray]]:
    shown: dict[str, list[np.ndarray]] = {}
    for view in range(case.views):
        here, there = case_overlap(case, view)
        box = bounding_box(case.body[view][here], PICTURE_MARGIN_PIXELS)
        images = {name: estimate[view][here] for name, (estimate, _) in estimates.items()}
        images[STANDARD] = case.pair.standard[view][there]
        if case.expected is not None:
            images[TRUTH] = case.expected[view][here]
        for name, image in images.items():
            shown.setdefault(name, []).append(fid_picture(image[box], params.data_range_counts))
    return shown


def _fid_of_each(fid: Fid, pictures: dict[str, list[np.ndarray]]) -> dict[str, float]:
    reference = np.stack(pictures[STANDARD])
    return {name: fid(np.stack(views), reference) for name, views in pictures.items() if name != STANDARD}


def _in_order(tasks: Iterator[tuple], workers: int) -> Iterator[tuple]:
    """Results in the order of the tasks, with at most two tasks for each worker in memory.

    Threads are enough: BM3D and torch do their work outside Python's lock.
    """
    if workers <= 1:
        yield from map(_work_on, tasks)
        return
    threads = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            running: deque[Future] = deque()
            for task in tasks:
                running.append(pool.submit(_work_on, task))
                if len(running) >= 2 * workers:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
    finally:
        torch.set_num_threads(threads)
