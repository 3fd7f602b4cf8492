"""The append-only log of promotions and refusals: every entry names the hash of those before it.

Entries are tags of an MLflow experiment of its own, `<model>-decisions`: it holds no runs, so deleting a run, a
model version or the model leaves it whole, and it works with any tracking server. A tag's key carries the SHA-256 of
its value, so two writers at the same moment cannot overwrite each other: both entries stay, and the next one names
both as its predecessors. The newest hash also stands on the registered model: whoever cuts off the log's end would
have to change that as well. Why not a file or a table: docs/decisions/0009-the-promotion-log.md.
"""

import hashlib
import json
import re
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from scintiflow.errors import ScintiflowError
from scintiflow.registry.runs import create_experiment
from scintiflow.registry.surroundings import surroundings

PROMOTED, REFUSED, ROLLED_BACK, WITHDRAWN = "promoted", "refused", "rolled back", "withdrawn"
GATE = "the gate"
ENTRY = re.compile(r"^decision\.(\d{6})\.([0-9a-f]{64})$")
ANCHOR = "scintiflow.newest_decision"
NOTE = "mlflow.note.content"  # what MLflow's experiment page shows as markdown
LONGEST_VALUE = 18_000  # MLflow allows 20,000 characters
LONGEST_DESCRIPTION = 5000  # of a registered model


@dataclass(frozen=True)
class Entry:
    """One decision.

    Attributes:
        sequence: 1, 2, ...; two entries of the same moment may share a number.
        previous: SHA-256 of the newest entries that the writer saw.
        at: UTC, ISO 8601.
        kind: 'promoted', 'refused', 'rolled back', or 'withdrawn' (see `withdraws`).
        by: 'the gate', or who decided.
        gate_passed: what the gate said of this version; None where no gate has spoken.
        overruled: the named person promoted against the gate, and said so.
        failed_rules: rules that did not pass, each with its number.
        report_sha256, decision_sha256: of the evaluation's page and of the gate's decision.json.
        champion_before, champion_after: version that held the alias; '' if none did.
        withdraws: hash of the entry that this one takes back, because two were written at the same moment.
    """

    kind: str
    model: str
    version: str
    by: str
    reason: str
    gate_passed: bool | None
    champion_before: str
    champion_after: str
    checkpoint_sha256: str = ""
    report_sha256: str = ""
    decision_sha256: str = ""
    run_id: str = ""
    git_sha: str = ""
    overruled: bool = False
    failed_rules: tuple[str, ...] = ()
    withdraws: str = ""
    sequence: int = 0
    previous: tuple[str, ...] = ()
    at: str = ""

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.as_text().encode()).hexdigest()

    def as_text(self) -> str:
        """Canonical JSON: the bytes that are hashed and kept."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    @classmethod
    def from_text(cls, text: str) -> "Entry":
        values = json.loads(text)
        return cls(**values | {name: tuple(values[name]) for name in ("previous", "failed_rules")})


@dataclass(frozen=True)
class Log:
    """What was read: entries oldest first, by hash, and what is wrong with them in words."""

    entries: tuple[Entry, ...]
    problems: tuple[str, ...]

    @property
    def heads(self) -> tuple[str, ...]:
        """Hashes that no entry names as its predecessor."""
        named = {previous for entry in self.entries for previous in entry.previous}
        return tuple(sorted(entry.sha256 for entry in self.entries if entry.sha256 not in named))

    @property
    def champion(self) -> str:
        """Version that the log says is champion; '' if none is."""
        withdrawn = {entry.withdraws for entry in self.entries}
        moves = [entry for entry in self.entries if entry.kind in (PROMOTED, ROLLED_BACK)]
        standing = [entry for entry in moves if entry.sha256 not in withdrawn]
        return standing[-1].champion_after if standing else ""

    def of_version(self, version: str) -> list[Entry]:
        return [entry for entry in self.entries if entry.version == version]


def read_log(client: MlflowClient, model: str) -> Log:
    """Read and verify the whole log; an empty one if there is none yet."""
    experiment = client.get_experiment_by_name(log_experiment(model))
    tags = experiment.tags if experiment is not None else {}
    return verified({key: value for key, value in tags.items() if ENTRY.match(key)}, _anchor(client, model))


def append(client: MlflowClient, draft: Entry) -> Entry:
    """Write `draft` after the newest entries; returns it as written. Raises ScintiflowError if it cannot be kept."""
    log = read_log(client, draft.model)
    newest = max((entry.sequence for entry in log.entries), default=0)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    entry = replace(draft, sequence=newest + 1, previous=log.heads, at=now)
    text = entry.as_text()
    where = log_experiment(draft.model)
    if len(text) > LONGEST_VALUE:
        raise ScintiflowError("this decision is too long to be kept", where=where, remedy="Give a shorter reason")
    experiment = _experiment(client, draft.model)
    try:
        client.set_experiment_tag(experiment, f"decision.{entry.sequence:06d}.{entry.sha256}", text)
    except MlflowException as error:
        raise ScintiflowError(
            f"the decision could not be logged, so nothing was decided ({error.error_code})",
            where=where,
            remedy="If the experiment was deleted, restore it in MLflow; then do it again",
        ) from None
    client.set_registered_model_tag(draft.model, ANCHOR, entry.sha256)
    shown = read_log(client, draft.model)
    client.set_experiment_tag(experiment, NOTE, as_markdown(shown, LONGEST_VALUE))
    client.update_registered_model(draft.model, as_markdown(shown, LONGEST_DESCRIPTION))
    return entry


def move_champion(client: MlflowClient, draft: Entry) -> Entry:
    """Log the decision, then let the alias 'champion' follow it.

    If another decision was written at the same moment this one withdraws: of two that do not know of each other
    at least one sees the other, so never do both move the alias. Raises ScintiflowError then.
    """
    entry = append(client, draft)
    known, frontier = {entry.sha256}, set(entry.previous)
    log = read_log(client, draft.model)
    by_hash = {other.sha256: other for other in log.entries}
    while frontier:
        known |= frontier
        frontier = {older for sha in frontier if sha in by_hash for older in by_hash[sha].previous} - known
    rivals = [e for e in log.entries if e.sha256 not in known and e.kind in (PROMOTED, ROLLED_BACK)]
    if rivals:
        why = f"another decision on the champion (version {rivals[0].version}) was taken at the same moment"
        append(client, replace(draft, kind=WITHDRAWN, reason=why, withdraws=entry.sha256, champion_after=""))
        raise ScintiflowError(
            why, where=f"models:/{draft.model}", remedy="Look at `models history`, then do it again"
        )
    client.set_registered_model_alias(draft.model, "champion", entry.champion_after)
    aliases = client.get_registered_model(draft.model).aliases
    if str(aliases.get("challenger")) == entry.champion_after:  # a number from a database, text from a server
        client.delete_registered_model_alias(draft.model, "challenger")
    return entry


def verified(tags: dict[str, str], anchor: str = "") -> Log:
    """Entries from tags, oldest first, with every break of the chain in words."""
    entries, problems = [], []
    for key, text in sorted(tags.items()):
        match = ENTRY.match(key)
        assert match is not None
        number = int(match[1])
        if hashlib.sha256(text.encode()).hexdigest() != match[2]:
            problems.append(f"entry {number} was changed after it was written")
            continue
        entry = Entry.from_text(text)
        if entry.sequence != number:
            problems.append(f"entry {number} was moved: it says that it is number {entry.sequence}")
        entries.append(entry)
    known = {entry.sha256: entry for entry in entries}
    for entry in entries:
        missing = [sha for sha in entry.previous if sha not in known]
        problems += [f"entry {entry.sequence} follows one that is missing or changed ({sha[:12]})" for sha in missing]
        expected = max((known[sha].sequence for sha in entry.previous if sha in known), default=0) + 1
        if not missing and entry.sequence != expected:
            problems.append(f"entry {entry.sequence} should be number {expected}")
    if anchor and anchor not in known:
        problems.append(f"the newest decision that the model knows of ({anchor[:12]}) is missing from the log")
    entries.sort(key=lambda entry: (entry.sequence, entry.at, entry.sha256))
    return Log(tuple(entries), tuple(problems))


def as_markdown(log: Log, longest: int) -> str:
    """The log as a table, newest first and as many as fit, for the pages of the model and of the log's experiment."""
    lines = [
        "Decisions, the newest first; `scintiflow models history` shows all and checks the chain.",
        "",
        "| # | when (UTC) | what | version | by | why |",
        "|---|---|---|---|---|---|",
    ]
    for entry in reversed(log.entries):
        words = f"{entry.kind}{' AGAINST THE GATE' if entry.overruled else ''}"
        cells = (entry.sequence, entry.at[:16], words, entry.version, entry.by, entry.reason)
        line = "| " + " | ".join(_cell(cell) for cell in cells) + " |"
        if sum(map(len, lines)) + len(lines) + len(line) > longest:
            break
        lines.append(line)
    return "\n".join(lines)


def log_experiment(model: str) -> str:
    return f"{model}-decisions"


def _cell(value: object) -> str:
    return re.sub(r"\s+", " ", str(value)).replace("|", "\\|").replace("<", "&lt;")


def _experiment(client: MlflowClient, model: str) -> str:
    name = log_experiment(model)
    found = client.get_experiment_by_name(name)
    if found is not None:
        return found.experiment_id
    try:
        return create_experiment(client, name, surroundings().artifact_root)
    except MlflowException:
        found = client.get_experiment_by_name(name)  # somebody else was faster
        if found is None:
            raise
        return found.experiment_id


def _anchor(client: MlflowClient, model: str) -> str:
    try:
        return client.get_registered_model(model).tags.get(ANCHOR, "")
    except MlflowException:
        return ""
