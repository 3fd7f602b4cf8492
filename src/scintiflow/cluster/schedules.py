"""Retraining at fixed times: recurring runs of the Kubeflow Pipelines API."""

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path

import kfp_server_api

from scintiflow.cluster.connection import Connection
from scintiflow.cluster.remote_runs import pipeline_document
from scintiflow.errors import ScintiflowError

MARK = "scintiflow "  # before the hash in the description, by which the same schedule is known again
FIELD = r"[0-9A-Za-z*?/,\-]+"
PER_PAGE = 50


@dataclass(frozen=True)
class Scheduled:
    """A schedule on the cluster. `changed` is False if it was there already; `replaced` counts those it replaced."""

    schedule_id: str
    name: str
    cron: str
    changed: bool
    replaced: int


def schedule(
    connection: Connection,
    package: Path,
    arguments: dict[str, str],
    experiment: str,
    name: str,
    cron: str,
    account: str = "",
) -> Scheduled:
    """Run a compiled pipeline at the times that `cron` names, one run at a time, missed times not made up.

    A schedule of the same name and content stays; one of the same name and other content is replaced, after
    the new one is there.
    """
    cron = checked_cron(cron)
    document = pipeline_document(package)
    content = json.dumps([document, arguments, experiment, cron, account], sort_keys=True)
    mark = MARK + hashlib.sha256(content.encode()).hexdigest()
    named = [found for found in _all(connection, experiment) if found.display_name == name]
    same = [found for found in named if found.description == mark and found.status == "ENABLED"]
    if same:
        kept, others = same[0], [found for found in named if found is not same[0]]
    else:
        wanted = kfp_server_api.V2beta1RecurringRun(
            display_name=name,
            description=mark,
            experiment_id=experiment,
            namespace=connection.endpoint.namespace or None,
            pipeline_spec=document,
            runtime_config=kfp_server_api.V2beta1RuntimeConfig(parameters=arguments),
            trigger=kfp_server_api.V2beta1Trigger(cron_schedule=kfp_server_api.V2beta1CronSchedule(cron=cron)),
            mode=kfp_server_api.RecurringRunMode.ENABLE,
            max_concurrency="1",
            no_catchup=True,
            service_account=account or None,
        )
        kept = connection.call(connection.schedules.recurring_run_service_create_recurring_run, wanted)
        others = named
    for other in others:
        _delete(connection, other)
    return Scheduled(kept.recurring_run_id, name, cron, changed=not same, replaced=len(others))


def unschedule(connection: Connection, experiment: str, name: str) -> int:
    """Remove every schedule of that name and return how many there were. Raises ScintiflowError if none was."""
    found = _all(connection, experiment)
    named = [each for each in found if each.display_name == name]
    if not named:
        names = ", ".join(sorted({each.display_name for each in found})) or "none"
        raise ScintiflowError(
            f"there is no schedule '{name}'", where=connection.endpoint.host, remedy=f"There are: {names}"
        )
    for each in named:
        _delete(connection, each)
    return len(named)


def checked_cron(cron: str) -> str:
    """Kubeflow's cron of six fields (second first, UTC) from five or six. Raises ScintiflowError."""
    fields = cron.split()
    if len(fields) == 5:
        fields = ["0", *fields]
    if len(fields) != 6 or not all(re.fullmatch(FIELD, field) for field in fields):
        raise ScintiflowError(
            f"'{cron}' is no cron expression",
            where="--cron",
            remedy="Write minute, hour, day of month, month, day of week in UTC: '0 2 * * 6' is Saturday at 02:00",
        )
    return " ".join(fields)


def _all(connection: Connection, experiment: str) -> list[kfp_server_api.V2beta1RecurringRun]:
    found: list[kfp_server_api.V2beta1RecurringRun] = []
    token = ""
    while True:
        page = connection.call(
            connection.schedules.recurring_run_service_list_recurring_runs,
            experiment_id=experiment,
            page_size=PER_PAGE,
            page_token=token,
        )
        found += page.recurring_runs or []
        token = page.next_page_token
        if not token:
            return found


def _delete(connection: Connection, schedule: kfp_server_api.V2beta1RecurringRun) -> None:
    connection.call(
        connection.schedules.recurring_run_service_delete_recurring_run,
        schedule.recurring_run_id,
        missing="the schedule is already gone",
    )
