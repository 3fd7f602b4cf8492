"""Score restorers on the patients of a split: one row for each patient, study, view and method.

Two references. The **truth**, where the child is simulated: expected counts in the rapid scan's pose,
times k. The **standard scan**, for everyone: noisy counts, brought into the rapid scan's frame by whole
pixels and scored on the overlap. Everything is body-only unless a column says `frame`, because empty
background inflates whole-frame numbers. Bias and lesions are held against the truth where known (`reference`).

Two extra methods are rows of a simulated child: `standard`, its real standard scan against the truth of
its own pose (a second look), and `truth`, the perfect restoration, whose PSNR against the standard scan
is the measured ceiling.
"""

import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from scintiflow.dataset.manifest import Dataset
from scintiflow.errors import ScintiflowError
from scintiflow.evaluation.baselines import BASELINES, Restorer
from scintiflow.evaluation.cases import load_case
from scintiflow.evaluation.columns import IDENTIFIERS, LESION_COLUMNS, NUMBERS, SETS, STANDARD, TRUTH
from scintiflow.evaluation.distributions import FeatureSets, features_of, whole_set
from scintiflow.evaluation.noise import bin_frequencies
from scintiflow.evaluation.perceptual import Perceptual, load_perceptual
from scintiflow.evaluation.resolution import edge_distances
from scintiflow.evaluation.rows import CaseScores, Estimates, score_case
from scintiflow.params import EvaluateParams
from scintiflow.progress import work

# what one scored scan is: its row of the manifest, its rows of the table of patients, its estimates by method
Witness = Callable[[pd.Series, list[dict], dict[str, np.ndarray]], None]


@dataclass(frozen=True)
class Scores:
    """Everything that scoring a split gives; schema in docs/reference/evaluation.md.

    Attributes:
        patients: the columns `IDENTIFIERS` + `NUMBERS`.
        lesions: the columns `LESION_COLUMNS`.
        noise: `method`, `frequency_per_mm`, `power_mm2` (relative to the squared mean).
        edges: `method`, `distance_mm`, `value` (1: the reference's own counts deep inside bone; 0: outside).
        whole_set: FID, KID and the Frechet distance over SAM, see `distributions.whole_set`.
    """

    patients: pd.DataFrame
    lesions: pd.DataFrame
    noise: pd.DataFrame
    edges: pd.DataFrame
    whole_set: dict[str, dict]


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
    """The table of patients alone, see `score_split`."""
    return score_split(
        dataset, split, restorers, truth_root, priors, params, perceptual=perceptual, workers=workers
    ).patients


def score_split(
    dataset: Dataset,
    split: str,
    restorers: dict[str, Restorer],
    truth_root: Path | None,
    priors: Path | None,
    params: EvaluateParams,
    *,
    perceptual: Perceptual | None = None,
    workers: int | None = None,
    witnesses: Sequence[Witness] = (),
) -> Scores:
    """Score every restorer on every patient of `split`.

    A number that does not exist is NaN. All but `seconds` (wall clock per scan) is the same for any number of
    workers. `perceptual` is loaded from `params` if not given. Every witness is called once for each
    scan, in the manifest's order, so that nobody who needs an estimate makes it again.
    Raises ScintiflowError for an empty split.

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
    ours: dict[str, Restorer] = {
        name: restorer for name, restorer in restorers.items() if isinstance(restorer, BASELINES)
    }
    foreign = {name: restorer for name, restorer in restorers.items() if name not in ours}
    workers = min(workers or os.cpu_count() or 1, len(rows))
    embedded = set(sorted({row["patient"] for row in rows})[: params.sam_frechet_patients])
    scoring = _Scoring(dataset, truth_root, priors, ours, params, perceptual)

    scores, features = CaseScores(), FeatureSets()
    with work(f"scoring {len(rows)} {split} scans", len(rows)) as bar:
        tasks = ((scoring, row, _timed(foreign, dataset, row), row["patient"] in embedded) for row in rows)
        for row, (scored, found, pictures) in zip(rows, _in_order(tasks, workers), strict=True):
            for witness in witnesses:
                witness(row, scored.rows, pictures)
            scores.add(scored)
            features.add(found)
            bar.advance()
    sets = whole_set(features, perceptual.reasons(), params)
    order = {name: place for place, name in enumerate([*restorers, STANDARD, TRUTH])}
    return Scores(
        _in_rows(_with_sets(pd.DataFrame(scores.rows, columns=[*IDENTIFIERS, *NUMBERS]), sets), [], order),
        _in_rows(pd.DataFrame(scores.lesions, columns=list(LESION_COLUMNS)), ["lesion"], order),
        _noise_table(scores, order),
        _edge_table(scores, order),
        sets,
    )


@dataclass(frozen=True)
class _Scoring:
    """What is the same for every study."""

    dataset: Dataset
    truth_root: Path | None
    priors: Path | None
    baselines: dict[str, Restorer]
    params: EvaluateParams
    perceptual: Perceptual


Scored = tuple[CaseScores, FeatureSets, dict[str, np.ndarray]]  # of one study; its estimates by method


def _work_on(task: tuple[_Scoring, pd.Series, Estimates, bool]) -> Scored:
    scoring, row, estimates, with_sam = task
    case = load_case(scoring.dataset, row, scoring.truth_root, scoring.priors)
    estimates = estimates | _timed(scoring.baselines, scoring.dataset, row)
    pictures = {name: estimate for name, (estimate, _) in estimates.items()}
    features = features_of(case, pictures, scoring.perceptual, scoring.params, with_sam)
    return score_case(case, estimates, scoring.params, scoring.perceptual.lpips), features, pictures


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


def _in_order(tasks: Iterator[tuple], workers: int) -> Iterator[Scored]:
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


def _with_sets(table: pd.DataFrame, sets: dict[str, dict]) -> pd.DataFrame:
    """Numbers of the whole set, repeated in every row of their method."""
    for metric in SETS:
        values = {method: found["value"] for method, found in sets[metric]["methods"].items()}
        table[f"{metric}_standard"] = table["method"].map(values).astype("float64")
    return table


def _in_rows(table: pd.DataFrame, then_by: list[str], order: dict[str, int]) -> pd.DataFrame:
    return table.sort_values(
        ["patient", "study", "view", *then_by, "method"],
        key=lambda column: column.map(order) if column.name == "method" else column,
        ignore_index=True,
        kind="stable",
    )


def _noise_table(scores: CaseScores, order: dict[str, int]) -> pd.DataFrame:
    lines = [
        {"method": method, "frequency_per_mm": float(frequency), "power_mm2": float(power / samples)}
        for method in sorted(scores.noise, key=lambda name: order[name])
        for frequency, power, samples in zip(bin_frequencies(), *scores.noise[method], strict=True)
        if samples > 0
    ]
    return pd.DataFrame(lines, columns=["method", "frequency_per_mm", "power_mm2"])


def _edge_table(scores: CaseScores, order: dict[str, int]) -> pd.DataFrame:
    """Mean counts by distance, scaled so that the method's reference runs from 0 outside to 1 inside."""
    lines = []
    for method in sorted(scores.edges, key=lambda name: order[name]):
        known = scores.edges[method][2] > 0  # bones are thin: far inside there is nothing
        counts, reference, pixels = scores.edges[method][:, known]
        if known.sum() < 4:
            continue
        mean, true = counts / pixels, reference / pixels
        low, high = float(true[:2].mean()), float(true[-2:].mean())
        lines += [
            {"method": method, "distance_mm": float(distance), "value": float((value - low) / (high - low))}
            for distance, value in zip(edge_distances()[known], mean, strict=True)
        ]
    return pd.DataFrame(lines, columns=["method", "distance_mm", "value"])
