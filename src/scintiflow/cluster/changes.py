"""What differs between what a run was made of and what would be made now: cohorts, parameters, code."""

import json
from dataclasses import dataclass
from pathlib import Path

import scintiflow
from scintiflow.cluster.pins import Pin
from scintiflow.cluster.source_tree import changed_since
from scintiflow.params import Params
from scintiflow.registry.lineage import StageRecord
from scintiflow.registry.runs import kept_params
from scintiflow.stages.code_version import code_version, stage_sources
from scintiflow.stages.graph import STAGES

FILES_NAMED = 3
LOCK = "requirements.lock"


@dataclass(frozen=True)
class ParamChange:
    """A key of a section; None where one of the two recipes does not have it."""

    section: str
    key: str
    old: str | None
    new: str | None

    def __str__(self) -> str:
        return f"{self.section}.{self.key}: {_shown(self.old)} -> {_shown(self.new)}"


@dataclass(frozen=True)
class CohortChange:
    """A cohort's version then and now; '' where it was not, or is no longer, part of the recipe."""

    name: str
    old: str
    new: str

    @property
    def kind(self) -> str:
        return "added" if not self.old else "removed" if not self.new else "changed"

    def __str__(self) -> str:
        versions = " -> ".join(version_text(version) for version in (self.old, self.new) if version)
        return f"{self.name} {self.kind} ({versions})"


def changed_params(params: Params, lineage: dict[str, StageRecord]) -> tuple[ParamChange, ...]:
    """Keys whose values differ from those of the lineage's runs, section by section in the order of the stages."""
    changes: list[ParamChange] = []
    for stage in STAGES:
        if stage.name in lineage:
            changes += section_changes(stage.name, params, lineage[stage.name])
    return tuple(changes)


def section_changes(stage: str, params: Params, record: StageRecord) -> list[ParamChange]:
    old, new = record.params, kept_params(params.section(stage).model_dump())
    keys = [*new, *(key for key in old if key not in new)]
    return [ParamChange(stage, key, old.get(key), new.get(key)) for key in keys if old.get(key) != new.get(key)]


def changed_cohorts(old: dict[str, str], pins: tuple[Pin, ...]) -> tuple[CohortChange, ...]:
    new = {pin.name: pin.version for pin in pins}
    return tuple(
        CohortChange(name, old.get(name, ""), new.get(name, ""))
        for name in sorted(old | new)
        if old.get(name, "") != new.get(name, "")
    )


def code_reason(stage: str, record: StageRecord) -> str:
    """Which of a stage's files changed since the run; '' if its code is the same."""
    if record.code_version == code_version(stage):
        return ""
    changed = changed_since(record.tags.get("git_sha", ""))
    if changed is None:
        return "code"
    package = Path(next(iter(scintiflow.__path__)))
    own = sorted(path for path in changed if path in stage_sources(stage) or path.name == LOCK)
    names = [path.name if path.name == LOCK else path.relative_to(package).as_posix() for path in own]
    more = f" and {len(names) - FILES_NAMED} more" if len(names) > FILES_NAMED else ""
    return f"code: {', '.join(names[:FILES_NAMED])}{more}" if names else "code"


def version_text(version: str) -> str:
    """A version short enough for a table: its kind and the first twelve digits."""
    kind, _, digits = version.partition(":")
    return f"{kind}:{digits[:12]}" if digits else version


def _shown(value: str | None) -> str:
    return "(absent)" if value is None else json.dumps(value) if value == "" else value
