"""The last lines of a retrain: verdict, report, model, and what to do next."""

from collections.abc import Iterator
from pathlib import Path

from scintiflow.cluster.local_run import Outcome
from scintiflow.stages.graph import STAGES


def closing_lines(outcome: Outcome, profile: str) -> Iterator[str]:
    registration = outcome.registration
    yield ""
    if outcome.ran:
        reused = len(STAGES) - len(outcome.ran)
        kept = f", {reused} unchanged and reused" if reused else ""
        yield f"{len(outcome.ran)} stages ran in {outcome.seconds:.0f} s{kept}."
    else:
        yield f"Nothing has changed: no stage ran again ({outcome.seconds:.0f} s)."
    decision = registration["decision"]
    yield f"Gate: {'PASSED' if decision['passed'] else 'NOT PASSED'}"
    for verdict in decision["verdicts"]:
        found = "not measured" if verdict["found"] is None else f"{verdict['found']:.4g}"
        note = f" ({verdict['note']})" if verdict["note"] else ""
        yield f"  {'+' if verdict['passed'] else 'x'} {verdict['rule']}: {found}, asked {verdict['asked']}{note}"
    yield f"Model:  {registration['name']} version {registration['version']}, alias '{registration['alias']}'"
    yield f"Report: {_short(outcome.report)}"
    yield "MLflow: make ui"
    overlay = f" --profile {profile}" if profile else ""
    yield f"One stage again: .venv/bin/scintiflow retrain{overlay} --again evaluate"


def _short(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
