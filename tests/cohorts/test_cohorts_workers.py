"""A file may kill, stop or bloat its reader: it loses its own result and nothing else's."""

import time

import pytest
from fatal_work import fatal

from scintiflow.cohorts import intake
from scintiflow.cohorts.workers import PATIENCE, Lost, spread, supervised


def results(items: list[str], workers: int = 2, seconds: float = 1.0) -> list[tuple[str, object]]:
    work = supervised(fatal, items, workers=workers, seconds=seconds, preload="scintiflow.cohorts.intake")
    return sorted(work, key=lambda done: done[0])


def test_a_file_that_kills_or_stops_its_reader_stops_nothing():
    good = [f"file{number}" for number in range(6)]
    started = time.monotonic()
    done = results([*good[:2], "dies", *good[2:4], "hangs", "dies", *good[4:]])
    assert done == [("dies", Lost.DIED)] * 2 + [(name, name.upper()) for name in good] + [("hangs", Lost.LATE)]
    assert time.monotonic() - started < 30


SLACK = 10.0  # seconds in which a busy machine notices


def test_seconds_are_the_processors_but_waiting_ends_as_well():
    for item, shortest, longest in (("burns", 0.9, PATIENCE), ("hangs", PATIENCE - 0.1, 2 * PATIENCE)):
        lost, began = [], time.monotonic()
        for _, result in supervised(
            fatal, ["file", item], workers=1, seconds=1.0, preload="scintiflow.cohorts.intake"
        ):
            lost.append(result)
            if result == "FILE":
                began = time.monotonic()
        assert lost == ["FILE", Lost.LATE]
        assert shortest <= time.monotonic() - began < longest + SLACK


def test_every_item_comes_once_whatever_the_number_of_workers():
    items = [f"file{number}" for number in range(9)]
    for workers in (1, 2, 4):
        assert results(items, workers) == [(name, name.upper()) for name in items]
    assert results([], 2) == []


def test_spread_keeps_the_order_and_says_what_was_lost(monkeypatch):
    items = [f"file{number}" for number in range(7)]
    options = {"workers": 3, "seconds": 1.0, "preload": "scintiflow.cohorts.intake"}
    assert spread(fatal, items, **options) == [name.upper() for name in items]  # too few for processes of their own
    monkeypatch.setattr("scintiflow.cohorts.workers.FEWEST_PER_WORKER", 1)
    found = spread(fatal, [*items, "dies", *items], **options)
    assert found == [*(name.upper() for name in items), Lost.DIED, *(name.upper() for name in items)]
    assert spread(fatal, [], **options) == []


def test_memory_is_bounded():
    with pytest.raises(MemoryError):
        results(["devours"])


def test_an_error_of_the_work_itself_is_raised():
    with pytest.raises(OSError, match="No space"):
        results(["file", "raises", "other"])


@pytest.mark.parametrize(("why", "code"), [(Lost.DIED, "CORRUPT"), (Lost.LATE, "TOO_SLOW")])
def test_a_lost_file_is_quarantined_with_its_hash(tmp_path, monkeypatch, why, code):
    path = tmp_path / "file.dcm"
    path.write_bytes(b"content")
    monkeypatch.setattr(intake, "supervised", lambda function, jobs, **options: [(job, why) for job in jobs])
    ((found, result),) = intake.take_in_all([intake.Job(path)], b"", tmp_path, 1)
    assert (found, result.entry.outcome, result.entry.code) == (path, "quarantined", code)
    assert result.entry.sha256 == "ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73"
