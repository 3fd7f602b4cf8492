"""Stage register: the gate decides, the model becomes a version with an alias, the decision is kept for ever.

The folder `registration` holds `registration.json` (the version and its alias), `decision.json` and `decision.html`
(every rule with its number) and `model_card.md`.
"""

import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from scintiflow.evaluation_folder import ORIGIN, PATIENTS, REPORT, SUMMARY
from scintiflow.files import read_json, sha256_file, whole_folder, write_json
from scintiflow.modality import BONE_SCAN
from scintiflow.params import RegisterParams
from scintiflow.registry.card import Lineage, model_card, short_card
from scintiflow.registry.champion import (
    CHALLENGER,
    CHAMPION,
    CHECKPOINT_TAG,
    COMPARED_TAG,
    current_champion,
    identity,
)
from scintiflow.registry.decision_page import render_decision
from scintiflow.registry.gate import decide
from scintiflow.registry.models import MODALITY_TAG, REGISTRATION, RegisteredModel, register_model
from scintiflow.registry.promotion import DECISION_TAG, REPORT_TAG, Papers, settle_by_gate
from scintiflow.registry.review import publish_review
from scintiflow.registry.surroundings import git_sha, surroundings
from scintiflow.registry.verdict import Champion
from scintiflow.restoration.model_folder import CALIBRATION, DESCRIPTION, FIRST
from scintiflow.restoration.onnx_graph import export_graph
from scintiflow.tracking import Tracker

DECISION, PAGE, CARD = "decision.json", "decision.html", "model_card.md"
TRAINING_COHORT = "training_cohort.json"  # as drift.cohort names it, which registering need not know


@dataclass(frozen=True)
class Inputs:
    cascade: Path
    evaluation: Path


@dataclass(frozen=True)
class Outputs:
    registration: Path


def run(params: RegisterParams, inputs: Inputs, outputs: Outputs, tracker: Tracker) -> dict[str, float]:
    """Register f^IR1 as a new version of `params.model_name`: champion if every rule passed, else challenger.

    Returns the report: the version, the number of rules and how many passed, whether all did.
    """
    table = pd.read_parquet(inputs.evaluation / PATIENTS)
    summary, description = read_json(inputs.evaluation / SUMMARY), read_json(inputs.cascade / DESCRIPTION)
    checkpoint = sha256_file(inputs.cascade / FIRST)
    rescored = _champion_in(summary)
    decision = decide(table, checkpoint, rescored, current_champion(params.model_name), params.gate)
    lineage = _lineage(summary, description, checkpoint, inputs.evaluation, rescored)

    with whole_folder(outputs.registration) as folder:
        write_json(folder / DECISION, decision.as_dict())
        render_decision(decision, f"Gate: a new version of {params.model_name}", list(lineage.pairs), folder / PAGE)
        (folder / CARD).write_text(model_card(summary, table, description, decision, lineage), encoding="utf-8")
        papers = Papers(sha256_file(inputs.evaluation / REPORT), sha256_file(folder / DECISION))
        tags = {
            "gate": "passed" if decision.passed else "not passed",
            CHECKPOINT_TAG: checkpoint,
            REPORT_TAG: papers.report_sha256,
            DECISION_TAG: papers.decision_sha256,
            COMPARED_TAG: identity(rescored),
            "pipeline_run": surroundings().pipeline_run,
            MODALITY_TAG: str(description.get("modality", BONE_SCAN.name)),
            "training_set_sha256": str(description.get("training_set_sha256", "")),
        }
        card = short_card(summary, table, description, decision, lineage)
        model = _register(params, inputs, tags, card, tracker)
        settle_by_gate(model, decision, papers)
        alias = CHAMPION if decision.passed else CHALLENGER
        write_json(
            folder / REGISTRATION,
            {
                "name": model.name,
                "version": model.version,
                "alias": alias,
                "run_id": model.run_id,
                "cascade_sha256": model.checkpoint_sha256,
                "decision": decision.as_dict(),
            },
        )
    kept = [outputs.registration / name for name in (PAGE, DECISION, CARD, REGISTRATION)]
    for path in kept:
        tracker.artifact(path, "gate")
    data_sha256 = str(dict(summary["about"]["facts"]).get("Data set (SHA-256)", checkpoint))
    publish_review(tracker, table, decision, model, inputs.evaluation, kept, data_sha256)
    passed = sum(verdict.passed for verdict in decision.verdicts)
    return {
        "model_version": float(model.version),
        "rules": len(decision.verdicts),
        "rules_passed": passed,
        "gate_passed": float(decision.passed),
    }


def _register(
    params: RegisterParams, inputs: Inputs, tags: dict[str, str], card: str, tracker: Tracker
) -> RegisteredModel:
    """As challenger: only a logged decision moves the alias 'champion'. It carries what it will be judged by."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "cascade"
        folder.mkdir()
        for file in (FIRST, DESCRIPTION):
            shutil.copyfile(inputs.cascade / file, folder / file)
        for file in (CALIBRATION, TRAINING_COHORT):  # not in evaluations of earlier versions
            if (inputs.evaluation / file).is_file():
                shutil.copyfile(inputs.evaluation / file, folder / file)
        if params.graph:
            _add_graph(folder)
        return register_model(tracker, params.model_name, CHALLENGER, folder, tags, card)


def _add_graph(folder: Path) -> None:
    """A model that torch cannot export is registered all the same: it restores, more slowly, with torch."""
    try:
        export_graph(folder)
    except Exception as error:  # the exporter raises whatever a network's operations make it raise
        reason = getattr(error, "reason", f"torch cannot export this network ({type(error).__name__})")
        print(f"no ONNX graph: {reason}", file=sys.stderr)


def _champion_in(summary: dict[str, Any]) -> Champion | None:
    """Whom the evaluation scored beside the new model."""
    found = summary["about"].get("champion")
    return None if found is None else Champion(found["name"], str(found["version"]), found["checkpoint_sha256"])


def _lineage(
    summary: dict[str, Any], description: dict[str, Any], checkpoint: str, evaluation: Path, rescored: Champion | None
) -> Lineage:
    facts = {str(label): str(value) for label, value in summary["about"]["facts"]}
    teacher = facts.get("Segment Anything", "not stated")
    against = "none" if rescored is None else f"version {rescored.version}, {rescored.checkpoint_sha256}"
    return Lineage(
        (
            ("weights f^IR1 (SHA-256)", checkpoint),
            ("training started from", facts.get(ORIGIN, "not stated")),
            ("teacher, Segment Anything", teacher),
            ("training set (SHA-256)", str(description.get("training_set_sha256", "unknown"))),
            ("evaluated data set (SHA-256)", facts.get("Data set (SHA-256)", "unknown")),
            ("training parameters (SHA-256)", str(description.get("params_sha256", "unknown"))),
            ("evaluation report (SHA-256)", sha256_file(evaluation / REPORT)),
            ("champion it was compared with", against),
            ("code (git)", git_sha()),
            ("pipeline run", surroundings().pipeline_run),
        )
    )
