"""The paper's ablation on this machine: its pipeline through kfp.local, one line for each step."""

import json
import os
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from scintiflow.cluster.compilation import retrain_arguments
from scintiflow.cluster.display import FAILED
from scintiflow.cluster.events import Events, step_line
from scintiflow.cluster.local_cache import STATE, cache_root, pipeline_root
from scintiflow.cluster.local_locks import ABLATION, alone
from scintiflow.cluster.local_run import failure_of, run_process
from scintiflow.evaluation.ablation import MARKDOWN
from scintiflow.files import read_json, write_json
from scintiflow.params import Params, changed
from scintiflow.registry.runs import close_parent
from scintiflow.registry.surroundings import EXPERIMENT, GIT_SHA, PIPELINE_RUN, TRACKING_URI, git_sha, surroundings
from scintiflow.restoration.variants import ARMS
from scintiflow.stages.graph import TITLES

SHARED = ("ingest", "adapt_sam", "distil_priors", "evaluate")  # sections that the pipeline takes as they are


@dataclass(frozen=True)
class AblationOutcome:
    """The folder with `ablation.csv`, `ablation.md` and `ablation.png`, and how long it took."""

    table: Path
    seconds: float

    @property
    def text(self) -> str:
        return (self.table / MARKDOWN).read_text(encoding="utf-8")


class Steps:
    """Prints what the stages tell; the same stage may run many times, and two of them at once.

    Attributes:
        failure: the event of the stage that failed, if one did.
    """

    def __init__(self, events: Path, console: Console, trainings: int) -> None:
        self.failure: dict | None = None
        self._events, self._console = Events(events), console
        self._trainings, self._trained = trainings, 0

    def update(self) -> None:
        """Take in the events that have come since the last call."""
        for event in self._events.new():
            self._take(event)

    def _take(self, event: dict) -> None:
        if "stage" not in event or event["event"] == "started":
            return
        title = TITLES[event["stage"]]
        if event["event"] == "finished":
            if event["stage"] == "ablation_arm":
                self._trained += 1
                title += f" ({self._trained} of {self._trainings})"
            self._console.print(step_line("+", title, f"{event['seconds']:.0f} s"), highlight=False)
        else:
            self.failure = event
            self._console.print(step_line("x", title, FAILED), highlight=False)


def ablation_arguments(params: Params, root: Path) -> dict[str, object]:
    """Arguments of the ablation pipeline; `arms` holds one JSON for each arm and seed."""
    arguments = retrain_arguments(params, root, registry="")
    evaluate = changed(params.evaluate, sam_frechet_patients=0, trained_baselines=[])
    arms = [
        json.dumps(
            {
                "params": {
                    "arm": arm,
                    "train_cascade": changed(params.train_cascade, seed=seed).model_dump(),
                    "evaluate": evaluate.model_dump(),
                },
                "truth": arguments["truth"],
                "truth_sha256": arguments["truth_sha256"],
            },
            sort_keys=True,
        )
        for seed in params.ablation.seeds
        for arm in ARMS
    ]
    own = {name: arguments[name] for name in ("cohorts", "cohorts_sha256", "truth", "truth_sha256")}
    return own | {f"{name}_params": arguments[f"{name}_params"] for name in SHARED} | {"arms": arms}


def ablate(params: Params, root: Path, console: Console) -> AblationOutcome:
    """Run the ablation pipeline under `root`; what has not changed since the last run is reused.

    Raises ScintiflowError when a stage refuses its input or another ablation runs, StageError when one breaks.
    """
    with alone(ABLATION, root):
        return _ablate(params, root, console)


def _ablate(params: Params, root: Path, console: Console) -> AblationOutcome:
    started = time.monotonic()
    name = f"ablation-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    os.environ[PIPELINE_RUN] = name
    os.environ[EXPERIMENT] = params.tracking.experiment
    os.environ[TRACKING_URI] = surroundings().tracking_uri
    os.environ[GIT_SHA] = git_sha()
    folder = root / STATE / "runs" / name
    folder.mkdir(parents=True)
    arguments = ablation_arguments(params, root)
    request = {
        "pipeline": "ablation",
        "arguments": arguments,
        "pipeline_root": str(pipeline_root(root)),
        "cache_root": str(cache_root(root)),
        "result": str(folder / "result.json"),
    }
    write_json(folder / "request.json", request)
    trainings = len(ARMS) * len(params.ablation.seeds)
    console.print(f"{trainings} trainings: {len(ARMS)} arms, seeds {params.ablation.seeds}", highlight=False)
    steps, log = Steps(folder / "events.jsonl", console, trainings), folder / "pipeline.log"
    try:
        succeeded = run_process(folder, log, root, steps)
        steps.update()
    except KeyboardInterrupt:
        close_parent("KILLED", params.model_dump(), {}, [log])
        raise
    if not succeeded:
        close_parent("FAILED", params.model_dump(), {}, [log])
        raise failure_of(steps.failure, log)
    table = Path(next(iter(read_json(folder / "result.json").values())))
    close_parent("FINISHED", params.model_dump(), {}, [*sorted(table.iterdir()), log])
    return AblationOutcome(table, time.monotonic() - started)
