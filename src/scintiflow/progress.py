"""Progress of long work: a bar on a terminal, plain lines in a log, events for a parent process.

When `SCINTIFLOW_PROGRESS_FILE` names a file, every update is appended to it as one JSON line,
so that the process which launched a stage can draw one bar for each stage.
"""

import json
import os
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

EVENTS_FILE = "SCINTIFLOW_PROGRESS_FILE"
T = TypeVar("T")

SECONDS_BETWEEN_LINES = 5.0
SECONDS_BETWEEN_EVENTS = 0.2


class Bar:
    """One piece of work with a known number of steps."""

    def __init__(self, label: str, total: int) -> None:
        self.label, self.total, self.done, self.note = label, total, 0, ""

    def advance(self, steps: int = 1, note: str | None = None) -> None:
        self.done += steps
        if note is not None:
            self.note = note
        self._show()

    def _show(self, last: bool = False) -> None:
        raise AssertionError("a bar is made by work()")


class SilentBar(Bar):
    """Work that another process shows."""

    def __init__(self) -> None:
        super().__init__("", 0)

    def _show(self, last: bool = False) -> None:
        pass


class _TerminalBar(Bar):
    def __init__(self, label: str, total: int, progress: Progress) -> None:
        super().__init__(label, total)
        self._progress = progress
        self._task = progress.add_task(label, total=total, note="")

    def _show(self, last: bool = False) -> None:
        self._progress.update(self._task, completed=self.done, note=self.note)


class _ThrottledBar(Bar):
    def __init__(self, label: str, total: int, seconds_between: float) -> None:
        super().__init__(label, total)
        self._between, self._started = seconds_between, time.monotonic()
        self._shown, self._shown_done = self._started, -1

    def _show(self, last: bool = False) -> None:
        now = time.monotonic()
        if self.done != self._shown_done and (last or now - self._shown >= self._between):
            self._shown, self._shown_done = now, self.done
            self._emit(now - self._started, last)

    def _emit(self, seconds: float, last: bool) -> None:
        rate = f", {self.done / seconds:.1f}/s" if seconds > 0 else ""
        missing = self.total - self.done
        left = f", {_clock(seconds / self.done * missing)} left" if self.done and missing > 0 else ""
        print(f"{self.label}: {self.done}/{self.total}{rate}{left} {self.note}".rstrip(), file=sys.stderr, flush=True)


class _EventBar(_ThrottledBar):
    def _emit(self, seconds: float, last: bool) -> None:
        event = {"label": self.label, "done": self.done, "total": self.total, "note": self.note, "last": last}
        with Path(os.environ[EVENTS_FILE]).open("a", encoding="utf-8") as events:
            events.write(json.dumps(event) + "\n")


class _RateColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        rate = task.finished_speed or task.speed
        return Text("" if rate is None else f"{rate:.1f}/s", style="progress.data.speed")


def _clock(seconds: float) -> str:
    """Hours, minutes and seconds, as the bar on a terminal writes them."""
    minutes, whole = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{whole:02d}"


def bar_columns() -> tuple:
    """Columns that every bar of the product shows: label, bar, share, rate, time spent, time left, note."""
    return (
        TextColumn("{task.description}"),
        BarColumn(bar_width=28),
        TaskProgressColumn(),
        _RateColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", style="dim"),
    )


@contextmanager
def work(label: str, total: int) -> Iterator[Bar]:
    """Show progress of `total` steps while the block runs; call `bar.advance()` for each."""
    if os.environ.get(EVENTS_FILE):
        bar: Bar = _EventBar(label, total, SECONDS_BETWEEN_EVENTS)
    elif sys.stderr.isatty():
        from rich.console import Console

        with Progress(*bar_columns(), console=Console(stderr=True)) as progress:
            yield _TerminalBar(label, total, progress)
        return
    else:
        bar = _ThrottledBar(label, total, SECONDS_BETWEEN_LINES)
    yield bar
    bar._show(last=True)


def track(items: Iterable[T], label: str, total: int | None = None) -> Iterator[T]:
    """Iterate over `items`, showing progress."""
    if total is None:
        items = list(items)
        total = len(items)
    with work(label, total) as bar:
        for item in items:
            yield item
            bar.advance()
