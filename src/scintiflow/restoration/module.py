"""What one optimiser step of the cascade does: losses, optimiser, learning rate, averaged weights.

Everything here depends on the optimiser step alone, and everything that a checkpoint must hold is held by it.
"""

import math

import pytorch_lightning as lightning
import torch
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from scintiflow.params import TrainCascadeParams
from scintiflow.restoration.best import BestSoFar
from scintiflow.restoration.cascade import (
    Cascade,
    DistillationWeights,
    Examples,
    cascade_losses,
    first_loss,
    prior_head_losses,
)
from scintiflow.restoration.curves import Curves

WARM_UP_SHARE = 0.05
FINAL_LEARNING_RATE = 0.01  # of the peak
ADAM_BETAS = (0.9, 0.99)


class CascadeTraining(lightning.LightningModule):
    """Losses, optimiser, averaged weights and the gate of the distillation."""

    def __init__(self, params: TrainCascadeParams, recipe: str, mixed: bool) -> None:
        super().__init__()
        self.params, self.recipe, self.mixed = params, recipe, mixed
        self.cascade = Cascade(params).to(memory_format=torch.channels_last)
        self.averaged = AveragedModel(self.cascade, multi_avg_fn=get_ema_multi_avg_fn(params.average_decay))
        self.averaged.requires_grad_(False)
        if params.torch_compile:  # the averaged copy stays as it is: validation has images of all sizes
            for network in (self.cascade.first, self.cascade.second):
                network.compile()
        self.teacher_is_better = False
        self.best = BestSoFar(params.patience)
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
        first = self.cascade.first(examples.input, examples.k, examples.opposite, self.mixed)
        losses = {"deviance_first": first_loss(first, examples)}
        losses |= prior_head_losses(self.cascade, first, examples, self.params.prior_head_weight)
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
            "patience": self.params.patience,
            "best": self.best.state(),
            "curves": self.curves.state(),
        }

    def on_load_checkpoint(self, checkpoint: dict) -> None:
        self.teacher_is_better = checkpoint["scintiflow"]["teacher_is_better"]
        self.best.restore(checkpoint["scintiflow"]["best"])
        self.curves.restore(checkpoint["scintiflow"]["curves"])


def learning_rate(step: int, steps: int) -> float:
    """Share of the peak: linear warm-up, then half a cosine down to FINAL_LEARNING_RATE."""
    warm_up = max(1.0, WARM_UP_SHARE * steps)
    falling = 0.5 + 0.5 * math.cos(math.pi * min(1.0, step / steps))
    return min(1.0, (step + 1) / warm_up) * (FINAL_LEARNING_RATE + (1 - FINAL_LEARNING_RATE) * falling)
