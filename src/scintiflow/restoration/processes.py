"""Several processes train one cascade: torch's launcher starts them, DistributedDataParallel joins them.

`python -m torch.distributed.run ... -m scintiflow.restoration.processes WORK.json` is the one entry point, on one
node or on several. The processes leave their last checkpoint behind; whoever ordered the work takes it up from
there. Only the first process writes, and it tells its order's giver what it wants tracked (`relay`).
"""

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from scintiflow.dataset.manifest import Dataset
from scintiflow.dataset.patches import load_studies
from scintiflow.errors import ScintiflowError
from scintiflow.files import read_json, write_json
from scintiflow.params import TrainCascadeParams, parse_section
from scintiflow.restoration.relay import Relay, WrittenTracker
from scintiflow.restoration.training import CHECKPOINT, Processes, StoppedEarly, resumable, train
from scintiflow.tracking import SilentTracker, Tracker

WORK = "work.json"
FAILURE = "failure.json"
SECONDS_BETWEEN_LOOKS = 0.2
SECONDS_TO_STOP = 60.0  # after a SIGTERM: the current step and its checkpoint


@dataclass(frozen=True)
class WorkOrder:
    """What every process must know. `checkpoints` is a folder that all of them see under this path."""

    params: TrainCascadeParams
    dataset: Path
    priors: Path
    checkpoints: Path
    recipe: str

    def write(self) -> Path:
        """Write it into the folder of checkpoints, and forget what an earlier attempt complained of."""
        (self.checkpoints / FAILURE).unlink(missing_ok=True)
        content = {name: str(getattr(self, name)) for name in ("dataset", "priors", "checkpoints", "recipe")}
        write_json(self.checkpoints / WORK, content | {"params": self.params.model_dump()})
        return self.checkpoints / WORK

    @classmethod
    def read(cls, path: Path) -> "WorkOrder":
        content = read_json(path)
        params = parse_section("train_cascade", json.dumps(content["params"]))
        assert isinstance(params, TrainCascadeParams)
        dataset, priors, checkpoints = (Path(content[name]) for name in ("dataset", "priors", "checkpoints"))
        return cls(params, dataset, priors, checkpoints, content["recipe"])

    @property
    def is_done(self) -> bool:
        """Whether a checkpoint says that nothing is left to train."""
        found = resumable(self.checkpoints / CHECKPOINT, self.recipe)
        return found.is_over or found.step >= self.params.steps


def launcher_command(work: Path, *options: str, python: str = sys.executable) -> list[str]:
    """The command that trains on one node; `options` are those of torch's launcher, else the environment has them."""
    return [python, "-m", "torch.distributed.run", *options, "-m", __name__, str(work)]


def train_in_processes(order: WorkOrder, tracker: Tracker) -> None:
    """Train with `devices` processes on this machine and wait for the last checkpoint.

    Raises StoppedEarly after a SIGTERM, and ScintiflowError with what a process says, or how it ended.
    """
    if order.is_done:
        return
    with Relay(order.checkpoints, tracker) as relay:
        options = ("--standalone", f"--nproc-per-node={order.params.devices}")
        launcher = subprocess.Popen(launcher_command(order.write(), *options))
        with _sigterm_reaches(launcher) as was_signalled:
            while _runs(launcher):
                relay.forward()
    check_ending(order, was_signalled(), f"exit code {launcher.returncode}" if launcher.returncode else "")


def check_ending(order: WorkOrder, was_told_to_stop: bool, ending: str) -> None:
    """Raise what became of the processes, if they did not do all of the work; `ending` says how they ended."""
    if order.is_done:
        return
    if was_told_to_stop:
        raise StoppedEarly(resumable(order.checkpoints / CHECKPOINT, order.recipe).step, order.params.steps)
    failure = order.checkpoints / FAILURE
    if failure.is_file():
        raise ScintiflowError(**read_json(failure))
    raise ScintiflowError(
        f"training in {order.params.processes} processes ended before its last step ({ending or 'no error'})",
        where="train_cascade",
        remedy="What the processes said stands above; the next run goes on from their last checkpoint",
    )


def _runs(process: subprocess.Popen) -> bool:
    try:
        process.wait(SECONDS_BETWEEN_LOOKS)
    except subprocess.TimeoutExpired:
        return True
    return False


@contextmanager
def _sigterm_reaches(launcher: subprocess.Popen) -> Iterator[Callable[[], bool]]:
    """Hand on a SIGTERM, and the end of the block; yields whether one came. The processes are gone at the end."""
    signalled = threading.Event()

    def hand_on(signum: int, frame: FrameType | None) -> None:
        signalled.set()
        launcher.terminate()

    in_main_thread = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, hand_on) if in_main_thread else None
    try:
        yield signalled.is_set
    finally:
        if in_main_thread:
            signal.signal(signal.SIGTERM, before)
        launcher.terminate()
        try:
            launcher.wait(SECONDS_TO_STOP)
        except subprocess.TimeoutExpired:
            launcher.kill()


def main(work: Path) -> None:
    """What each process does."""
    order, processes = WorkOrder.read(work), Processes.of_the_launcher()
    tracker = SilentTracker() if processes.rank else WrittenTracker(order.checkpoints)
    try:
        dataset, masks_from = Dataset.open(order.dataset), order.params.masks_from
        training, held_out = (
            load_studies(dataset, order.priors, split, masks_from) for split in ("train", "validation")
        )
        train(order.params, training, held_out, order.checkpoints, order.recipe, tracker)
    except ScintiflowError as error:
        if processes.rank == 0:
            write_json(
                order.checkpoints / FAILURE, {"reason": error.reason, "where": error.where, "remedy": error.remedy}
            )
        raise


if __name__ == "__main__":
    main(Path(sys.argv[1]))
