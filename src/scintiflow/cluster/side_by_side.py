"""Two runs on one page, paired patient by patient: run B as the model in question, run A as what it is held against.

Both restored the same scans, so the page is the evaluation's own, with A's restoration as one method more and the
gate's paired rules as the verdict. Scans that only one of them has are left out.
"""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from scintiflow.errors import ScintiflowError
from scintiflow.evaluation.columns import WHOLE_SET
from scintiflow.evaluation.report import (
    ReportPicture,
    content_of_evaluation,
    pictures_of,
    render_report,
)
from scintiflow.evaluation.summary import RESTORED, summarise
from scintiflow.evaluation_folder import PAIRED, PICTURES
from scintiflow.params import Params
from scintiflow.registry.evaluations import Evaluation
from scintiflow.registry.measures import CHAMPION_ROWS, ROW, rows_of
from scintiflow.registry.paired_rules import paired_verdicts
from scintiflow.registry.verdict import Verdict

TITLE = "Two runs compared, patient by patient"
SAME_SCAN = ("psnr_standard", "count_bias")  # of the untouched rapid scan: equal only if scans and data range are


def compare_on_a_page(first: Evaluation, second: Evaluation, params: Params, page: Path) -> list[Verdict]:
    """Write the page that holds run B (`second`) against run A (`first`); returns the verdicts of the paired rules.

    Raises ScintiflowError if they have no scan in common, or measured the same scan differently.
    """
    ours, theirs = (content_of_evaluation(evaluation.folder) for evaluation in (second, first))
    shared = _shared_scans(theirs.table, ours.table, f"{first.title} and {second.title}")
    table = _joined(ours.table, theirs.table, shared)
    alike = len(shared) == len(rows_of(ours.table, RESTORED)) == len(rows_of(theirs.table, RESTORED))
    if not alike:
        table[list(WHOLE_SET)] = math.nan  # they were made of more scans than these
    verdicts = list(paired_verdicts(table.replace({"method": {PAIRED: CHAMPION_ROWS}}), params.register_.gate))
    failed = sum(not verdict.passed for verdict in verdicts)
    settings = params.evaluate.model_copy(
        update={name: ours.summary[name] for name in ("data_range_counts", "bootstrap_samples")}
    )
    sets = _joined_sets(ours.summary["whole_set"], theirs.summary["whole_set"]) if alike else {}
    facts = [
        ("Run A, 'the champion' in the rules", first.title),
        ("Run B, in the rows 'Restored'", second.title),
        ("Patients in common", f"{len({patient for patient, _, _ in shared})}{'' if alike else '; others left out'}"),
        *(
            (f"{label}, run {name}", value)
            for name, part in (("A", theirs), ("B", ours))
            for label, value in part.facts
        ),
    ]
    content = replace(
        ours,
        title=TITLE,
        summary=summarise(table, settings, sets) | {"about": ours.summary["about"]},
        table=table,
        lesions=_joined(ours.lesions, theirs.lesions, shared),
        noise=_with_other(ours.noise, theirs.noise),
        edges=_with_other(ours.edges, theirs.edges),
        facts=facts,
        timings={},
        curves=[],
        pictures=_paired_pictures(first.folder / PICTURES, second.folder / PICTURES),
        decision={"passed": not failed, "verdicts": [vars(verdict) for verdict in verdicts]},
        verdict=_verdict(failed, len(verdicts)),
        badge="B before A" if not failed else "B not before A",
    )
    render_report(content, page)
    return verdicts


def _verdict(failed: int, rules: int) -> str:
    if not failed:
        return f"By the gate's rules run B would take run A's place: all {rules} paired rules passed"
    return f"By the gate's rules run B would not take run A's place: {failed} of {rules} paired rules did not pass"


def _shared_scans(first: pd.DataFrame, second: pd.DataFrame, names: str) -> list[tuple[str, str, str]]:
    """(patient, study, view) of every scan that both restored."""
    shared = sorted(set(rows_of(first, RESTORED).index) & set(rows_of(second, RESTORED).index))
    if not shared:
        raise ScintiflowError(
            "have no held-out patient in common", where=names, remedy="Compare runs on the same cohorts and split"
        )
    measured = [
        rows_of(table, "identity").loc[shared, [*SAME_SCAN, "data_range_counts"]] for table in (first, second)
    ]
    if not measured[0].equals(measured[1]):
        raise ScintiflowError(
            "measured the same rapid scans differently: another data range, truth or code",
            where=names,
            remedy="Evaluate both with the same recipe and code: `scintiflow retrain --again evaluate`",
        )
    return shared


def _joined(ours: pd.DataFrame, theirs: pd.DataFrame, shared: list[tuple[str, str, str]]) -> pd.DataFrame:
    """Rows of the shared scans: all of B's methods but its champion, and A's restoration as `PAIRED`."""
    both = _with_other(ours, theirs)
    return both[pd.MultiIndex.from_frame(both[ROW]).isin(shared)].reset_index(drop=True)


def _joined_sets(ours: dict[str, Any], theirs: dict[str, Any]) -> dict[str, Any]:
    """Numbers of whole sets: B's, and A's restoration."""
    joined = {}
    for name, found in ours.items():
        methods = {method: value for method, value in found["methods"].items() if method != CHAMPION_ROWS}
        other = theirs.get(name, {}).get("methods", {}).get(RESTORED)
        joined[name] = found | {"methods": methods | ({} if other is None else {PAIRED: other})}
    return joined


def _with_other(ours: pd.DataFrame, theirs: pd.DataFrame) -> pd.DataFrame:
    other = theirs[theirs["method"] == RESTORED].assign(method=PAIRED)
    return pd.concat([ours[ours["method"] != CHAMPION_ROWS], other], ignore_index=True)


def _paired_pictures(first: Path, second: Path) -> list[ReportPicture]:
    """B's pictures, and with each the same scan by A where A drew it; both restorations first among the panels."""
    theirs = {picture.study: picture for picture in pictures_of(first)}
    return [_beside(theirs[ours.study], ours) if ours.study in theirs else ours for ours in pictures_of(second)]


def _beside(first: ReportPicture, second: ReportPicture) -> ReportPicture:
    of_a = tuple(panel | {"title": "restored by A"} for panel in first.panels if panel["title"] == RESTORED)
    of_b = tuple(panel | {"title": "restored by B"} for panel in second.panels if panel["title"] == RESTORED)
    rest = tuple(panel for panel in second.panels if panel["title"] != RESTORED)
    return replace(
        first,
        title=second.title,
        caption=f"Above run A, below run B. {second.caption}",
        panels=of_a,
        beside=(replace(second, panels=(*of_b, *rest)),),
    )


def comparison_lines(verdicts: list[Verdict], title: str, page: Path) -> list[str]:
    """What the terminal shows: the outcome, every rule that did not pass, where the page is."""
    failed = [verdict for verdict in verdicts if not verdict.passed]
    return [
        title,
        f"{_verdict(len(failed), len(verdicts))}.",
        *(f"  not passed: {verdict.sentence}" for verdict in failed),
        f"Page: {page}",
    ]
