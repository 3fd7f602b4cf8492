"""The last lines of a retrain: verdict, report, model, and what to do next."""

from collections.abc import Iterator
from pathlib import Path

from scintiflow.cluster.local_run import Outcome
from scintiflow.registry.champion import aliases_of
from scintiflow.registry.verdict import SUBGROUP
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
    yield from _verdict_lines(registration["decision"])
    name, version = registration["name"], registration["version"]
    aliases = ", ".join(f"'{alias}'" for alias in aliases_of(name, version))
    yield f"Model:  {name} version {version}, {f'alias {aliases}' if aliases else 'no alias any more'}"
    yield f"Report: {_short(outcome.report)}"
    yield "MLflow: make ui"
    overlay = f" --profile {profile}" if profile else ""
    yield f"One stage again: .venv/bin/scintiflow retrain{overlay} --again evaluate"


def _verdict_lines(decision: dict) -> Iterator[str]:
    """The gate's word, and of dozens of passed rules only how many there are beyond the first ones."""
    yield f"Gate: {'PASSED' if decision['passed'] else 'NOT PASSED'}. {decision['sentence']}"
    groups = [verdict for verdict in decision["verdicts"] if verdict["passed"] and verdict["group"] == SUBGROUP]
    for verdict in decision["verdicts"]:
        if verdict in groups:
            continue
        found = verdict["shown"] or ("not measured" if verdict["found"] is None else f"{verdict['found']:.4g}")
        note = f" ({verdict['note']})" if verdict["note"] else ""
        yield f"  {'+' if verdict['passed'] else 'x'} {verdict['rule']}: {found}, asked {verdict['asked']}{note}"
    if groups:
        yield f"  + {len(groups)} rules on age bands, views and scanners"


def _short(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
