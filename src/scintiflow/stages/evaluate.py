"""Stage evaluate: f^IR1 and the baselines on the held-out patients -> tables, pictures, one HTML page.

The folder `evaluation` holds

- `patients.parquet`, `patients.csv`: one row for each patient, study, view and method;
- `lesions.parquet`, `lesions.csv`: one row for each known lesion, view and method;
- `noise.csv`, `edges.csv`: noise power spectra and edge responses by method;
- `training_cohort.json`: the data set in the terms of `scintiflow.drift`, for watching the model in use;
- `summary.json`: means with intervals, paired differences, subgroups, what was evaluated, and under
  `gate` the numbers that the promotion rules ask for;
- `calibration.json`: from when on a restoration contradicts its counts, from the validation patients;
- `timings.json`: seconds per scan and the machine, the only file that differs between equal runs
  besides the page that shows it;
- `pictures/`, `curves.png`, `report.html`.

docs/reference/evaluation.md has every column and key.
"""

import math
import os
import platform
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from scintiflow import __version__
from scintiflow.dataset.manifest import MANIFEST, Dataset
from scintiflow.dataset.priors import INDEX
from scintiflow.drift.cohort import TRAINING_COHORT, training_cohort
from scintiflow.evaluation.baselines import (
    AnscombeBm3d,
    Gaussian,
    Identity,
    NonLocalMeans,
    Restorer,
    choose_gaussian,
)
from scintiflow.evaluation.cases import FRAME, load_case
from scintiflow.evaluation.kept import KeptScans
from scintiflow.evaluation.perceptual import load_perceptual
from scintiflow.evaluation.picture_panels import draw_picture
from scintiflow.evaluation.pictures import draw_case
from scintiflow.evaluation.report import content_of_evaluation, render_report
from scintiflow.evaluation.scoring import Scores, score_split
from scintiflow.evaluation.summary import RESTORED, flat_numbers, summarise
from scintiflow.evaluation.trained_baselines import NOT_TRAINED, train_baseline
from scintiflow.evaluation_folder import (
    CAPTIONS,
    CURVES,
    EDGES,
    LESIONS,
    NOISE,
    ORIGIN,
    PATIENTS,
    PICTURES,
    REPORT,
    SUMMARY,
    TIMINGS,
)
from scintiflow.files import read_json, sha256_file, whole_folder, write_json
from scintiflow.params import EvaluateParams
from scintiflow.progress import track
from scintiflow.restoration.model_folder import CALIBRATION, checkpoint_sha256
from scintiflow.restoration.restorer import load_restorer, origin_of
from scintiflow.restoration.variants import BASELINES
from scintiflow.stages.champion_restorer import CHAMPION, champion_of
from scintiflow.stages.held_out import ScoredDeviances, calibrate
from scintiflow.tracking import Tracker

NO_REGIONS = "none: these are pictures, levels 0 to 255, scored on the whole frame"
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True)
class Inputs:
    dataset: Path
    sam: Path
    priors: Path
    cascade: Path
    champion: Path
    truth: Path


@dataclass(frozen=True)
class Outputs:
    """`checkpoints`: where a killed training of a baseline is taken up again; beside the output by default."""

    evaluation: Path
    checkpoints: Path | None = None


def run(params: EvaluateParams, inputs: Inputs, outputs: Outputs, tracker: Tracker) -> dict[str, float]:
    """Score f^IR1 and the baselines on the test patients and write the evaluation folder.

    Returns `<metric>_<method>` means over patients, paired PSNR gains with intervals, biases.

    Raises ScintiflowError if a split is empty, the cascade is incomplete, or weights of a perceptual
    metric have the wrong SHA-256.
    """
    dataset = Dataset.open(inputs.dataset)
    perceptual = load_perceptual(params, inputs.sam)
    gaussian, by_sigma = choose_gaussian(dataset, inputs.truth, inputs.priors, params)
    restorers, champion, absent = _restorers(params, inputs, outputs, dataset, gaussian)
    kept = KeptScans(frozenset(_pictured(dataset, params)), params.pictured_worst)
    tested = ScoredDeviances(dataset)
    witnesses = (kept.offer, tested.take) if dataset.modality.is_counted else (kept.offer,)
    scores = score_split(
        dataset, "test", restorers, inputs.truth, inputs.priors, params, perceptual=perceptual, witnesses=witnesses
    )
    table = scores.patients
    seconds = table.dropna(subset="seconds").groupby("method", sort=False)["seconds"].mean()
    table = table.drop(columns="seconds")
    summary = summarise(table, params, scores.whole_set) | {
        "about": {
            "facts": _facts(inputs, table, by_sigma, gaussian.sigma_pixels),
            "gaussian_sigma_pixels": gaussian.sigma_pixels,
            "not_available": perceptual.reasons() | absent,
            "champion": champion,
        }
    }
    with whole_folder(outputs.evaluation) as folder:
        _write_tables(scores, table, folder)
        write_json(folder / SUMMARY, summary)
        write_json(
            folder / TIMINGS,
            {"machine": _machine(), "seconds_per_scan": {name: float(value) for name, value in seconds.items()}},
        )
        _draw(dataset, kept, inputs, params, folder / PICTURES)
        if dataset.modality.is_counted:  # what a scan in use is held against
            restore, weights = restorers[RESTORED], checkpoint_sha256(inputs.cascade)
            validated = calibrate(dataset, restore, params.refusal, weights, folder / CALIBRATION)
            write_json(folder / TRAINING_COHORT, training_cohort(dataset, [*validated, *tested.values]))
        if (inputs.cascade / CURVES).is_file():
            shutil.copyfile(inputs.cascade / CURVES, folder / CURVES)
        render_report(content_of_evaluation(folder), folder / REPORT)

    numbers = flat_numbers(summary)
    tracker.metrics(numbers)
    for path in sorted(outputs.evaluation.iterdir()):
        if path.is_file():
            tracker.artifact(path)
    for picture in sorted((outputs.evaluation / PICTURES).iterdir()):
        tracker.artifact(picture, PICTURES)
    return numbers


def _restorers(
    params: EvaluateParams, inputs: Inputs, outputs: Outputs, dataset: Dataset, gaussian: Gaussian
) -> tuple[dict[str, Restorer], dict | None, dict[str, str]]:
    """Every method that is scored, what the champion is, and why a method is missing."""
    restorers: dict[str, Restorer] = {
        RESTORED: load_restorer(inputs.cascade),
        "identity": Identity(),
        "gaussian": gaussian,
    }
    if params.nlm:
        restorers["nlm"] = NonLocalMeans()
    if params.bm3d:
        restorers["bm3d"] = AnscombeBm3d()
    absent = {name: NOT_TRAINED for name in BASELINES if name not in params.trained_baselines}
    folder = outputs.checkpoints or outputs.evaluation.with_name(f"{outputs.evaluation.name}.checkpoint")
    for name in params.trained_baselines:
        restorers[name] = train_baseline(name, dataset, inputs.priors, inputs.cascade, folder)
    champion, restorer = champion_of(inputs.champion, inputs.cascade)
    if not restorer:
        unreadable = "" if champion is None else champion["unreadable"]
        absent[CHAMPION] = unreadable or ("there is none yet" if champion is None else "it is this very model")
    return restorers | restorer, champion, absent


def _write_tables(scores: Scores, patients: pd.DataFrame, folder: Path) -> None:
    for table, parquet in ((patients, PATIENTS), (scores.lesions, LESIONS)):
        table.to_parquet(folder / parquet, index=False)
        inert(table).to_csv((folder / parquet).with_suffix(".csv"), index=False)
    scores.noise.to_csv(folder / NOISE, index=False)
    scores.edges.to_csv(folder / EDGES, index=False)


def inert(table: pd.DataFrame) -> pd.DataFrame:
    """The table with text cells that no spreadsheet takes for a formula."""
    safe = table.copy()
    for name in safe.columns:
        if not pd.api.types.is_numeric_dtype(safe[name]):
            safe[name] = [
                f"'{text}" if isinstance(text, str) and text.startswith(FORMULA_STARTS) else text
                for text in safe[name]
            ]
    return safe


def _facts(inputs: Inputs, table: pd.DataFrame, by_sigma: dict[float, float], sigma: float) -> list[tuple[str, str]]:
    cohorts = ", ".join(sorted(table["cohort"].unique()))
    ages = table["age_years"].dropna()
    regions = ", ".join(f"{name} ({count})" for name, count in _studies_by(table, "regions_from").items())
    tried = ", ".join(f"{tried:g}: {_decibel(score)}" for tried, score in by_sigma.items())
    return [
        ("Patients", f"{table['patient'].nunique()} in the frozen test split of: {cohorts}"),
        ("Ages", f"{ages.min():.1f} to {ages.max():.1f} years" if len(ages) else "unknown"),
        ("Body and bone regions", NO_REGIONS if FRAME in set(table["regions_from"]) else f"from {regions}"),
        ("Data set (SHA-256)", sha256_file(inputs.dataset / MANIFEST)),
        ("Model f^IR1 (SHA-256)", checkpoint_sha256(inputs.cascade)),
        (ORIGIN, origin_of(inputs.cascade)),
        ("Segment Anything", _sam_provenance(inputs.priors)),
        ("Gaussian baseline", f"sigma {sigma:g} pixels, best of (pixels: validation PSNR in dB) {tried}"),
        ("Software", f"scintiflow {__version__}"),
    ]


def _studies_by(table: pd.DataFrame, column: str) -> dict[str, int]:
    return table.drop_duplicates("study").groupby(column)["study"].count().to_dict()


def _decibel(score: float) -> str:
    return "–" if math.isnan(score) else f"{score:.2f}"


def _sam_provenance(priors: Path) -> str:
    index = read_json(priors / INDEX) if (priors / INDEX).is_file() else {}
    sam = index.get("sam")
    return str(sam["provenance"]) if isinstance(sam, dict) and "provenance" in sam else "not stated by the priors"


def _machine() -> str:
    import torch

    return f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}, torch {torch.__version__}"


def _pictured(dataset: Dataset, params: EvaluateParams) -> list[str]:
    """Studies spread evenly over the ages, youngest first: the same in every run on these patients."""
    rows = sorted(
        dataset.rows("test"), key=lambda row: (math.isnan(row["age_years"]), row["age_years"], row["study"])
    )
    places = np.unique(np.linspace(0, len(rows) - 1, min(params.pictured_patients, len(rows))).round().astype(int))
    return [rows[place]["study"] for place in places]


def _draw(dataset: Dataset, kept: KeptScans, inputs: Inputs, params: EvaluateParams, folder: Path) -> None:
    """`patient-N.png`, youngest first, the same scans in every run; `worst-N.png` for worst ones not among them."""
    folder.mkdir()
    ranks = {scan.study: rank for rank, scan in enumerate(kept.worst, start=1)}
    named = [
        (f"patient-{place}.png", kept.chosen[study]) for place, study in enumerate(_pictured(dataset, params), 1)
    ]
    named += [(f"worst-{ranks[scan.study]}.png", scan) for scan in kept.worst if scan.study not in kept.chosen]
    rows = {row["study"]: row for row in dataset.rows("test")}
    captions = []
    for name, scan in track(named, "drawing pictures"):
        case = load_case(dataset, rows[scan.study], inputs.truth, inputs.priors)
        draw = draw_case if case.is_counted else draw_picture
        picture = draw(case, scan.estimates, params.data_range_counts, folder / name)
        captions.append(
            {
                "name": name,
                "title": picture.title,
                "caption": picture.caption,
                "panels": [asdict(panel) for panel in picture.panels],
                "study": scan.study,
                "worst": ranks.get(scan.study),
                "gain_db": scan.gain if math.isfinite(scan.gain) else None,
                "in_every_run": scan.study in kept.chosen,
            }
        )
    write_json(folder / CAPTIONS, captions)
