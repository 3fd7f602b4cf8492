"""Training of the cascade: one LightningModule, one callback that keeps time, one function that runs both.

Everything that shapes the weights depends on the optimiser step: data, learning rate, ramp, validation.
A run that resumes from its checkpoint ends with the weights of the uninterrupted run, bit for bit on a CPU.
"""

import logging
import math
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytorch_lightning as lightning
import torch
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from scintiflow.dataset.patches import PatchSampler, Study
from scintiflow.files import whole_file
from scintiflow.params import TrainCascadeParams
from scintiflow.progress import Bar, work
from scintiflow.restoration.batches import WORKERS_WITH_ACCELERATOR, SteppedBatches, batch_loader
from scintiflow.restoration.cascade import Cascade, DistillationWeights, Examples, cascade_losses, first_loss
from scintiflow.restoration.curves import Curves
from scintiflow.restoration.validation import ValidationView, thinned_views, validate
from scintiflow.tracking import Tracker

CHECKPOINT = "last.ckpt"
WARM_UP_SHARE = 0.05
FINAL_LEARNING_RATE = 0.01  # of the peak
ADAM_BETAS = (0.9, 0.99)
ROWS_BETWEEN_VALIDATIONS = 5


class CascadeTraining(lightning.LightningModule):
    """Losses, optimiser, averaged weights and the gate of the distillation."""

    def __init__(self, params: TrainCascadeParams, recipe: str, mixed: bool) -> None:
        super().__init__()
        self.params, self.recipe, self.mixed = params, recipe, mixed
        self.cascade = Cascade(params).to(memory_format=torch.channels_last)
        self.averaged = AveragedModel(self.cascade, multi_avg_fn=get_ema_multi_avg_fn(params.average_decay))
        self.averaged.requires_grad_(False)
        self.teacher_is_better = False
        self.curves = Curves()
        self.steps_of_this_run = 0

    @property
    def averaged_cascade(self) -> Cascade:
        """The moving average of the weights: what is validated and kept."""
        cascade = self.averaged.module
        assert isinstance(cascade, Cascade)
        return cascade

    def training_step(self, batch: dict[str, Tensor]) -> Tensor:
        examples = Examples(**batch)
        first = self.cascade.first(examples.input, examples.k, self.mixed)
        losses = {"deviance_first": first_loss(first, examples)}
        if self.global_step % self.params.second_every == 0:
            losses |= cascade_losses(self.cascade, first, examples, self.distillation_weights(), self.mixed)
        self.curves.add({name: float(loss.detach()) for name, loss in losses.items()})
        return torch.stack(list(losses.values())).sum()

    def distillation_weights(self) -> DistillationWeights:
        """l1, l2, l3 at this step: ramped from zero, and zero unless f^IR2 was better at the last validation."""
        ramp = min(1.0, self.global_step / max(1.0, self.params.ramp * self.params.steps))
        scale = ramp if self.teacher_is_better else 0.0
        return DistillationWeights(
            output=scale * self.params.skd_output_weight,
            features=scale * self.params.skd_feature_weight,
            consistency=scale * self.params.scm_weight,
        )

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        optimiser = torch.optim.AdamW(
            self.cascade.parameters(),
            lr=self.params.learning_rate,
            betas=ADAM_BETAS,
            weight_decay=self.params.weight_decay,
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: learning_rate(step, self.params.steps))
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def configure_gradient_clipping(self, *_: object, **__: object) -> None:
        """Each part by its own norm: f^IR2's gradients must not shorten f^IR1's steps."""
        for part in self.cascade.children():
            torch.nn.utils.clip_grad_norm_(part.parameters(), self.params.gradient_clip)

    def on_save_checkpoint(self, checkpoint: dict) -> None:
        checkpoint["scintiflow"] = {
            "recipe": self.recipe,
            "teacher_is_better": self.teacher_is_better,
            "curves": self.curves.state(),
        }

    def on_load_checkpoint(self, checkpoint: dict) -> None:
        self.teacher_is_better = checkpoint["scintiflow"]["teacher_is_better"]
        self.curves.restore(checkpoint["scintiflow"]["curves"])


def learning_rate(step: int, steps: int) -> float:
    """Share of the peak: linear warm-up, then half a cosine down to FINAL_LEARNING_RATE."""
    warm_up = max(1.0, WARM_UP_SHARE * steps)
    falling = 0.5 + 0.5 * math.cos(math.pi * min(1.0, step / steps))
    return min(1.0, (step + 1) / warm_up) * (FINAL_LEARNING_RATE + (1 - FINAL_LEARNING_RATE) * falling)


class Timekeeper(lightning.Callback):
    """After every step: average, record, validate, save, in this order, so that a checkpoint holds them all."""

    def __init__(self, views: Sequence[ValidationView], checkpoint: Path, tracker: Tracker, bar: Bar) -> None:
        self._views, self._checkpoint, self._tracker, self._bar = views, checkpoint, tracker, bar
        self._note = ""

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, *_: object, **__: object
    ) -> None:
        assert isinstance(pl_module, CascadeTraining)
        module = pl_module
        step, params = trainer.global_step, module.params
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
        if step % params.checkpoint_every == 0:
            save_checkpoint(trainer, self._checkpoint)
        self._bar.advance(note=self._note)

    def _validated(self, module: CascadeTraining) -> dict[str, float]:
        psnr = validate(module.averaged_cascade, self._views, module.device)
        module.teacher_is_better = psnr["second"] > psnr["first"]
        self._note = f"f^IR1 {psnr['first']:.2f} dB, f^IR2 {psnr['second']:.2f} dB"
        return {"validation_psnr_first_db": psnr["first"], "validation_psnr_second_db": psnr["second"]}


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
    """Train to `params.steps`, from the checkpoint in `checkpoint_folder` if it is of the same recipe.

    Args:
        training, held_out: studies of the train and the validation patients.
        checkpoint_folder: gets `last.ckpt` every `checkpoint_every` steps; the caller removes it.
        recipe: hash of parameters and data; a checkpoint of another recipe is ignored.

    Returns:
        The module after its last step; `averaged_cascade` holds the weights to keep.
    """
    checkpoint = checkpoint_folder / CHECKPOINT
    done = resumable_step(checkpoint, recipe)
    accelerated = torch.cuda.is_available()
    sampler = PatchSampler(
        training,
        patch_pixels=params.patch_pixels,
        patches=params.patches_per_step,
        thinned_share=params.thinned_share,
        seed=params.seed,
    )
    module = CascadeTraining(params, recipe, mixed=params.mixed_precision and bfloat16_is_native())
    rank, devices = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    batches = SteppedBatches(sampler, done, params.steps, rank, devices)
    loader = batch_loader(batches, WORKERS_WITH_ACCELERATOR if accelerated else 0)
    with _quiet_lightning(), work("Train the cascade", params.steps) as bar:
        if done:
            bar.advance(done, note="resumed")
        trainer = lightning.Trainer(
            accelerator="gpu" if accelerated else "cpu",
            devices=max(1, devices // int(os.environ.get("NNODES", "1"))),
            num_nodes=int(os.environ.get("NNODES", "1")),
            strategy="ddp_find_unused_parameters_true" if devices > 1 else "auto",
            max_steps=params.steps,
            max_epochs=-1,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            limit_val_batches=0,
            num_sanity_val_steps=0,
            callbacks=[Timekeeper(thinned_views(held_out, params.seed), checkpoint, tracker, bar)],
        )
        trainer.fit(module, loader, ckpt_path=checkpoint if done else None, weights_only=True if done else None)
    if trainer.global_step < params.steps:
        raise KeyboardInterrupt(f"training stopped at step {trainer.global_step} of {params.steps}")
    return module


def resumable_step(checkpoint: Path, recipe: str) -> int:
    """Optimiser steps done in a checkpoint of this recipe; 0 where there is none."""
    if not checkpoint.is_file():
        return 0
    content = torch.load(checkpoint, map_location="cpu", weights_only=True)
    if content.get("scintiflow", {}).get("recipe") != recipe:
        return 0
    return int(content["global_step"])


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
