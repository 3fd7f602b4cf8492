"""Stage register: the gate decides, the model becomes a version with an alias, the decision is kept."""

import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from scintiflow.files import read_json, sha256_file, whole_folder, write_json
from scintiflow.params import RegisterParams
from scintiflow.registry.gate import GateNumbers, decide
from scintiflow.registry.models import CHALLENGER, CHAMPION, CHECKPOINT_TAG, REGISTRATION, register_model
from scintiflow.restoration.restorer import DESCRIPTION, FIRST
from scintiflow.tracking import Tracker


@dataclass(frozen=True)
class Inputs:
    cascade: Path
    evaluation: Path


@dataclass(frozen=True)
class Outputs:
    registration: Path


def run(params: RegisterParams, inputs: Inputs, outputs: Outputs, tracker: Tracker) -> dict[str, float]:
    """Register f^IR1 as a new version of `params.model_name`: champion if every rule passed, else challenger.

    Returns the report: the version, the number of rules and how many passed.
    """
    numbers = GateNumbers.from_summary(read_json(inputs.evaluation / "summary.json")["gate"])
    decision = decide(numbers, params.gate)
    alias = CHAMPION if decision.passed else CHALLENGER
    tags = {
        "gate": "passed" if decision.passed else "not passed",
        CHECKPOINT_TAG: sha256_file(inputs.cascade / FIRST),
        "evaluation_report_sha256": sha256_file(inputs.evaluation / "report.html"),
        "decision": json.dumps(decision.as_dict())[:4000],
    }
    with tempfile.TemporaryDirectory() as folder:
        for name in (FIRST, DESCRIPTION):
            shutil.copyfile(inputs.cascade / name, Path(folder) / name)
        model = register_model(tracker, params.model_name, alias, Path(folder), tags)

    with whole_folder(outputs.registration) as partial:
        write_json(
            partial / REGISTRATION,
            {
                "name": model.name,
                "version": model.version,
                "alias": model.alias,
                "run_id": model.run_id,
                "cascade_sha256": model.checkpoint_sha256,
                "decision": decision.as_dict(),
            },
        )
    tracker.artifact(outputs.registration / REGISTRATION)
    passed = sum(verdict.passed for verdict in decision.verdicts)
    return {"model_version": float(model.version), "rules": len(decision.verdicts), "rules_passed": passed}
