"""Looking at a run again and again until it has ended."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime

from scintiflow.cluster.connection import Connection
from scintiflow.cluster.remote_runs import state_of
from scintiflow.cluster.run_table import status_lines


def looks(connection: Connection, run_id: str, seconds_between: float | None) -> Iterator[tuple[str, list[str]]]:
    """(state, lines) of a run, each time that they changed, until it has ended; once if there is nothing between."""
    shown = None
    while True:
        run = state_of(connection, run_id)
        states = (run.state, [(each.state, each.pods, each.message) for each in run.stages])
        if states != shown:
            shown = states
            yield run.state, list(status_lines(run, connection.endpoint.run_url(run_id), datetime.now(UTC)))
        if seconds_between is None or run.finished:
            return
        time.sleep(seconds_between)
