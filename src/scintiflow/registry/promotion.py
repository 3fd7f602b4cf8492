"""Who becomes champion: the gate decides, or a named person; either way the log has it for ever."""

from dataclasses import dataclass, replace

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from scintiflow.errors import ScintiflowError
from scintiflow.registry.champion import CHAMPION, CHECKPOINT_TAG, version_by_alias
from scintiflow.registry.models import RegisteredModel
from scintiflow.registry.promotion_log import (
    GATE,
    PROMOTED,
    REFUSED,
    ROLLED_BACK,
    Entry,
    Log,
    append,
    move_champion,
    read_log,
)
from scintiflow.registry.runs import open_client
from scintiflow.registry.surroundings import git_sha
from scintiflow.registry.verdict import Decision, counted

REPORT_TAG, DECISION_TAG = "evaluation_report_sha256", "decision_sha256"


@dataclass(frozen=True)
class Papers:
    """SHA-256 of what a decision rests on: the evaluation's page and the gate's decision.json."""

    report_sha256: str
    decision_sha256: str


def settle_by_gate(model: RegisteredModel, decision: Decision, papers: Papers) -> Entry:
    """Log the gate's decision on a new version, and make it champion if every rule passed."""
    client = open_client()
    before = decision.champion.version if decision.champion else ""
    draft = Entry(
        kind=PROMOTED if decision.passed else REFUSED,
        model=model.name,
        version=model.version,
        by=GATE,
        reason=decision.sentence,
        gate_passed=decision.passed,
        champion_before=before,
        champion_after=model.version if decision.passed else before,
        checkpoint_sha256=model.checkpoint_sha256,
        report_sha256=papers.report_sha256,
        decision_sha256=papers.decision_sha256,
        run_id=model.run_id,
        git_sha=git_sha(),
        failed_rules=tuple(verdict.sentence for verdict in decision.failed),
    )
    return move_champion(client, draft) if decision.passed else append(client, draft)


def promote(name: str, version: str, by: str, reason: str, overrule: bool = False) -> Entry:
    """Make `version` champion because a named person says so.

    Raises ScintiflowError, and logs the refusal, if the gate refused this version, never saw it, or compared it
    with another champion than today's; unless `overrule` says that this is meant. Both are recorded for ever.
    """
    client = open_client()
    by, reason = _said(by, "--by"), _said(reason, "--reason")
    found = _version(client, name, version)
    log = read_log(client, name)
    champion = _champion_version(client, name)
    if champion == version:
        raise ScintiflowError("is the champion already", where=_where(name, version), remedy="Nothing to do")
    gate, objection = _gate_on(log, version, champion)
    draft = _draft(PROMOTED, found, gate, champion, by, reason)
    draft = replace(draft, overruled=bool(objection), failed_rules=gate.failed_rules if gate is not None else ())
    if objection and not overrule:
        refused = f"{by} asked for it ({reason}), and {objection}"
        append(client, replace(draft, kind=REFUSED, champion_after=champion, overruled=False, reason=refused))
        raise ScintiflowError(
            objection,
            where=_where(name, version),
            remedy="If it shall become champion all the same, say so with --overrule-gate; that is recorded for ever",
        )
    return move_champion(client, draft)


def roll_back(name: str, by: str, reason: str, version: str = "") -> Entry:
    """Give the alias back to the champion before this one, or to `version`, which must have been champion once."""
    client = open_client()
    by, reason = _said(by, "--by"), _said(reason, "--reason")
    log, champion = read_log(client, name), _champion_version(client, name)
    if not champion:
        raise ScintiflowError(
            "there is no champion to roll back", where=f"models:/{name}", remedy="Promote one first"
        )
    earlier = [held for held in champions(log) if held != champion]
    if not earlier:
        raise ScintiflowError(
            "no other version has ever been champion",
            where=f"models:/{name}",
            remedy="Promote one by `models promote`",
        )
    target = version or _before(log, champion) or earlier[-1]
    if target not in earlier:
        raise ScintiflowError(
            "has never been champion, or is it now",
            where=_where(name, target),
            remedy=f"Roll back to one of: {', '.join(dict.fromkeys(reversed(earlier)))}; or promote it",
        )
    found = _version(client, name, target)
    gate, _ = _gate_on(log, target, champion)
    return move_champion(client, _draft(ROLLED_BACK, found, gate, champion, by, reason))


def champions(log: Log) -> list[str]:
    """Versions that held the alias, oldest first, each time they got it."""
    withdrawn = {entry.withdraws for entry in log.entries}
    moves = [entry for entry in log.entries if entry.kind in (PROMOTED, ROLLED_BACK)]
    return [entry.champion_after for entry in moves if entry.sha256 not in withdrawn]


def problems(name: str) -> tuple[Log, list[str]]:
    """The verified log, and everything wrong with it or with the alias, in words."""
    client = open_client()
    log = read_log(client, name)
    found = list(log.problems)
    holder = _champion_version(client, name)
    if log.champion != holder:
        here, there = (f"version {place}" if place else "none" for place in (holder, log.champion))
        found.append(
            f"the alias 'champion' is on {here}, but by the log it belongs to {there}: "
            "it was moved without a decision"
        )
    return log, found


def _before(log: Log, champion: str) -> str:
    """Whom the present champion followed; a rollback is not a champion's beginning."""
    withdrawn = {entry.withdraws for entry in log.entries}
    for entry in reversed(log.entries):
        if entry.kind == PROMOTED and entry.champion_after == champion and entry.sha256 not in withdrawn:
            return entry.champion_before
    return ""


def _gate_on(log: Log, version: str, champion: str) -> tuple[Entry | None, str]:
    """The gate's last word on a version, and what speaks against promoting it now; '' if nothing does."""
    spoken = [entry for entry in log.of_version(version) if entry.by == GATE]
    if not spoken:
        return None, "no gate has ever decided on this version"
    gate = spoken[-1]
    if not gate.gate_passed:
        count = len(gate.failed_rules)
        return gate, f"the gate refused this version, {counted(count, 'rule')} did not pass"
    if gate.champion_before != champion and version not in champions(log):
        compared = f"version {gate.champion_before}" if gate.champion_before else "no champion"
        return gate, f"the gate compared this version with {compared}, and the champion is now version {champion}"
    return gate, ""


def _draft(kind: str, found: ModelVersion, gate: Entry | None, champion: str, by: str, reason: str) -> Entry:
    """A person's decision that a version follows `champion`, with the hashes that the version carries."""
    return Entry(
        kind=kind,
        model=found.name,
        version=str(found.version),
        by=by,
        reason=reason,
        gate_passed=None if gate is None else gate.gate_passed,
        champion_before=champion,
        champion_after=str(found.version),
        checkpoint_sha256=found.tags.get(CHECKPOINT_TAG, ""),
        report_sha256=found.tags.get(REPORT_TAG, ""),
        decision_sha256=found.tags.get(DECISION_TAG, ""),
        run_id=found.run_id or "",
        git_sha=found.tags.get("git_sha", ""),
    )


def _champion_version(client: MlflowClient, name: str) -> str:
    found = version_by_alias(client, name, CHAMPION)
    return "" if found is None else str(found.version)


def _version(client: MlflowClient, name: str, version: str) -> ModelVersion:
    try:
        return client.get_model_version(name, version)
    except MlflowException:
        raise ScintiflowError(
            "the registry has no such version", where=_where(name, version), remedy="Look at `scintiflow models list`"
        ) from None


def _said(text: str, option: str) -> str:
    if not text.strip():
        raise ScintiflowError("is empty, and the log keeps it for ever", where=option, remedy="Say it in words")
    return " ".join(text.split())


def _where(name: str, version: str) -> str:
    return f"models:/{name}/{version}"
