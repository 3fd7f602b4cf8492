"""What happens after every optimiser step: average, record, validate, save, stop, in this order.

So a checkpoint holds them all. Of several processes the first validates, draws, saves and tells; all go on with
its numbers.
"""

import signal
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

import pytorch_lightning as lightning

from scintiflow.files import whole_file
from scintiflow.progress import Bar
from scintiflow.restoration.module import CascadeTraining
from scintiflow.restoration.panel import draw_panel, picture_steps
from scintiflow.restoration.validation import ValidationView, validate
from scintiflow.tracking import Tracker

ROWS_BETWEEN_VALIDATIONS = 5


class Timekeeper(lightning.Callback):
    """Keeps time for a `CascadeTraining`; `was_told_to_stop` after a SIGTERM, which costs no step."""

    def __init__(self, views: Sequence[ValidationView], checkpoint: Path, tracker: Tracker, bar: Bar) -> None:
        self._views, self._checkpoint, self._tracker, self._bar = views, checkpoint, tracker, bar
        self._note, self._step = "", -1
        self._signalled = self.was_told_to_stop = False

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self._step = trainer.global_step
        # Not Lightning's own handler: it communicates with the other processes in the middle of whatever they do.
        # Lightning puts back what was there before.
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._note_signal)

    def _note_signal(self, signum: int, frame: FrameType | None) -> None:
        self._signalled = True

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
            self._close_row(trainer, module, validating)
        # A signal reaches several processes at different steps; they must stop at the same one.
        self.was_told_to_stop = trainer.strategy.reduce_boolean_decision(self._signalled, all=False)
        is_last = step == params.steps or module.best.is_over
        if step % params.checkpoint_every == 0 or is_last or self.was_told_to_stop:
            save_checkpoint(trainer, self._checkpoint)
        if module.best.is_over or self.was_told_to_stop:
            trainer.should_stop = True
        self._bar.advance(note=self._note)

    def _close_row(self, trainer: lightning.Trainer, module: CascadeTraining, validating: bool) -> None:
        step = trainer.global_step
        extra = self._validated(trainer, module) if validating else {}
        row = module.curves.close_row(
            step,
            learning_rate=trainer.optimizers[0].param_groups[0]["lr"],
            distillation=float(module.teacher_is_better),
            **extra,
        )
        if trainer.is_global_zero:
            self._tracker.metrics({name: value for name, value in row.items() if name != "step"}, step=step)
            if step in picture_steps(module.params.steps, module.params.validate_every):
                self._picture(module, step)

    def _validated(self, trainer: lightning.Trainer, module: CascadeTraining) -> dict[str, float]:
        own = validate(module.averaged_cascade, self._views, module.device) if trainer.is_global_zero else {}
        psnr = trainer.strategy.broadcast(own)
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
    """Everything that resuming needs, whole or not at all; called by every process, written by the first."""
    if not trainer.is_global_zero:
        trainer.save_checkpoint(path)
        return
    with whole_file(path) as partial:
        trainer.save_checkpoint(partial)
