"""Distilling SAM's knowledge into files: soft masks and embeddings of every study, computed once.

A study's prior is keyed by everything it depends on: counts of both scans, count ratio and spacing,
SAM's base checkpoint and adapter, the code that asks it, the version of torch. An equal key means an equal
prior, so it is taken from the store, where earlier and interrupted runs left theirs.
"""

import hashlib
import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from scintiflow.dataset.manifest import Dataset, modality_of, shift_pixels
from scintiflow.dataset.priors import INDEX, Prior, load_prior, save_prior
from scintiflow.files import sha256_file, whole_folder, write_json
from scintiflow.keyed_store import KeyedStore
from scintiflow.params import DistilPriorsParams
from scintiflow.phantom.truth import find_truth
from scintiflow.progress import track
from scintiflow.sam import (
    anatomy,
    bottleneck,
    build,
    canvas,
    distillation,
    lora,
    mask_prompts,
    picture_regions,
    prediction,
    prompts,
    spots,
    subjects,
)
from scintiflow.sam.distillation import Asker, ask_in_processes, useful_workers
from scintiflow.sam.overlap import dice
from scintiflow.structures import STRUCTURES
from scintiflow.tracking import Tracker

ANSWER_DEPENDS_ON = ("architecture", "adapter_sha256", "display_ceiling_counts", "shape_prompts")  # of sam.json
ANSWERS_COME_FROM = (
    anatomy,
    bottleneck,
    build,
    canvas,
    distillation,
    lora,
    mask_prompts,
    picture_regions,
    prediction,
    prompts,
    spots,
    subjects,
)


def distil(
    dataset: Dataset,
    sam_folder: Path,
    params: DistilPriorsParams,
    folder: Path,
    tracker: Tracker,
    store: KeyedStore,
    truth_root: Path | None = None,
) -> dict[str, float]:
    """Write `<study>.npz` for every study and the index `priors.json` to `folder`.

    Priors that `store` holds are taken from there, others are computed and put there one by one, so a run
    that was killed goes on, and a new cohort costs its own studies alone.

    Returned are the number of studies computed and taken over, seconds per scan (if any was computed; of
    one process), coverage (share of the manifest's studies with a prior), `agreement_<structure>` (soft
    Dice of the rapid and the standard scan's masks, the latter moved by the measured shift) and, where
    truth is known, `dice_<rapid|standard>_truth_<structure>`. Values without a single case are left out.
    """
    asker = Asker.load(sam_folder, params.keep_embeddings)
    rows = [row for _, row in dataset.table.iterrows()]
    filled = _fill(store, rows, asker, sam_folder, params, dataset)

    with whole_folder(folder) as partial:
        for study, key in filled.keys.items():
            shutil.copyfile(filled.found[key], partial / f"{study}.npz")
        write_json(partial / INDEX, _index(rows, filled.keys, filled.sam_key, params, asker.description, partial))

    report = _report(dataset, rows, folder, truth_root) | filled.report
    tracker.metrics(report)
    return report


def distil_share(
    dataset: Dataset, sam_folder: Path, params: DistilPriorsParams, store: KeyedStore, share: int, shares: int
) -> dict[str, float]:
    """Compute what `store` lacks for every `shares`-th patient from number `share` (0, 1, ...) on.

    Where several pods share a store and each does its share, `distil` finds everything there: the result cannot
    depend on how many did the work. All studies of a patient are in one share.

    Returns what `distil` says of studies computed, taken over, and seconds per scan.
    """
    patients = set(sorted(dataset.table["patient"].unique())[share::shares])
    rows = [row for _, row in dataset.table.iterrows() if row["patient"] in patients]
    asker = Asker.load(sam_folder, params.keep_embeddings)
    return _fill(store, rows, asker, sam_folder, params, dataset).report


@dataclass(frozen=True)
class _Filled:
    """A store that holds the priors of some studies: study -> key, key -> file, and what that took."""

    sam_key: str
    keys: dict[str, str]
    found: dict[str, Path]
    report: dict[str, float]


def _fill(
    store: KeyedStore,
    rows: list[pd.Series],
    asker: Asker,
    sam_folder: Path,
    params: DistilPriorsParams,
    dataset: Dataset,
) -> _Filled:
    """Compute and store what is missing; seconds per scan are left out where nothing was."""
    sam_key = _sha256({name: asker.description[name] for name in ANSWER_DEPENDS_ON})
    keys = {row["study"]: study_key(row, sam_key, params) for row in rows}
    found = {key: path for key in keys.values() if (path := store.find(key)) is not None}
    missing = [row for row in rows if keys[row["study"]] not in found]
    seconds: list[float] = []
    for row, prior, spent in track(
        _priors(missing, asker, sam_folder, params, dataset), "semantic priors", len(missing)
    ):
        found[keys[row["study"]]] = store.put(keys[row["study"]], partial(save_prior, prior=prior))
        seconds.append(spent / 2)
    report = {"studies_computed": float(len(missing)), "studies_taken_over": float(len(rows) - len(missing))}
    if seconds:
        report["seconds_per_scan"] = float(np.mean(seconds))
    return _Filled(sam_key, keys, found, report)


def study_key(row: pd.Series, sam_key: str, params: DistilPriorsParams) -> str:
    """Hex SHA-256 over everything that one study's prior depends on."""
    return _sha256(
        {
            "rapid": row["rapid_counts_sha256"],
            "standard": row["standard_counts_sha256"],
            "count_ratio": float(row["count_ratio"]),
            "spacing_mm": float(row["spacing_mm"]),
            "sam": sam_key,
            "code": answering_code_sha256(),
            "embeddings": params.keep_embeddings,
        }
    )


@cache
def answering_code_sha256() -> str:
    """Hex SHA-256 of the modules that turn a scan into masks, and of torch's version: a store outlives releases."""
    digest = hashlib.sha256(torch.__version__.encode())
    for module in ANSWERS_COME_FROM:
        assert module.__file__ is not None
        digest.update(Path(module.__file__).read_bytes())
    return digest.hexdigest()


def _priors(
    rows: list[pd.Series], asker: Asker, sam_folder: Path, params: DistilPriorsParams, dataset: Dataset
) -> Iterator[tuple[pd.Series, Prior, float]]:
    """Rows, their priors and the seconds each took; the first study tells whether more processes pay."""
    workers = 1
    for number, row in enumerate(rows):
        started = time.perf_counter()
        prior = asker.prior(dataset, row)
        spent = time.perf_counter() - started
        yield row, prior, spent
        left = len(rows) - number - 1
        if number == 0:
            workers = useful_workers(params.workers, left, spent)
        if workers > 1:
            break
    if workers > 1:
        yield from ask_in_processes(workers, sam_folder, params.keep_embeddings, dataset, rows[1:])


def _index(
    rows: list[pd.Series],
    keys: dict[str, str],
    sam_key: str,
    params: DistilPriorsParams,
    description: dict,
    folder: Path,
) -> dict:
    scans = sorted((row["study"], row["rapid_counts_sha256"], row["standard_counts_sha256"]) for row in rows)
    studies = {study: {"key": key, "sha256": sha256_file(folder / f"{study}.npz")} for study, key in keys.items()}
    return {
        "key": _sha256(keys),
        "dataset_sha256": _sha256(scans),
        "sam_sha256": sam_key,
        "sam": {
            "provenance": description["provenance"]["text"],
            "architecture": description["architecture"],
            "adapter_sha256": description["adapter_sha256"],
        },
        "structures": list(_structures(rows)),
        "code_sha256": answering_code_sha256(),
        "prompts_version": prompts.VERSION,
        "keep_embeddings": params.keep_embeddings,
        "studies": studies,
    }


def _report(dataset: Dataset, rows: list[pd.Series], folder: Path, truth_root: Path | None) -> dict[str, float]:
    gathered: dict[str, list[np.ndarray]] = {"agreement": [], "dice_rapid_truth": [], "dice_standard_truth": []}
    for row in track(rows, "agreement of priors"):
        prior = load_prior(folder, row["study"])
        rapid, standard = prior.masks_rapid / np.float32(255), prior.masks_standard / np.float32(255)
        gathered["agreement"].append(_where_shown(rapid, dice(rapid, _moved_back(standard, row))))
        truth = None if truth_root is None else find_truth(truth_root, row["standard_counts_sha256"])
        if truth is not None:
            pairs = (("rapid", rapid, truth.masks_rapid), ("standard", standard, truth.masks_standard))
            for name, soft, exact in pairs:
                scores = np.where(exact.any(axis=(1, 2, 3)), dice(soft > 0.5, exact), np.nan)
                gathered[f"dice_{name}_truth"].append(scores)
    written = sum((folder / f"{row['study']}.npz").is_file() for row in rows)
    report = {"coverage": written / len(dataset.table) if len(dataset.table) else 0.0}
    for name, tables in gathered.items():
        for structure, column in zip(_structures(rows), np.array(tables).reshape(-1, len(STRUCTURES)).T, strict=True):
            known = column[np.isfinite(column)]
            if known.size:
                report[f"{name}_{structure}"] = float(known.mean())
    return report


def _structures(rows: list[pd.Series]) -> tuple[str, ...]:
    """Names of the masks; a data set holds one modality."""
    return modality_of(rows[0]).structures if rows else STRUCTURES


def _where_shown(soft: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Scores of the structures that a scan shows at all; agreement on nothing is no agreement."""
    return np.where((soft > 0.5).any(axis=(1, 2, 3)), scores, np.nan)


def _moved_back(standard: np.ndarray, row: pd.Series) -> np.ndarray:
    """The standard scan's masks in the rapid scan's place, by whole pixels."""
    moved = np.empty_like(standard)
    for view in range(standard.shape[1]):
        rows, columns = shift_pixels(row, view)
        moved[:, view] = np.roll(standard[:, view], (-rows, -columns), axis=(1, 2))
    return moved


def _sha256(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
