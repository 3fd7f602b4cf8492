"""Looking at a run again and again until it has ended."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime

from scintiflow.cluster.abandoned import end_in_mlflow
from scintiflow.cluster.connection import Connection
from scintiflow.cluster.remote_runs import state_of
from scintiflow.cluster.run_table import status_lines


def looks(connection: Connection, run_id: str, seconds_between: float | None) -> Iterator[tuple[str, list[str]]]:
    """(state, lines) of a run, each time that they changed, until it has ended; once if there is nothing between.

    MLflow's parent run ends with a run that could not end it itself.
    """
    shown = None
    while True:
        run = state_of(connection, run_id)
        if run != shown:
            shown = run
            lines = list(status_lines(run, connection.endpoint.run_url(run_id), datetime.now(UTC)))
            said = end_in_mlflow(run)
            yield run.state, [*lines, said] if said else lines
        if seconds_between is None or run.finished:
            return
        time.sleep(seconds_between)
