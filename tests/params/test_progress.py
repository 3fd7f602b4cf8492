"""Progress reaches whoever looks: lines in a log, events for a launcher, and never the same line twice."""

import io
import json
import re

from rich.console import Console
from rich.progress import Progress

from scintiflow import progress


def test_a_log_gets_the_last_state_once(capsys):
    assert list(progress.track([1, 2, 3], "counting")) == [1, 2, 3]
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("counting: 3/3")


def test_slow_work_is_shown_on_the_way(capsys, monkeypatch):
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    with progress.work("counting", 2) as bar:
        bar.advance(note="half")
        bar.advance(note="whole")
    lines = capsys.readouterr().err.splitlines()
    assert [line.rsplit(" ", 1)[-1] for line in lines] == ["half", "whole"]


def test_rate_and_time_left_are_in_a_log_until_the_end(capsys, monkeypatch):
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    times = iter([0.0, 10.0, 40.0, 40.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(times))
    with progress.work("counting", 4) as bar:
        bar.advance()
        bar.advance(3)
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["counting: 1/4, 0.1/s, 0:00:30 left", "counting: 4/4, 0.1/s"]


def test_rate_and_time_left_are_on_a_terminal():
    shown = io.StringIO()
    times = iter(float(second) for second in range(0, 10_000, 2))
    console = Console(file=shown, force_terminal=True, width=160)
    bars = Progress(*progress.bar_columns(), console=console, auto_refresh=False, get_time=lambda: next(times))
    with bars:
        task = bars.add_task("counting", total=100, note="")
        for _ in range(5):
            bars.update(task, advance=10, refresh=True)
    assert re.search(r"50%\S*.*\d\.\d/s.*\d:\d\d:\d\d.*\d:\d\d:\d\d", shown.getvalue())


def test_a_launcher_gets_events(tmp_path, monkeypatch):
    events = tmp_path / "events.jsonl"
    monkeypatch.setenv(progress.EVENTS_FILE, str(events))
    with progress.work("counting", 2) as bar:
        bar.advance(2, note="done")
    last = json.loads(events.read_text().splitlines()[-1])
    assert last == {"label": "counting", "done": 2, "total": 2, "note": "done", "last": True}
