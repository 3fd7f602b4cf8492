"""The registry for people: tables of versions and decisions, one version's page."""

from datetime import UTC, datetime

from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from rich.console import Group
from rich.markdown import Markdown
from rich.table import Table

from scintiflow.errors import ScintiflowError
from scintiflow.registry.champion import CHECKPOINT_TAG, aliases_of
from scintiflow.registry.promotion_log import GATE, Entry, Log, read_log
from scintiflow.registry.runs import open_client

SHORT = 12  # characters of a hash that people compare
FAILED_SHOWN = 4


def versions_table(name: str) -> Table:
    """All versions, the newest first."""
    client = open_client()
    versions = client.search_model_versions(f"name='{name}'")
    if not versions:
        raise ScintiflowError("the registry has no such model", where=f"models:/{name}", remedy="Run `make run`")
    table = Table("version", "alias", "gate", "registered (UTC)", "weights", "pipeline run", title=name)
    for version in sorted(versions, key=lambda found: int(found.version), reverse=True):
        table.add_row(
            str(version.version),
            ", ".join(aliases_of(name, str(version.version))),
            version.tags.get("gate", "not asked"),
            _time(version.creation_timestamp),
            version.tags.get(CHECKPOINT_TAG, "")[:SHORT],
            version.tags.get("pipeline_run", ""),
        )
    return table


def version_page(name: str, which: str) -> Group:
    """Card, aliases, hashes and decisions of a version, named by its number or by an alias."""
    version = _find(name, which)
    facts = Table(show_header=False, box=None, title=f"{name} version {version.version}", title_justify="left")
    facts.add_row("aliases", ", ".join(aliases_of(name, str(version.version))) or "none")
    facts.add_row("registered (UTC)", _time(version.creation_timestamp))
    facts.add_row("run", version.run_id or "")
    for tag, value in sorted(version.tags.items()):
        facts.add_row(tag, value)
    log = read_log(open_client(), name)
    decisions = Log(tuple(log.of_version(str(version.version))), ())
    return Group(facts, Markdown(version.description or "No card."), history_table(decisions))


def history_table(log: Log) -> Table:
    """Decisions, the oldest first."""
    table = Table("#", "when (UTC)", "what", "version", "by", "why", "report", title="Decisions")
    for entry in log.entries:
        table.add_row(
            str(entry.sequence),
            entry.at[:16].replace("T", " "),
            f"{entry.kind}{', gate overruled' if entry.overruled else ''}",
            entry.version,
            entry.by,
            "\n".join([entry.reason, *_failed(entry)]),
            entry.report_sha256[:SHORT],
        )
    return table


def _failed(entry: Entry) -> list[str]:
    """Under the gate's own word, what failed; the first few, the rest is in the decision's page."""
    rules = entry.failed_rules if entry.by == GATE else ()
    more = [f"- and {len(rules) - FAILED_SHOWN} more"] if len(rules) > FAILED_SHOWN else []
    return [*(f"- {rule}" for rule in rules[:FAILED_SHOWN]), *more]


def entry_line(entry: Entry) -> str:
    """What was decided, in one sentence."""
    against = ", against the gate" if entry.overruled else ""
    before = f"version {entry.champion_before}" if entry.champion_before else "nobody"
    return (
        f"{entry.model} version {entry.version} {entry.kind} by {entry.by}{against}. "
        f"Champion before: {before}. Decision {entry.sequence}, {entry.sha256[:SHORT]}."
    )


def _find(name: str, which: str) -> ModelVersion:
    client = open_client()
    try:
        if which.isdigit():
            return client.get_model_version(name, which)
        return client.get_model_version_by_alias(name, which)
    except MlflowException:
        raise ScintiflowError(
            "the registry has no such version or alias",
            where=f"models:/{name}, {which}",
            remedy="Look at `scintiflow models list`",
        ) from None


def _time(milliseconds: int | None) -> str:
    return datetime.fromtimestamp((milliseconds or 0) / 1000, UTC).strftime("%Y-%m-%d %H:%M")
