"""Training of the cascade: one callback that keeps time, one function that runs it over `module`.

Everything that shapes the weights depends on the optimiser step: data, learning rate, ramp, validation.
A run that resumes from its checkpoint ends with the weights of the uninterrupted run, bit for bit on a CPU.
Validation knows no truth: simulated children are treated like real ones (decision 0004), and the noise-corrected
error stands in for the error against the truth. Truth is for `evaluation` and `benchmarks`.
"""

import logging
import os
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytorch_lightning as lightning
import torch

from scintiflow.dataset.examples import Study
from scintiflow.dataset.patches import PatchSampler
from scintiflow.files import whole_file
from scintiflow.params import TrainCascadeParams
from scintiflow.progress import Bar, work
from scintiflow.restoration.batches import WORKERS_WITH_ACCELERATOR, Sampler, SteppedBatches, batch_loader
from scintiflow.restoration.best import BestSoFar
from scintiflow.restoration.module import CascadeTraining
from scintiflow.restoration.panel import draw_panel, picture_steps
from scintiflow.restoration.restorer import starting_weights
from scintiflow.restoration.validation import ValidationView, held_out_views, validate
from scintiflow.tracking import Tracker

CHECKPOINT = "last.ckpt"
ROWS_BETWEEN_VALIDATIONS = 5


class Timekeeper(lightning.Callback):
    """After every step: average, record, validate, save, in this order, so that a checkpoint holds them all."""

    def __init__(self, views: Sequence[ValidationView], checkpoint: Path, tracker: Tracker, bar: Bar) -> None:
        self._views, self._checkpoint, self._tracker, self._bar = views, checkpoint, tracker, bar
        self._note, self._step = "", -1

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self._step = trainer.global_step

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, *_: object, **__: object
    ) -> None:
        assert isinstance(pl_module, CascadeTraining)
        module = pl_module
        step, params = trainer.global_step, module.params
        if step == self._step:  # one of several batches of a step
            return
        self._step = step
        module.averaged.update_parameters(module.cascade)
        module.steps_of_this_run += 1
        validating = step % params.validate_every == 0 or step == params.steps
        if validating or step % max(1, params.validate_every // ROWS_BETWEEN_VALIDATIONS) == 0:
            extra = self._validated(module) if validating else {}
            row = module.curves.close_row(
                step,
                learning_rate=trainer.optimizers[0].param_groups[0]["lr"],
                distillation=float(module.teacher_is_better),
                **extra,
            )
            if trainer.is_global_zero:
                self._tracker.metrics({name: value for name, value in row.items() if name != "step"}, step=step)
                if step in picture_steps(params.steps, params.validate_every):
                    self._picture(module, step)
        if module.best.is_over:
            trainer.should_stop = True
        if step % params.checkpoint_every == 0 or module.best.is_over:
            save_checkpoint(trainer, self._checkpoint)
        self._bar.advance(note=self._note)

    def _validated(self, module: CascadeTraining) -> dict[str, float]:
        psnr = validate(module.averaged_cascade, self._views, module.device)
        module.teacher_is_better = psnr["second"] > psnr["first"]
        module.best.note(psnr["first"], module.averaged_cascade)
        self._note = f"f^IR1 {psnr['first']:.2f} dB, f^IR2 {psnr['second']:.2f} dB"
        return {"validation_psnr_first_db": psnr["first"], "validation_psnr_second_db": psnr["second"]}

    def _picture(self, module: CascadeTraining, step: int) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"step-{step:06d}.png"
            draw_panel(module.averaged_cascade, self._views[0], module.device, f"step {step}: {self._note}", path)
            self._tracker.artifact(path, "pictures")


def save_checkpoint(trainer: lightning.Trainer, path: Path) -> None:
    """Everything that resuming needs, whole or not at all; called on every device, written by the first."""
    if not trainer.is_global_zero:
        trainer.save_checkpoint(path)
        return
    with whole_file(path) as partial:
        trainer.save_checkpoint(partial)


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
        checkpoint_folder: gets `last.ckpt` every `checkpoint_every` steps; the caller removes it.
        recipe: hash of parameters and data; a checkpoint of another recipe is ignored.

    Returns:
        The module after its last step; `averaged_cascade` holds the weights to keep: the last, or the best
        where `params.patience` is set.
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
    rank, devices = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    first_batch, last_batch = (step * params.batches_per_step for step in (done, last))
    batches = SteppedBatches(sampler, first_batch, last_batch, rank, devices)
    loader = batch_loader(batches, WORKERS_WITH_ACCELERATOR if accelerated else 0)
    with _quiet_lightning(), work("Train the cascade", params.steps) as bar:
        if done:
            bar.advance(done, note="resumed")
        trainer = lightning.Trainer(
            accelerator="gpu" if accelerated else "cpu",
            devices=max(1, devices // int(os.environ.get("NNODES", "1"))),
            num_nodes=int(os.environ.get("NNODES", "1")),
            strategy="ddp_find_unused_parameters_true" if devices > 1 else "auto",
            max_steps=last,
            accumulate_grad_batches=params.batches_per_step,
            max_epochs=-1,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            limit_val_batches=0,
            num_sanity_val_steps=0,
            callbacks=[Timekeeper(views, checkpoint, tracker, bar)],
        )
        trainer.fit(module, loader, ckpt_path=checkpoint if done else None, weights_only=True if done else None)
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
