"""A run on a cluster as lines of text: its stages with their states and times."""

from collections.abc import Iterator
from datetime import datetime

from scintiflow.cluster.remote_runs import REUSED, WAITING, RunState, ShardsState

WORDS = {"succeeded": "done", REUSED: "unchanged, reused"}
MARKS = {
    "succeeded": "+",
    REUSED: "=",
    "running": ">",
    "failed": "x",
    "canceled": "x",
    "canceling": "x",
    WAITING: "·",
}


def status_lines(run: RunState, url: str, now: datetime) -> Iterator[str]:
    """Lines for a terminal or a log; times in UTC."""
    yield f"{run.name}  {WORDS.get(run.state, run.state)}{_ago(run, now)}"
    for each in run.steps:
        seconds = each.seconds(now)
        spent = duration(seconds) if seconds is not None and each.state != REUSED else ""
        started = f"{each.started:%Y-%m-%d %H:%M}" if each.started and each.state != REUSED else ""
        title, word, attempts = each.stage.title, WORDS.get(each.state, each.state), ""
        if isinstance(each, ShardsState):
            title, word = f"{title}, shared", f"{each.done} of {each.number} shards"
        elif len(each.pods) > 1:
            attempts = f"attempt {len(each.pods)}"
        line = f"  {MARKS.get(each.state, '?')} {title:<32}{word:<19}"
        yield f"{line}{spent:>9}  {started}  {attempts}".rstrip()
        if each.message and each.state not in ("succeeded", REUSED):
            yield f"      {each.message}"
    if run.message:
        yield run.message
    yield url


def duration(seconds: float) -> str:
    """'42 s', '3 min 05 s', '2 h 07 min'."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def _ago(run: RunState, now: datetime) -> str:
    if run.created is None:
        return ""
    return f"  {duration(((run.ended or now) - run.created).total_seconds())}"
