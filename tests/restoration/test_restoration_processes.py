"""Two processes train like one: the same batches, the same losses, the same weights but for rounding."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from test_restoration_training import recipe, written_dataset

from scintiflow.dataset.priors import INDEX
from scintiflow.errors import ScintiflowError
from scintiflow.params import TrainCascadeParams, changed
from scintiflow.restoration.processes import WorkOrder, train_in_processes
from scintiflow.restoration.relay import Relay, WrittenTracker
from scintiflow.stages import train_cascade
from scintiflow.tracking import SilentTracker

# Adam divides a gradient by its own size, so that rounding of a tiny one moves a weight by up to the learning rate.
LARGEST_WEIGHT_DIFFERENCE = 2e-4  # of weights of the order of 0.1, after 4 steps of at most 0.003
LARGEST_LOSS_DIFFERENCE = 1e-4  # relative


class RememberingTracker:
    def __init__(self) -> None:
        self.rows: dict[int, dict[str, float]] = {}
        self.artifacts: list[tuple[str, str, int]] = []
        self.final: dict[str, float] = {}

    def metrics(self, values, step=None) -> None:
        if step is None:
            self.final = values
        else:
            assert step not in self.rows, "told twice"
            self.rows[step] = values

    def artifact(self, path: Path, folder: str = "") -> None:
        self.artifacts.append((path.name, folder, len(path.read_bytes())))


def trained(
    folder: Path, inputs: train_cascade.Inputs, params: TrainCascadeParams
) -> tuple[Path, RememberingTracker]:
    tracker = RememberingTracker()
    train_cascade.run(params, inputs, train_cascade.Outputs(folder / "cascade"), tracker)
    return folder / "cascade", tracker


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return written_dataset(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def both(inputs, tmp_path_factory):
    """The same recipe in one process and in two; three patches cannot be shared evenly."""
    folder = tmp_path_factory.mktemp("both")
    params = recipe(
        steps=4, patches_per_step=3, batches_per_step=2, second_every=2, prior_head_weight=0.3, checkpoint_every=3
    )
    torch.set_num_threads(1)
    alone = trained(folder / "alone", inputs, params)
    return alone, trained(folder / "together", inputs, changed(params, devices=2))


def rows(cascade: Path) -> list[dict[str, str]]:
    with (cascade / "curves.csv").open() as source:
        return list(csv.DictReader(source))


def test_two_processes_end_with_the_weights_of_one(both):
    (alone, _), (together, _) = both
    for name in ("first.safetensors", "second.safetensors"):
        expected, found = load_file(alone / name), load_file(together / name)
        assert expected.keys() == found.keys()
        worst = max(float((expected[key] - found[key]).abs().max()) for key in expected)
        assert worst < LARGEST_WEIGHT_DIFFERENCE


def test_the_loss_curves_are_those_of_one_process(both):
    (alone, _), (together, _) = both
    expected, found = rows(alone), rows(together)
    assert [row["step"] for row in found] == [row["step"] for row in expected]
    for one, other in zip(expected, found, strict=True):
        assert one.keys() == other.keys()
        for name, value in one.items():
            if value == "":
                assert other[name] == ""
            else:
                assert float(other[name]) == pytest.approx(float(value), rel=LARGEST_LOSS_DIFFERENCE), name
    assert {"deviance_first", "deviance_second", "skd_output", "scm", "prior_head"} <= {
        name for row in found for name, value in row.items() if value
    }


def test_one_process_writes_and_one_tracker_is_told_everything_once(both):
    (alone, told_alone), (together, told) = both
    assert {path.name for path in together.iterdir()} == {path.name for path in alone.iterdir()}
    assert {path.name for path in together.parent.iterdir()} == {"cascade"}
    assert told.rows.keys() == told_alone.rows.keys()
    assert [artifact[:2] for artifact in told.artifacts] == [artifact[:2] for artifact in told_alone.artifacts]
    assert all(size > 1000 for _, _, size in told.artifacts)
    assert told.final["patches_per_second"] > 0
    assert told.final["steps_trained"] == 4


def test_what_a_process_refuses_is_said_as_it_would_be_by_one(inputs, tmp_path):
    params = recipe(devices=2)
    (tmp_path / "priors").mkdir()
    assert not (inputs.priors / INDEX).exists()
    with pytest.raises(ScintiflowError) as refusal:
        train_in_processes(
            WorkOrder(params, inputs.dataset, tmp_path / "priors", tmp_path / "work", "r"), SilentTracker()
        )
    assert "study0" in refusal.value.where


def test_processes_without_a_share_are_refused():
    with pytest.raises(ValueError, match="cannot share patches_per_step = 2"):
        recipe(devices=3)


def test_a_tracker_in_another_process_is_told_whole_lines_only(tmp_path):
    told, written = RememberingTracker(), WrittenTracker(tmp_path)
    picture = tmp_path / "picture.png"
    picture.write_bytes(b"0123456789")
    with Relay(tmp_path, told) as relay:
        written.metrics({"loss": 1.5}, step=1)
        with (tmp_path / "told.jsonl").open("a") as lines:
            lines.write('{"metrics": {"loss"')
            lines.flush()
            relay.forward()
            assert told.rows == {1: {"loss": 1.5}}
            lines.write(': 2.5}, "step": 2}\n')
        written.artifact(picture, "pictures")
    np.testing.assert_equal(told.rows, {1: {"loss": 1.5}, 2: {"loss": 2.5}})
    assert told.artifacts == [("picture.png", "pictures", 10)]
    assert {path.name for path in tmp_path.iterdir()} == {"picture.png"}
