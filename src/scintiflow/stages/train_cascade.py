"""Train the cascade: data set + semantic priors -> weights of f^IR1 (and f^IR2), curves, description.

An interrupted run leaves its checkpoint in `checkpoints` (else `<cascade>.checkpoint`) and the next
run with the same parameters and data goes on from there. The output folder appears whole.

With `devices` above 1 the training itself happens in other processes; what comes back is their last checkpoint,
taken up here like that of any run.
"""

import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from scintiflow.dataset.manifest import MANIFEST, Dataset
from scintiflow.dataset.patches import load_studies
from scintiflow.dataset.priors import INDEX
from scintiflow.errors import ScintiflowError
from scintiflow.files import sha256_file, sha256_tree, whole_folder
from scintiflow.params import TrainCascadeParams
from scintiflow.restoration.counts import gaussian_blur
from scintiflow.restoration.curves import LOSSES
from scintiflow.restoration.module import CascadeTraining
from scintiflow.restoration.processes import WorkOrder, train_in_processes
from scintiflow.restoration.restorer import save_cascade
from scintiflow.restoration.training import CHECKPOINT, resumable, train
from scintiflow.restoration.validation import held_out_views, real_views, validate, validate_restorer
from scintiflow.stages.several_nodes import train_on_nodes
from scintiflow.tracking import Tracker


@dataclass(frozen=True)
class Inputs:
    dataset: Path
    priors: Path


@dataclass(frozen=True)
class Outputs:
    """`checkpoints`: where a killed run is taken up again; beside the output by default."""

    cascade: Path
    checkpoints: Path | None = None


def run(params: TrainCascadeParams, inputs: Inputs, outputs: Outputs, tracker: Tracker) -> dict[str, float]:
    """Train and write the cascade folder (see `scintiflow.restoration.restorer`).

    Returns losses by term (last recorded means), noise-corrected validation PSNR of f^IR1, of f^IR2 with
    its privileged masks and of the Gaussian base, patches per second and seconds of this run.

    Raises ScintiflowError if the data set lacks train or validation studies, a prior is absent, or the recipe asks of
    pictures what only counts can keep.
    """
    dataset = Dataset.open(inputs.dataset)
    training = load_studies(dataset, inputs.priors, "train", params.masks_from)
    held_out = load_studies(dataset, inputs.priors, "validation", params.masks_from)
    if params.count_true_pixels and not training[0].modality.is_counted:
        raise ScintiflowError(
            "must be 0: the good picture of a pair has other levels than the poor one",
            where="train_cascade.count_true_pixels",
            remedy="Set it to 0, as profiles/endoscopy.yaml does",
        )
    training_set = sha256_file(inputs.dataset / MANIFEST)
    recipe = f"{params.work_sha256()} {training_set} {_priors_sha256(inputs.priors)}"
    checkpoint_folder = outputs.checkpoints or outputs.cascade.with_name(f"{outputs.cascade.name}.checkpoint")

    started = time.monotonic()
    steps_before = resumable(checkpoint_folder / CHECKPOINT, recipe).step
    order = WorkOrder(params, inputs.dataset, inputs.priors, checkpoint_folder, recipe)
    if params.nodes > 1:
        train_on_nodes(order, tracker)
    elif params.devices > 1:
        train_in_processes(order, tracker)
    module = train(params, training, held_out, checkpoint_folder, recipe, tracker)
    seconds = time.monotonic() - started

    steps = module.curves.rows[-1]["step"]
    patches = (steps - steps_before) * params.batches_per_step * params.patches_per_step
    report = _report(params, module, held_out) | {
        "patches_per_second": patches / seconds,
        "steps_trained": steps,
        "seconds": seconds,
    }
    with whole_folder(outputs.cascade) as folder:
        save_cascade(folder, module.averaged_cascade, params, training_set, modality=training[0].modality)
        module.curves.save(folder)
    shutil.rmtree(checkpoint_folder, ignore_errors=True)
    tracker.metrics(report)
    tracker.artifact(outputs.cascade / "curves.png", "curves")
    return report


def _report(params: TrainCascadeParams, module: CascadeTraining, held_out: list) -> dict[str, float]:
    averaged, views = module.averaged_cascade.to("cpu").eval(), held_out_views(held_out, params.seed, params.views)
    processor = torch.device("cpu")
    psnr = validate(averaged, views, processor)
    gaussian = validate_restorer(lambda counts, k: gaussian_blur(counts * k, params.base_blur_pixels), views)
    active = [row["distillation"] for row in module.curves.rows]
    report = {f"loss_{name}": module.curves.last(name) or 0.0 for name in LOSSES}
    return report | {
        "distillation_active_share": sum(active) / len(active),
        "validation_psnr_first_db": psnr["first"],
        "validation_psnr_second_with_masks_db": psnr["second"],
        "validation_psnr_gaussian_db": gaussian,
        "validation_psnr_first_real_pairs_db": validate(averaged, real_views(held_out, params.views), processor)[
            "first"
        ],
    }


def _priors_sha256(folder: Path) -> str:
    index = folder / INDEX
    return sha256_file(index) if index.is_file() else sha256_tree(folder)
