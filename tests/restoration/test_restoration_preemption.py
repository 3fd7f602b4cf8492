"""A training process that is killed, at whatever step and however often, ends with the weights of one that is not.

The killed process is a fork of one that has only imported modules, so that an attempt costs its training and no more.
"""

import csv
import multiprocessing
import os
import shutil
import signal
import time
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest
import torch
from test_restoration_training import recipe, written_dataset

from scintiflow.files import sha256_tree
from scintiflow.params import TrainCascadeParams, changed
from scintiflow.restoration.curves import LOSSES
from scintiflow.stages import train_cascade
from scintiflow.tracking import SilentTracker

KILLS = 4
LARGEST_LOSS_DIFFERENCE = 1e-2  # relative; the number of processes changes the weights by rounding
CONTEXT = multiprocessing.get_context("forkserver")
# Lightning loads s3fs and omegaconf with the first checkpoint.
CONTEXT.set_forkserver_preload(["scintiflow.stages.train_cascade", "s3fs", "omegaconf"])


class StepsTold(SilentTracker):
    """Tells the other end of a pipe each step that was recorded."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe

    def metrics(self, values, step=None) -> None:
        if step is not None:
            self._pipe.send(step)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return written_dataset(tmp_path_factory.mktemp("data"))


def stage(folder: Path, inputs: train_cascade.Inputs, params: TrainCascadeParams, pipe: Connection) -> None:
    torch.set_num_threads(1)
    train_cascade.run(params, inputs, train_cascade.Outputs(folder / "cascade"), StepsTold(pipe))


class Attempt:
    """The stage in a process of its own; steps that it told so far."""

    def __init__(self, folder: Path, inputs: train_cascade.Inputs, params: TrainCascadeParams) -> None:
        self._pipe, other = CONTEXT.Pipe(duplex=False)
        self.process = CONTEXT.Process(target=stage, args=(folder, inputs, params, other))
        self.process.start()
        other.close()
        self.steps: list[int] = []

    def wait_for(self, step: int) -> None:
        while not self.steps or self.steps[-1] < step:
            try:
                self.steps.append(self._pipe.recv())
            except EOFError:
                break

    def send(self, number: signal.Signals) -> int:
        os.kill(self.process.pid, number)
        self.wait_for(10**9)
        return self.end()

    def end(self) -> int:
        self.process.join()
        return self.process.exitcode


def finished(folder: Path, inputs: train_cascade.Inputs, params: TrainCascadeParams) -> Attempt:
    """An attempt that comes to its end."""
    attempt = Attempt(folder, inputs, params)
    attempt.wait_for(params.steps)
    assert attempt.end() == 0
    return attempt


def uninterrupted(folder: Path, inputs: train_cascade.Inputs, params: TrainCascadeParams) -> str:
    finished(folder, inputs, params)
    return sha256_tree(folder / "cascade")


def told_to_stop(folder: Path, inputs: train_cascade.Inputs, params: TrainCascadeParams, after: int) -> int:
    """The step at which an attempt stopped that got a SIGTERM after step `after`."""
    attempt = Attempt(folder, inputs, params)
    attempt.wait_for(after)
    assert attempt.send(signal.SIGTERM) == 128 + signal.SIGTERM
    assert after <= attempt.steps[-1] < params.steps
    assert not (folder / "cascade").exists()
    return attempt.steps[-1]


def test_killed_at_random_steps_it_ends_with_the_same_bytes(inputs, tmp_path):
    params = recipe(steps=11, validate_every=4, checkpoint_every=2, patience=9)
    whole = uninterrupted(tmp_path / "whole", inputs, params)

    generator = np.random.default_rng(7)
    reached = 0
    for _ in range(KILLS):
        attempt = Attempt(tmp_path / "killed", inputs, params)
        attempt.wait_for(reached + int(generator.integers(1, 3)))
        time.sleep(generator.uniform(0, 0.05))  # within a step, or while a checkpoint is being written
        assert attempt.send(signal.SIGKILL) == -signal.SIGKILL
        assert attempt.steps[0] > reached - params.checkpoint_every, "it did not go on where it was"
        reached = attempt.steps[-1]
    attempt = finished(tmp_path / "killed", inputs, params)
    assert attempt.steps[0] > reached - params.checkpoint_every
    assert sha256_tree(tmp_path / "killed" / "cascade") == whole


def test_told_to_stop_it_writes_a_checkpoint_at_once(inputs, tmp_path):
    params = recipe(steps=8, validate_every=4, checkpoint_every=1000)
    whole = uninterrupted(tmp_path / "whole", inputs, params)
    stopped_at = told_to_stop(tmp_path / "stopped", inputs, params, after=3)
    assert finished(tmp_path / "stopped", inputs, params).steps[0] == stopped_at + 1
    assert sha256_tree(tmp_path / "stopped" / "cascade") == whole


@pytest.mark.slow
def test_two_processes_told_to_stop_agree_on_the_step_and_one_alone_can_go_on(inputs, tmp_path):
    params = recipe(steps=30, validate_every=5, checkpoint_every=1000, devices=2)
    whole = uninterrupted(tmp_path / "whole", inputs, params)
    stopped_at = told_to_stop(tmp_path / "stopped", inputs, params, after=2)
    shutil.copytree(tmp_path / "stopped", tmp_path / "alone")
    assert finished(tmp_path / "stopped", inputs, params).steps[0] == stopped_at + 1
    assert sha256_tree(tmp_path / "stopped" / "cascade") == whole

    assert finished(tmp_path / "alone", inputs, changed(params, devices=1)).steps[0] == stopped_at + 1
    losses = [last_losses(tmp_path / name / "cascade") for name in ("whole", "alone")]
    assert losses[0] == pytest.approx(losses[1], rel=LARGEST_LOSS_DIFFERENCE)


def last_losses(cascade: Path) -> dict[str, float]:
    with (cascade / "curves.csv").open() as source:
        row = list(csv.DictReader(source))[-1]
    return {name: float(row[name]) for name in LOSSES if row[name]}
