"""Fine-tuning SAM on bone scans and measuring, on patients it never learned from, what that brought."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import torch

from scintiflow.dataset.manifest import Dataset
from scintiflow.errors import ScintiflowError
from scintiflow.files import whole_folder, write_json
from scintiflow.params import AdaptSamParams
from scintiflow.sam import canvas, prompts, pseudo_masks, scoring
from scintiflow.sam.adapter import DESCRIPTION, save_adapter
from scintiflow.sam.build import build_sam
from scintiflow.sam.overlays import Overlay, draw_overlays
from scintiflow.sam.samples import Sample, load_samples
from scintiflow.sam.scoring import look
from scintiflow.sam.trainable import Trainable
from scintiflow.sam.training import train
from scintiflow.tracking import Tracker

OVERLAYS = "overlays.png"
OVERLAYS_SHOWN = 4
UNFINISHED = ".unfinished"  # sibling of the output folder, where a killed run left its checkpoint


def adapt(
    dataset: Dataset,
    params: AdaptSamParams,
    folder: Path,
    tracker: Tracker,
    truth_root: Path | None = None,
    unfinished: Path | None = None,
) -> dict[str, float]:
    """Fine-tune SAM on the training patients; write `adapter.pt`, `sam.json`, `overlays.png` to `folder`.

    Weights are chosen by Dice on validation patients, against what the training patients teach: exact masks
    of simulated children (if `params.exact_targets`), pseudo-masks of real ones. Test patients are only
    scored. Returned are Dice and IoU (see `scoring.report`) and what training did.

    A run that was killed goes on from the checkpoint in `unfinished` (default `<folder>.unfinished`).
    Raises ScintiflowError if there are no training or no validation patients.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    known = (truth_root, params.exact_targets)
    training = _needed(load_samples(dataset, ["train"], *known), dataset, "train")
    validation = _needed(load_samples(dataset, ["validation"], *known), dataset, "validation")
    held_out = validation + load_samples(dataset, ["test"], *known)
    _refuse_shared_patients(training, held_out)

    sam, provenance = build_sam(params.architecture, params.seed)
    trainable = Trainable.from_params(params)
    trainable.extend(sam).to(device)
    before = look(sam, held_out, params, "SAM before adaptation", OVERLAYS_SHOWN)
    unfinished = unfinished or folder.with_name(folder.name + UNFINISHED)
    result = train(
        sam,
        training,
        params,
        lambda: look(sam, validation, params).targets,
        unfinished / "checkpoint.pt",
        _fingerprint(params, training + validation),
        tracker,
    )
    after = look(sam, held_out, params, "SAM after adaptation", OVERLAYS_SHOWN)

    report = scoring.report(before, after, held_out) | {
        "validation_dice": result.dice,
        "best_step": float(result.step),
        "loss_first": float(np.mean(result.losses[:10])),
        "loss_last": float(np.mean(result.losses[-10:])),
        "patients_training": float(len({sample.patient for sample in training})),
        "patients_held_out": float(len({sample.patient for sample in held_out})),
        "scans_with_exact_targets": float(sum(sample.targets is sample.exact for sample in training)),
        "parameters_trained": float(sum(p.numel() for p in sam.parameters() if p.requires_grad)),
    }
    with whole_folder(folder) as partial:
        adapter_sha256 = save_adapter(partial, result.state)
        description = {
            "architecture": params.architecture.model_dump(),
            "provenance": provenance.as_dict(),
            "trainable": trainable.model_dump(),
            "display_ceiling_counts": params.display_ceiling_counts,
            "shape_prompts": params.shape_prompts,
            "base_checkpoint_sha256": params.architecture.checkpoint_sha256,
            "adapter_sha256": adapter_sha256,
            "canvas_version": canvas.VERSION,
            "prompts_version": prompts.VERSION,
            "pseudo_masks_version": pseudo_masks.VERSION,
            "report": report,
        }
        write_json(partial / DESCRIPTION, description)
        shown = zip(held_out, before.pictures, after.pictures, strict=False)
        draw_overlays(
            partial / OVERLAYS,
            [Overlay(sample.shown, first, last, sample.masks, sample.exact) for sample, first, last in shown],
            params.display_ceiling_counts,
            held_out[0].modality.structures,
        )
    tracker.metrics(report)
    tracker.artifact(folder / OVERLAYS, "sam")
    shutil.rmtree(unfinished, ignore_errors=True)
    return report


def _fingerprint(params: AdaptSamParams, samples: list[Sample]) -> str:
    content = {
        "params": params.model_dump(),
        "scans": [(sample.counts_sha256, sample.spacing_mm, sample.count_ratio) for sample in samples],
        "targets": [hashlib.sha256(np.packbits(sample.targets).tobytes()).hexdigest() for sample in samples],
        "versions": [canvas.VERSION, prompts.VERSION, pseudo_masks.VERSION, torch.__version__],
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
