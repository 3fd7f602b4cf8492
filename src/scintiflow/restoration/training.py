"""Training of the cascade: one function that runs `module` under its `timekeeper`.

Everything that shapes the weights depends on the optimiser step: data, learning rate, ramp, validation.
A run that resumes from its checkpoint ends with the weights of the uninterrupted run, bit for bit on a CPU.
Processes that torch's launcher has started share every batch (`whole_batch`): their number is no part of the recipe
and changes the weights by rounding alone.
Validation knows no truth: simulated children are treated like real ones (decision 0004), and the noise-corrected
error stands in for the error against the truth. Truth is for `evaluation` and `benchmarks`.
"""

import logging
import os
import signal
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import pytorch_lightning as lightning
import torch

from scintiflow.dataset.examples import Study
from scintiflow.dataset.patches import PatchSampler
from scintiflow.params import TrainCascadeParams
from scintiflow.progress import SilentBar, work
from scintiflow.restoration.batches import WORKERS_WITH_ACCELERATOR, Sampler, SteppedBatches, batch_loader
from scintiflow.restoration.best import BestSoFar
from scintiflow.restoration.module import CascadeTraining
from scintiflow.restoration.restorer import starting_weights
from scintiflow.restoration.timekeeper import Timekeeper
from scintiflow.restoration.validation import ValidationView, held_out_views
from scintiflow.tracking import Tracker

CHECKPOINT = "last.ckpt"


class StoppedEarly(SystemExit):
    """Training was told to stop (SIGTERM); its checkpoint is written, and the next run goes on from there."""

    def __init__(self, step: int, steps: int) -> None:
        super().__init__(128 + signal.SIGTERM)
        self.step, self.steps = step, steps

    def __str__(self) -> str:
        return f"training was told to stop after step {self.step} of {self.steps}; the next run goes on from there"


@dataclass(frozen=True)
class Processes:
    """How many processes train together, on how many nodes, and which of them this is."""

    rank: int = 0
    number: int = 1
    nodes: int = 1

    @classmethod
    def of_the_launcher(cls) -> "Processes":
        """As torch's launcher says; one where it started none."""
        if not torch.distributed.is_torchelastic_launched():
            return cls()
        rank, number, here = (int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE"))
        return cls(rank, number, number // here)


def train(
    params: TrainCascadeParams,
    training: Sequence[Study],
    held_out: Sequence[Study],
    checkpoint_folder: Path,
    recipe: str,
    tracker: Tracker,
) -> CascadeTraining:
    """Train to `params.steps`, or until patience ends; take up the checkpoint of an equal recipe if there is one.

    Args:
        training, held_out: studies of the train and the validation patients.
        checkpoint_folder: gets `last.ckpt` every `checkpoint_every` steps, after the last, and when a SIGTERM
            comes; the caller removes it.
        recipe: hash of parameters and data; a checkpoint of another recipe is ignored.

    Returns:
        The module after its last step; `averaged_cascade` holds the weights to keep: the last, or the best
        where `params.patience` is set.

    Raises StoppedEarly, a SystemExit, after a SIGTERM.
    """
    sampler = PatchSampler(
        training,
        patch_pixels=params.patch_pixels,
        patches=params.patches_per_step,
        thinned_share=params.thinned_share,
        seed=params.seed,
        augmentation=params.augmentation,
        views=params.views,
    )
    views = held_out_views(held_out, params.seed, params.views)
    return fit(params, sampler, views, checkpoint_folder, recipe, tracker)


def fit(
    params: TrainCascadeParams,
    sampler: Sampler,
    views: Sequence[ValidationView],
    checkpoint_folder: Path,
    recipe: str,
    tracker: Tracker,
) -> CascadeTraining:
    """`train` on batches of any origin, validated on the given views."""
    checkpoint = checkpoint_folder / CHECKPOINT
    found = resumable(checkpoint, recipe)
    done, last = found.step, found.step if found.is_over else params.steps
    accelerated = torch.cuda.is_available()
    module = CascadeTraining(params, recipe, mixed=params.mixed_precision and bfloat16_is_native())
    start = starting_weights(params)
    if start is not None:  # a checkpoint, if there is one, overwrites them
        for cascade in (module.cascade, module.averaged_cascade):
            cascade.first.load_state_dict(start)
    processes = Processes.of_the_launcher()
    first_batch, last_batch = (step * params.batches_per_step for step in (done, last))
    batches = SteppedBatches(sampler, first_batch, last_batch, processes.rank, processes.number)
    loader = batch_loader(batches, WORKERS_WITH_ACCELERATOR if accelerated else 0)
    shown = nullcontext(SilentBar()) if processes.rank else work("Train the cascade", params.steps)
    with _quiet_lightning(), shown as bar:
        if done:
            bar.advance(done, note="resumed")
        timekeeper = Timekeeper(views, checkpoint, tracker, bar)
        trainer = lightning.Trainer(
            accelerator="gpu" if accelerated else "cpu",
            devices=processes.number // processes.nodes,
            num_nodes=processes.nodes,
            strategy="ddp_find_unused_parameters_true" if processes.number > 1 else "auto",
            max_steps=last,
            accumulate_grad_batches=params.batches_per_step,
            max_epochs=-1,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            limit_val_batches=0,
            num_sanity_val_steps=0,
            callbacks=[timekeeper],
        )
        trainer.fit(module, loader, ckpt_path=checkpoint if done else None, weights_only=True if done else None)
    if timekeeper.was_told_to_stop and trainer.global_step < last:
        raise StoppedEarly(trainer.global_step, last)
    if trainer.global_step < last and not module.best.is_over:
        raise KeyboardInterrupt(f"training stopped at step {trainer.global_step} of {params.steps}")
    module.best.return_to(module.averaged_cascade)
    return module


@dataclass(frozen=True)
class Resumable:
    """Optimiser steps that a checkpoint holds, and whether its training had ended early."""

    step: int = 0
    is_over: bool = False


def resumable(checkpoint: Path, recipe: str) -> Resumable:
    """What can be taken up from a checkpoint; nothing where there is none, or one of another recipe."""
    if not checkpoint.is_file():
        return Resumable()
    content = torch.load(checkpoint, map_location="cpu", weights_only=True)
    ours = content.get("scintiflow", {})
    if ours.get("recipe") != recipe:
        return Resumable()
    best = BestSoFar(ours["patience"])
    best.restore(ours["best"])
    return Resumable(int(content["global_step"]), best.is_over)


def bfloat16_is_native() -> bool:
    """Whether the device multiplies bfloat16 in hardware; elsewhere mixed precision only costs time."""
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported()
    return bool(torch.cpu._is_avx512_bf16_supported())


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    """No banners, tips or hints; errors still speak."""
    loggers = [logging.getLogger(name) for name in ("pytorch_lightning", "lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="pytorch_lightning")
            warnings.filterwarnings("ignore", module="lightning_fabric")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
