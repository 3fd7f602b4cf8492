"""Retrain on this machine: the same graph through kfp.local, drawn stage by stage."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from rich.console import Console

from scintiflow.cluster.display import DONE, StageBoard
from scintiflow.cluster.local_cache import STATE, cache_root, pipeline_root
from scintiflow.errors import ScintiflowError
from scintiflow.evaluation_folder import REPORT
from scintiflow.files import read_json, write_json
from scintiflow.params import Params
from scintiflow.progress import EVENTS_FILE
from scintiflow.registry.claims import keep_alive
from scintiflow.registry.lineage import RECIPE
from scintiflow.registry.runs import close_parent
from scintiflow.registry.surroundings import PIPELINE_RUN
from scintiflow.stages.graph import find_stage

CHANGES = "changes.diff"
SECONDS_BETWEEN_SIGNS = 60.0


class StageError(Exception):
    """A stage broke, and not because of the user's input. Carries where the log is."""


@dataclass(frozen=True)
class Outcome:
    """What a retrain did.

    Attributes:
        registration: content of `registration.json`.
        report: the page with everything, HTML.
        ran: names of the stages that ran; empty when nothing had changed.
        parent_run: MLflow parent run, None when nothing ran.
    """

    registration: dict
    report: Path
    ran: tuple[str, ...]
    parent_run: str | None
    seconds: float


@dataclass(frozen=True)
class Order:
    """A retrain that was planned and claimed, for whoever carries it out: this machine or a cluster.

    Attributes:
        arguments: of the pipeline.
        again: stages that run even if nothing has changed.
        tags: provenance, kept with the MLflow parent run.
        diff: what differs from the commit, kept as `changes.diff`; b'' for a clean tree.
        claimed_run: id of the open MLflow parent run, which wants a sign of life at times (`claims.keep_alive`);
            None where no stage will run.
    """

    params: Params
    arguments: dict[str, str]
    again: tuple[str, ...]
    tags: dict[str, str]
    diff: bytes
    claimed_run: str | None


def retrain_locally(order: Order, root: Path, console: Console) -> Outcome:
    """Run the retrain pipeline with kfp.local under `root`; the environment names the run (`retraining`).

    Raises ScintiflowError when a stage refuses its input, StageError when one breaks; the MLflow
    parent run is FAILED in both cases.
    """
    started = time.monotonic()
    params = order.params.model_dump()
    for stage in order.again:
        _forget(stage, cache_root(root))
    folder = root / STATE / "runs" / os.environ[PIPELINE_RUN]
    folder.mkdir(parents=True)
    request = {
        "arguments": order.arguments,
        "pipeline_root": str(pipeline_root(root)),
        "cache_root": str(cache_root(root)),
        "result": str(folder / "result.json"),
    }
    write_json(folder / "request.json", request)
    write_json(folder / RECIPE, order.params.model_dump(by_alias=True))
    kept = [folder / RECIPE]
    if order.diff:
        kept.append(folder / CHANGES)
        kept[-1].write_bytes(order.diff)

    log = folder / "pipeline.log"
    try:
        with StageBoard(folder / "events.jsonl", console) as board:
            succeeded = run_process(folder, log, root, board, order.claimed_run)
            if succeeded:
                board.succeed()
    except KeyboardInterrupt:
        close_parent("KILLED", params, order.tags, [*kept, log])
        raise
    if not succeeded:
        close_parent("FAILED", params, order.tags, [*kept, log])
        raise failure_of(board.failure, log)

    outputs = {name: Path(path) for name, path in read_json(folder / "result.json").items()}
    report = outputs["restored"] / REPORT
    parent = close_parent("FINISHED", params, order.tags, [*kept, report, log])
    return Outcome(
        registration=read_json(outputs["registration"] / "registration.json"),
        report=report,
        ran=tuple(name for name, state in board.states.items() if state == DONE),
        parent_run=parent,
        seconds=time.monotonic() - started,
    )


def _forget(stage: str, cache: Path) -> None:
    """Drop the stage's entries from kfp.local's cache; an entry names the folder `<run>/<stage>/<output>`."""
    folder = find_stage(stage, "--again").name.replace("_", "-")
    for entry in cache.glob("*.json"):
        outputs = [output for output in read_json(entry).values() if isinstance(output, dict)]
        if any(Path(output.get("uri", "")).parent.name == folder for output in outputs):
            entry.unlink()


class Board(Protocol):
    """Something that shows the events of stages."""

    def update(self) -> None:
        """Take in the events that have come since the last call."""


def run_process(folder: Path, log: Path, root: Path, board: Board, claimed_run: str | None = None) -> bool:
    """Run the request in `folder` in a process of its own, and let `board` follow; True if it succeeded."""
    environment = os.environ | {EVENTS_FILE: str(folder / "events.jsonl"), "TERM": "dumb"}
    # Seven processes import torch and MLflow: without cached bytecode each would compile them anew.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, "-m", "scintiflow.cluster.local_process", str(folder / "request.json")]
    with log.open("w", encoding="utf-8") as sink:
        process = subprocess.Popen(
            command, stdout=sink, stderr=subprocess.STDOUT, env=environment, cwd=root, start_new_session=True
        )
        told = time.monotonic()
        try:
            while process.poll() is None:
                board.update()
                if claimed_run is not None and time.monotonic() - told > SECONDS_BETWEEN_SIGNS:
                    keep_alive(claimed_run)
                    told = time.monotonic()
                time.sleep(0.2)
        except BaseException:
            os.killpg(process.pid, signal.SIGTERM)  # the stage is a child of the pipeline's process
            process.wait()
            raise
    return process.returncode == 0


def failure_of(event: dict | None, log: Path) -> Exception:
    """What to raise for the event of the stage that failed; None if the pipeline broke outside its stages."""
    if event is None:
        last = "\n".join(log.read_text(encoding="utf-8").splitlines()[-5:])
        return StageError(f"the pipeline stopped outside its stages; the log is {log}\n{last}")
    if "refusal" in event:
        return ScintiflowError(**event["refusal"])
    return StageError(f"stage {event['stage']} failed: {event['message']}; the log is {log}")
