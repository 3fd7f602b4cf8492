"""One self-contained HTML page: the verdict, the tables, the pictures, what every number means.

The page asks nothing of any network: styles and pictures are inside it, and its content policy forbids
the rest. It works without scripts. Everything shown passes through jinja2's autoescape.
"""

import base64
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from scintiflow.evaluation.columns import AGE_BANDS, AGE_UNKNOWN
from scintiflow.evaluation.definitions import (
    HEADLINE,
    LESION_METRICS,
    METHOD_NOTES,
    METHODS,
    METRICS,
    SUBGROUP_METRICS,
)
from scintiflow.evaluation.real_scan import RealScan
from scintiflow.evaluation.report_tables import (
    difference_table,
    found_by_gate,
    gain_chart,
    has_lesions,
    lead_numbers,
    metric_table,
    ordered,
    patients_of,
    real_scan_rows,
)
from scintiflow.files import read_json, whole_file

EMBEDDED_BYTES_AT_MOST = 5_600_000  # of pictures; base64 adds a third, and the page stays below 8 MB
BANDS = (*(name for name, _ in AGE_BANDS), AGE_UNKNOWN)
PATIENTS, SUMMARY, TIMINGS, PICTURES, CURVES = (
    "patients.parquet",
    "summary.json",
    "timings.json",
    "pictures",
    "curves.png",
)
CAPTIONS = "captions.json"
LESIONS, NOISE, EDGES = "lesions.parquet", "noise.csv", "edges.csv"


@dataclass(frozen=True)
class ReportPicture:
    """A PNG with its title and the words under it."""

    path: Path
    title: str
    caption: str


@dataclass(frozen=True)
class RealScanSection:
    """A thinned real scan: what it is, its scores, its picture."""

    title: str
    words: str
    scan: RealScan
    picture: ReportPicture | None = None


@dataclass(frozen=True)
class ReportContent:
    """All that the page shows.

    Attributes:
        summary: `summary.summarise` with the stage's `about` section (see `stages/evaluate.py`).
        table: the `score_dataset` table, for the chart of single patients.
        not_available: why a metric is missing, by 'lpips' and 'fid'.
        facts: (label, value) pairs of what was evaluated.
        timings: seconds per scan by method.
        pictures, curves: pictures of patients and of training.
        decision: the gate's decision as a dict: `passed` and `verdicts`, each with `rule`, `asked`, `found`,
            `passed`, `note`; None if no gate has spoken yet.
        real_scans: sections on real scans of unknown truth.
    """

    title: str
    summary: dict[str, Any]
    table: pd.DataFrame
    not_available: dict[str, str] = field(default_factory=dict)
    facts: list[tuple[str, str]] = field(default_factory=list)
    timings: dict[str, float] = field(default_factory=dict)
    pictures: list[ReportPicture] = field(default_factory=list)
    curves: list[ReportPicture] = field(default_factory=list)
    decision: dict[str, Any] | None = None
    real_scans: list[RealScanSection] = field(default_factory=list)


def content_of_evaluation(
    folder: Path, decision: dict[str, Any] | None = None, real_scans: list[RealScanSection] | None = None
) -> ReportContent:
    """Read back what the evaluate stage wrote, to render it again with a verdict or with real scans."""
    summary, timings = read_json(folder / SUMMARY), read_json(folder / TIMINGS)
    about = summary["about"]
    captions = read_json(folder / PICTURES / CAPTIONS)
    curves = folder / CURVES
    facts = [(str(label), str(value)) for label, value in about["facts"]]
    return ReportContent(
        title="Rapid paediatric bone scan: restoration report",
        summary=summary,
        table=pd.read_parquet(folder / PATIENTS),
        not_available=about["not_available"],
        facts=[*facts, ("Machine", timings["machine"])],
        timings=timings["seconds_per_scan"],
        pictures=[ReportPicture(folder / PICTURES / name, title, caption) for name, title, caption in captions],
        curves=[ReportPicture(curves, "Training curves", "Losses by term and validation during training.")]
        if curves.is_file()
        else [],
        decision=decision,
        real_scans=real_scans or [],
    )


def render_report(content: ReportContent, path: Path) -> None:
    """Write the page to `path`, whole or not at all."""
    environment = Environment(
        loader=PackageLoader("scintiflow.evaluation", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    budget = _Budget(EMBEDDED_BYTES_AT_MOST)
    summary = content.summary
    page = environment.get_template("report.html.j2").render(
        content=content,
        summary=summary,
        methods=METHODS,
        method_notes=METHOD_NOTES,
        metrics=METRICS,
        headline=metric_table(summary["methods"], HEADLINE, content.not_available),
        lesion_table=metric_table(summary["methods"], LESION_METRICS, content.not_available)
        if has_lesions(summary)
        else None,
        differences=difference_table(summary),
        by_age=[
            (band, metric_table(summary["by_age"][band], SUBGROUP_METRICS, content.not_available))
            for band in ordered(summary["by_age"], BANDS)
        ],
        by_view=[
            (view, metric_table(part, SUBGROUP_METRICS, content.not_available))
            for view, part in summary["by_view"].items()
        ],
        age_patients={band: patients_of(content.table, "age_band", band) for band in summary["by_age"]},
        chart=gain_chart(summary, content.table),
        lead=lead_numbers(summary),
        real_scans=[
            (section, real_scan_rows(section.scan.table), budget.embed(section.picture))
            for section in content.real_scans
        ],
        curves=[(picture, budget.embed(picture)) for picture in content.curves],
        pictures=[(picture, budget.embed(picture)) for picture in content.pictures],
        missing={kind.upper(): reason for kind, reason in sorted(content.not_available.items())},
        found=found_by_gate,
    )
    with whole_file(path) as partial:
        partial.write_text(page, encoding="utf-8")


class _Budget:
    """Pictures are embedded until the page would grow too large; the rest stays in the folder."""

    def __init__(self, left: int) -> None:
        self._left = left

    def embed(self, picture: ReportPicture | None) -> str | None:
        if picture is None or not picture.path.is_file() or picture.path.stat().st_size > self._left:
            return None
        content = picture.path.read_bytes()
        self._left -= len(content)
        return base64.b64encode(content).decode()
