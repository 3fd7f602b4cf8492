"""What a person sees while the pipeline runs: one line with a bar for each stage."""

import sys
import time
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from scintiflow.cluster.events import Events, step_line
from scintiflow.stages.graph import BY_NAME, STAGES, upstream_of

WAITING, RUNNING, DONE, FAILED, UNCHANGED = "waiting", "running", "done", "failed", "unchanged"
SECONDS_BETWEEN_LINES = 15.0
WIDTH_OF_LOGS = 140


class StageBoard:
    """State of every stage, fed with the events that stages append to a file.

    Attributes:
        states: stage name -> waiting, running, done, failed or unchanged.
        seconds: stage name -> duration of the stages that ran.
        failure: the event of the stage that failed, if one did.
    """

    def __init__(self, events: Path, console: Console) -> None:
        self.states = {stage.name: WAITING for stage in STAGES}
        self.seconds: dict[str, float] = {}
        self.failure: dict | None = None
        self._events, self._console = Events(events), console
        self._current: str | None = None
        self._line_shown = 0.0
        self._started = time.monotonic()
        self._bars: Progress | None = None
        if console.is_terminal:
            self._bars = Progress(
                TextColumn("{task.fields[mark]} {task.description:<30}"),
                BarColumn(bar_width=28),
                TimeElapsedColumn(),
                TextColumn("{task.fields[note]}", style="dim"),
                console=console,
            )
            self._rows = {
                stage.name: self._bars.add_task(stage.title, total=1, start=False, mark="·", note="")
                for stage in STAGES
            }

    def __enter__(self) -> "StageBoard":
        if self._bars:
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.update()
        if self._bars:
            self._bars.stop()

    def update(self) -> None:
        """Take in the events that have come since the last call."""
        for event in self._events.new():
            self._take(event)

    def succeed(self) -> None:
        """The pipeline succeeded: stages that never started were taken from the cache."""
        self.update()
        for name, state in self.states.items():
            if state == WAITING:
                self._set(name, UNCHANGED, "unchanged, reused")

    def _take(self, event: dict) -> None:
        if "stage" not in event:
            self._show_progress(event)
        elif event["event"] == "started":
            upstream = upstream_of(event["stage"])
            for earlier in self.states:  # stages that do not depend on each other may start in any order
                if earlier in upstream and self.states[earlier] == WAITING:
                    self._set(earlier, UNCHANGED, "unchanged, reused")
            self._current = event["stage"]
            self._set(event["stage"], RUNNING, "")
        elif event["event"] == "finished":
            self.seconds[event["stage"]] = event["seconds"]
            self._set(event["stage"], DONE, f"{event['seconds']:.0f} s")
        else:
            self.failure = event
            self._set(event["stage"], FAILED, "failed")

    def _show_progress(self, event: dict) -> None:
        note = f"{event['label']} {event['done']}/{event['total']} {event['note']}".rstrip()
        if self._bars and self._current:
            self._bars.update(
                self._rows[self._current], total=max(event["total"], 1), completed=event["done"], note=note
            )
        elif time.monotonic() - self._line_shown > SECONDS_BETWEEN_LINES:
            self._line_shown = time.monotonic()
            self._console.print(f"    {note}", highlight=False)

    def _set(self, name: str, state: str, note: str) -> None:
        self.states[name] = state
        mark = {WAITING: "·", RUNNING: ">", DONE: "+", FAILED: "x", UNCHANGED: "="}[state]
        if self._bars is None:
            self._line_shown = time.monotonic()
            self._console.print(step_line(mark, BY_NAME[name].title, note or state), highlight=False)
            return
        row = self._rows[name]
        self._bars.update(row, mark=mark, note=note)
        if state == RUNNING:
            self._bars.start_task(row)
        elif state in (DONE, UNCHANGED):
            self._bars.update(row, total=1, completed=1)
            self._bars.stop_task(row)


def make_console() -> Console:
    width = None if sys.stdout.isatty() else WIDTH_OF_LOGS
    return Console(file=sys.stdout, soft_wrap=True, width=width)
