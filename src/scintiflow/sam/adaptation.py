"""Fine-tuning SAM on bone scans and measuring, on patients it never learned from, what that brought."""

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from segment_anything.modeling import Sam

from scintiflow.dataset.manifest import Dataset
from scintiflow.errors import ScintiflowError
from scintiflow.files import whole_folder, write_json
from scintiflow.params import AdaptSamParams
from scintiflow.phantom.truth import find_truth
from scintiflow.progress import track
from scintiflow.sam import prompts, pseudo_masks
from scintiflow.sam.adapter import DESCRIPTION, save_adapter
from scintiflow.sam.build import build_sam
from scintiflow.sam.overlap import dice
from scintiflow.sam.overlays import Overlay, draw_overlays
from scintiflow.sam.prediction import predict
from scintiflow.sam.samples import Sample, load_samples
from scintiflow.sam.training import train
from scintiflow.structures import STRUCTURES
from scintiflow.tracking import Tracker

OVERLAYS = "overlays.png"
OVERLAYS_SHOWN = 4
UNFINISHED = ".unfinished"  # sibling of the output folder, where a killed run left its checkpoint


@dataclass(frozen=True)
class _Seen:
    """One network's answers on the held-out patients.

    Attributes:
        pseudo, truth: Dice `[patient, structure]` against pseudo-masks and exact masks, NaN where undefined.
        pictures: bool masks of the first few patients.
    """

    pseudo: np.ndarray
    truth: np.ndarray
    pictures: list[np.ndarray]


def adapt(
    dataset: Dataset,
    params: AdaptSamParams,
    folder: Path,
    tracker: Tracker,
    truth_root: Path | None = None,
    unfinished: Path | None = None,
) -> dict[str, float]:
    """Fine-tune SAM on the training patients; write `adapter.pt`, `sam.json`, `overlays.png` to `folder`.

    Weights are chosen by Dice on validation patients; test patients are only scored. Returned are
    `dice_<before|after>_<pseudo|truth>_<structure>` (mean over held-out patients, validation and test; a
    structure that no held-out patient shows has no entry), `dice_pseudo_truth_<structure>` (how good the
    targets are, where truth is known), and what training did.

    A run that was killed goes on from the checkpoint in `unfinished` (default `<folder>.unfinished`).
    Raises ScintiflowError if there are no training or no validation patients.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    training = _needed(load_samples(dataset, ["train"]), dataset, "train")
    validation = _needed(load_samples(dataset, ["validation"]), dataset, "validation")
    held_out = validation + load_samples(dataset, ["test"])
    _refuse_shared_patients(training, held_out)
    exact = [_exact_masks(sample, truth_root) for sample in held_out]

    sam, provenance = build_sam(params.architecture, params.seed)
    sam.to(device)
    before = _look(sam, held_out, exact, params, "SAM before adaptation")
    unfinished = unfinished or folder.with_name(folder.name + UNFINISHED)
    fingerprint = _fingerprint(params, training + validation)
    result = train(
        sam,
        training,
        params,
        _validation_dice(sam, validation, params),
        unfinished / "checkpoint.pt",
        fingerprint,
        tracker,
    )
    after = _look(sam, held_out, exact, params, "SAM after adaptation")

    scores = _scores(before, after, held_out, exact)
    report = scores | {
        "validation_dice": result.dice,
        "best_step": float(result.step),
        "loss_first": float(np.mean(result.losses[:10])),
        "loss_last": float(np.mean(result.losses[-10:])),
        "patients_training": float(len({sample.patient for sample in training})),
        "patients_held_out": float(len({sample.patient for sample in held_out})),
        "parameters_trained": float(sum(p.numel() for p in sam.parameters() if p.requires_grad)),
    }
    with whole_folder(folder) as partial:
        adapter_sha256 = save_adapter(partial, result.state)
        description = {
            "architecture": params.architecture.model_dump(),
            "provenance": provenance.as_dict(),
            "trainable": params.trainable,
            "display_ceiling_counts": params.display_ceiling_counts,
            "fill_boxes": params.fill_boxes,
            "base_checkpoint_sha256": params.architecture.checkpoint_sha256,
            "adapter_sha256": adapter_sha256,
            "prompts_version": prompts.VERSION,
            "pseudo_masks_version": pseudo_masks.VERSION,
            "report": report,
        }
        write_json(partial / DESCRIPTION, description)
        shown = zip(held_out, before.pictures, after.pictures, exact, strict=False)
        draw_overlays(
            partial / OVERLAYS,
            [Overlay(s.counts, first, last, s.masks, truth) for s, first, last, truth in shown],
            params.display_ceiling_counts,
        )
    tracker.metrics(report)
    tracker.artifact(folder / OVERLAYS, "sam")
    shutil.rmtree(unfinished, ignore_errors=True)
    return report


def _validation_dice(sam: Sam, validation: list[Sample], params: AdaptSamParams) -> Callable[[], float]:
    def mean_dice() -> float:
        seen = _look(sam, validation, [None] * len(validation), params, "")
        return float(np.nanmean(_mean_over_patients(seen.pseudo)))

    return mean_dice


def _look(
    sam: Sam, samples: list[Sample], exact: list[np.ndarray | None], params: AdaptSamParams, label: str
) -> _Seen:
    undefined = np.full(len(STRUCTURES), np.nan)
    pseudo, truth = [], []
    pictures: list[np.ndarray] = []
    for sample, masks in zip(track(samples, label) if label else samples, exact, strict=True):
        counts = sample.counts.astype(np.float32)
        soft, _ = predict(sam, counts, sample.spacing_mm, params.display_ceiling_counts, params.fill_boxes)
        answer = soft > 0.5
        pseudo.append(_defined_dice(answer, sample.masks))
        truth.append(undefined if masks is None else _defined_dice(answer, masks))
        if len(pictures) < OVERLAYS_SHOWN:
            pictures.append(answer)
    return _Seen(np.stack(pseudo), np.stack(truth), pictures)


def _defined_dice(answer: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Dice `[structure]`; NaN where the target is empty, for Dice says nothing about that."""
    return np.where(target.any(axis=(1, 2, 3)), dice(answer, target), np.nan)


def _scores(before: _Seen, after: _Seen, held_out: list[Sample], exact: list[np.ndarray | None]) -> dict[str, float]:
    targets = [
        _defined_dice(sample.masks, masks) for sample, masks in zip(held_out, exact, strict=True) if masks is not None
    ]
    tables = {
        "before_pseudo": before.pseudo,
        "before_truth": before.truth,
        "after_pseudo": after.pseudo,
        "after_truth": after.truth,
        "pseudo_truth": np.stack(targets) if targets else np.full((1, len(STRUCTURES)), np.nan),
    }
    return {
        f"dice_{name}_{structure}": float(value)
        for name, table in tables.items()
        for structure, value in zip(STRUCTURES, _mean_over_patients(table), strict=True)
        if np.isfinite(value)
    }


def _mean_over_patients(table: np.ndarray) -> np.ndarray:
    """Column means `[structure]` that leave out NaN; NaN for a column without a number."""
    number = np.isfinite(table).sum(axis=0)
    return np.where(number > 0, np.nansum(table, axis=0) / np.maximum(number, 1), np.nan)


def _exact_masks(sample: Sample, truth_root: Path | None) -> np.ndarray | None:
    truth = None if truth_root is None else find_truth(truth_root, sample.counts_sha256)
    return None if truth is None else truth.masks_standard


def _fingerprint(params: AdaptSamParams, samples: list[Sample]) -> str:
    content = {
        "params": params.model_dump(),
        "scans": [(sample.counts_sha256, sample.spacing_mm, sample.count_ratio) for sample in samples],
        "versions": [prompts.VERSION, pseudo_masks.VERSION, torch.__version__],
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _needed(samples: list[Sample], dataset: Dataset, split: str) -> list[Sample]:
    if not samples:
        raise ScintiflowError(
            f"holds no {split} patients",
            where=dataset.folder,
            remedy="Add patients or change the shares in ingest.split",
        )
    return samples


def _refuse_shared_patients(training: list[Sample], held_out: list[Sample]) -> None:
    shared = {sample.patient for sample in training} & {sample.patient for sample in held_out}
    if shared:
        raise ScintiflowError(
            f"{len(shared)} patients are both in training and held out",
            where="manifest.parquet",
            remedy="Run the ingest stage again",
        )
