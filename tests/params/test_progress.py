"""Progress reaches whoever looks: lines in a log, events for a launcher, and never the same line twice."""

import json

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


def test_a_launcher_gets_events(tmp_path, monkeypatch):
    events = tmp_path / "events.jsonl"
    monkeypatch.setenv(progress.EVENTS_FILE, str(events))
    with progress.work("counting", 2) as bar:
        bar.advance(2, note="done")
    last = json.loads(events.read_text().splitlines()[-1])
    assert last == {"label": "counting", "done": 2, "total": 2, "note": "done", "last": True}
