"""Distilling SAM's knowledge into files: soft masks and embeddings of every study, computed once.

A study's prior is keyed by everything it depends on: counts of both scans, count ratio and spacing,
the way masks are prepared, SAM's base checkpoint and adapter, the prompts. An equal key means an equal
prior, so it is taken over from an earlier or an interrupted run instead of being computed again.
"""

import hashlib
import json
import shutil
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from segment_anything.modeling import Sam

from scintiflow.dataset.manifest import Dataset, shift_pixels
from scintiflow.dataset.priors import INDEX, Prior, load_prior, save_prior
from scintiflow.files import read_json, sha256_file, whole_folder, write_json
from scintiflow.params import DistilPriorsParams
from scintiflow.phantom.truth import find_truth
from scintiflow.progress import track
from scintiflow.sam import prompts
from scintiflow.sam.adapter import load_adapted_sam
from scintiflow.sam.overlap import dice
from scintiflow.sam.prediction import predict
from scintiflow.sam.training import deterministic
from scintiflow.structures import STRUCTURES
from scintiflow.tracking import Tracker

ANSWER_DEPENDS_ON = ("architecture", "adapter_sha256", "display_ceiling_counts", "fill_boxes")  # of sam.json
PREPARATION_VERSION = 1  # of canvas, window and storage; raise it whenever equal inputs give other priors
UNFINISHED = ".unfinished"  # sibling of the output folder, where a killed run left its priors


def distil(
    dataset: Dataset,
    sam_folder: Path,
    params: DistilPriorsParams,
    folder: Path,
    tracker: Tracker,
    truth_root: Path | None = None,
    unfinished: Path | None = None,
) -> dict[str, float]:
    """Write `<study>.npz` for every study and the index `priors.json` to `folder`.

    Returned are the number of studies computed and taken over, seconds per scan (if any was computed),
    coverage (share of the manifest's studies with a prior), `agreement_<structure>` (soft Dice of the
    rapid and the standard scan's masks, the latter moved by the measured shift) and, where truth is
    known, `dice_<rapid|standard>_truth_<structure>`. Values without a single case are left out.
    """
    sam, description = load_adapted_sam(sam_folder)
    sam.to(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    sam_key = _sha256({name: description[name] for name in ANSWER_DEPENDS_ON})
    rows = [row for _, row in dataset.table.iterrows()]
    keys = {row["study"]: study_key(row, sam_key, params) for row in rows}

    store = unfinished or folder.with_name(folder.name + UNFINISHED)
    store.mkdir(parents=True, exist_ok=True)
    _take_over(folder, store, keys)
    seconds: list[float] = []
    for row in track(rows, "semantic priors"):
        path = store / f"{keys[row['study']]}.npz"
        if not path.is_file():
            started = time.perf_counter()
            save_prior(path, _prior(sam, dataset, row, params, description))
            seconds.append((time.perf_counter() - started) / 2)

    with whole_folder(folder) as partial:
        for study, key in keys.items():
            shutil.copyfile(store / f"{key}.npz", partial / f"{study}.npz")
        write_json(partial / INDEX, _index(rows, keys, sam_key, params, description, partial))
    shutil.rmtree(store, ignore_errors=True)

    report = _report(dataset, rows, folder, truth_root)
    report |= {"studies_computed": float(len(seconds)), "studies_taken_over": float(len(rows) - len(seconds))}
    if seconds:
        report["seconds_per_scan"] = float(np.mean(seconds))
    tracker.metrics(report)
    return report


def study_key(row: pd.Series, sam_key: str, params: DistilPriorsParams) -> str:
    """Hex SHA-256 over everything that one study's prior depends on."""
    return _sha256(
        {
            "rapid": row["rapid_counts_sha256"],
            "standard": row["standard_counts_sha256"],
            "count_ratio": float(row["count_ratio"]),
            "spacing_mm": float(row["spacing_mm"]),
            "sam": sam_key,
            "preparation": PREPARATION_VERSION,
            "prompts": prompts.VERSION,
            "embeddings": params.keep_embeddings,
        }
    )


def _prior(sam: Sam, dataset: Dataset, row: pd.Series, params: DistilPriorsParams, description: dict) -> Prior:
    pair = dataset.pair(row["study"])
    how = (float(row["spacing_mm"]), description["display_ceiling_counts"], description["fill_boxes"])
    with deterministic():
        rapid, rapid_embedding = predict(sam, pair.rapid * np.float32(row["count_ratio"]), *how)
        standard, standard_embedding = predict(sam, pair.standard.astype(np.float32), *how)
    keep = params.keep_embeddings
    return Prior(
        masks_rapid=_as_bytes(rapid),
        masks_standard=_as_bytes(standard),
        embedding_rapid=rapid_embedding.numpy().astype(np.float16) if keep else None,
        embedding_standard=standard_embedding.numpy().astype(np.float16) if keep else None,
    )


def _as_bytes(soft: np.ndarray) -> np.ndarray:
    return np.round(soft * 255).astype(np.uint8)


def _take_over(earlier: Path, store: Path, keys: dict[str, str]) -> None:
    """Copy priors with a wanted key, unchanged since they were written, from an earlier result to the store."""
    if not (earlier / INDEX).is_file():
        return
    wanted = set(keys.values())
    for study, entry in read_json(earlier / INDEX).get("studies", {}).items():
        source, target = earlier / f"{study}.npz", store / f"{entry['key']}.npz"
        whole = source.is_file() and entry["key"] in wanted and sha256_file(source) == entry["sha256"]
        if whole and not target.is_file():
            partial = target.with_suffix(".copying")
            shutil.copyfile(source, partial)
            partial.replace(target)


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
        "structures": list(STRUCTURES),
        "preparation_version": PREPARATION_VERSION,
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
        for structure, column in zip(STRUCTURES, np.array(tables).reshape(-1, len(STRUCTURES)).T, strict=True):
            known = column[np.isfinite(column)]
            if known.size:
                report[f"{name}_{structure}"] = float(known.mean())
    return report


def _where_shown(soft: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Scores of the structures that a scan shows at all; agreement on nothing is no agreement."""
    return np.where((soft > 0.5).any(axis=(1, 2, 3)), scores, np.nan)


def _moved_back(standard: np.ndarray, row: pd.Series) -> np.ndarray:
    """The standard scan's masks in the rapid scan's place, by whole pixels."""
    moved = np.empty_like(standard)
    for view in range(2):
        rows, columns = shift_pixels(row, view)
        moved[:, view] = np.roll(standard[:, view], (-rows, -columns), axis=(1, 2))
    return moved


def _sha256(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
