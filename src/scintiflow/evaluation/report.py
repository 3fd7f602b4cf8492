"""One self-contained HTML page: the verdict, the tables, the pictures, what every number means.

The page asks nothing of any network: styles and pictures are inside it, and its content policy forbids
the rest. It works without scripts. Everything shown passes through jinja2's autoescape.
"""

import base64
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from scintiflow.evaluation.cases import FRAME
from scintiflow.evaluation.columns import AGE_BANDS, AGE_UNKNOWN
from scintiflow.evaluation.definitions import (
    CONSISTENCY_METRICS,
    COUNT_METRICS,
    HEADLINE,
    LESION_METRICS,
    METHOD_NOTES,
    METHODS,
    METRICS,
    SUBGROUP_METRICS,
    TEXTURE_METRICS,
)
from scintiflow.evaluation.real_scan import RealScan
from scintiflow.evaluation.report_fidelity import (
    SET_NAMES,
    edge_chart,
    lesion_list,
    lesions_by_strength,
    noise_chart,
    set_table,
    worst_patients,
)
from scintiflow.evaluation.report_tables import (
    difference_table,
    found_by_gate,
    gain_chart,
    group_charts,
    has_lesions,
    lead_numbers,
    metric_table,
    ordered,
    patients_of,
    real_scan_rows,
)
from scintiflow.evaluation.report_wording import PICTURE_DEFINITIONS, in_words_of_pictures
from scintiflow.evaluation_folder import CAPTIONS, CURVES, EDGES, LESIONS, NOISE, PATIENTS, PICTURES, SUMMARY, TIMINGS
from scintiflow.files import read_json, whole_file
from scintiflow.pages import page_template

EMBEDDED_BYTES_AT_MOST = 5_600_000  # of pictures; base64 adds a third, and the page stays below 8 MB
BANDS = (*(name for name, _ in AGE_BANDS), AGE_UNKNOWN)
SCANS_TITLE = "Rapid paediatric bone scan: restoration report"
PICTURES_TITLE = "Paired pictures: restoration report"
NAMES = METHODS | SET_NAMES | {"lpips": "LPIPS"}  # of what may be missing


@dataclass(frozen=True)
class ReportPicture:
    """A PNG with its title and the words under it.

    Attributes:
        panels: `{"title", "views"}` of what can be laid over one another, see `panels.PanelPlace`.
        beside: pictures of the same scan whose panels may be laid over this one's.
    """

    path: Path
    title: str
    caption: str
    study: str = ""
    panels: tuple[dict[str, Any], ...] = ()
    beside: tuple["ReportPicture", ...] = ()


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
        lesions, noise, edges: the other tables of `scoring.Scores`.
        not_available: why a metric or a method is missing, by its name.
        facts: (label, value) pairs of what was evaluated.
        timings: seconds per scan by method.
        pictures, curves: pictures of patients and of training.
        decision: the gate's decision as a dict: `passed` and `verdicts`, each with `rule`, `asked`, `found`,
            `passed`, `note`; None if no gate has spoken yet.
        real_scans: sections on real scans of unknown truth.
        verdict, badge: what the decision is called, where it is not the gate's.
    """

    title: str
    summary: dict[str, Any]
    table: pd.DataFrame
    lesions: pd.DataFrame
    noise: pd.DataFrame
    edges: pd.DataFrame
    not_available: dict[str, str] = field(default_factory=dict)
    facts: list[tuple[str, str]] = field(default_factory=list)
    timings: dict[str, float] = field(default_factory=dict)
    pictures: list[ReportPicture] = field(default_factory=list)
    curves: list[ReportPicture] = field(default_factory=list)
    decision: dict[str, Any] | None = None
    real_scans: list[RealScanSection] = field(default_factory=list)
    verdict: str = ""
    badge: str = ""

    @property
    def of_pictures(self) -> bool:
        """Whether nothing here is a scan: what is said of counts, noise, bones and lesions is left out."""
        return is_of_pictures(self.table)


def is_of_pictures(table: pd.DataFrame) -> bool:
    """Whether a table of patients holds pictures and no scan."""
    return "regions_from" in table and len(table) > 0 and bool((table["regions_from"] == FRAME).all())


def content_of_evaluation(
    folder: Path, decision: dict[str, Any] | None = None, real_scans: list[RealScanSection] | None = None
) -> ReportContent:
    """Read back what the evaluate stage wrote, to render it again with a verdict or with real scans."""
    summary, timings = read_json(folder / SUMMARY), read_json(folder / TIMINGS)
    about, table = summary["about"], pd.read_parquet(folder / PATIENTS)
    curves = folder / CURVES
    facts = [(str(label), str(value)) for label, value in about["facts"]]
    return ReportContent(
        title=PICTURES_TITLE if is_of_pictures(table) else SCANS_TITLE,
        summary=summary,
        table=table,
        lesions=pd.read_parquet(folder / LESIONS),
        noise=pd.read_csv(folder / NOISE),
        edges=pd.read_csv(folder / EDGES),
        not_available=about["not_available"],
        facts=[*facts, ("Machine", timings["machine"])],
        timings=timings["seconds_per_scan"],
        pictures=pictures_of(folder / PICTURES),
        curves=[ReportPicture(curves, "Training curves", "Losses by term and validation during training.")]
        if curves.is_file()
        else [],
        decision=decision,
        real_scans=real_scans or [],
    )


def pictures_of(folder: Path) -> list[ReportPicture]:
    """The evaluation's pictures, the worst scans first."""
    entries = sorted(read_json(folder / CAPTIONS), key=lambda entry: (entry["worst"] is None, entry["worst"] or 0))
    return [
        ReportPicture(
            folder / entry["name"], _headed(entry), entry["caption"], entry["study"], tuple(entry["panels"])
        )
        for entry in entries
    ]


def _headed(entry: dict[str, Any]) -> str:
    if entry["worst"] is None:
        return entry["title"]
    gain = f"{entry['gain_db']:+.2f} dB".replace("-", "−")
    return f"Worst {entry['worst']}: {entry['title']}, {gain} over the best method without learning"


def render_report(content: ReportContent, path: Path) -> None:
    """Write the page to `path`, whole or not at all."""
    budget = _Budget(EMBEDDED_BYTES_AT_MOST)
    summary = content.summary

    def tables(names: tuple[str, ...]) -> dict[str, Any]:
        return metric_table(summary["methods"], names, content.not_available)

    page = page_template("scintiflow.evaluation", "report.html.j2").render(
        content=content,
        summary=summary,
        methods=METHODS,
        method_notes=METHOD_NOTES,
        metrics=METRICS,
        headline=tables(HEADLINE),
        count_table=tables(COUNT_METRICS),
        lesion_table=tables(LESION_METRICS) if has_lesions(summary) else None,
        texture_table=tables(TEXTURE_METRICS),
        consistency_table=tables(CONSISTENCY_METRICS),
        sets=set_table(summary),
        worst=worst_patients(content.table, summary),
        lesion_list=lesion_list(content.lesions),
        lesions_by_strength=lesions_by_strength(content.lesions),
        noise_chart=noise_chart(content.noise),
        edge_chart=edge_chart(content.edges),
        differences=difference_table(summary),
        by_age=[
            (band, metric_table(summary["by_age"][band], SUBGROUP_METRICS, content.not_available))
            for band in ordered(summary["by_age"], BANDS)
        ],
        by_view=[
            (view, metric_table(part, SUBGROUP_METRICS, content.not_available))
            for view, part in summary["by_view"].items()
        ],
        by_scanner=[
            (name, metric_table(part, SUBGROUP_METRICS, content.not_available))
            for name, part in summary["by_scanner"].items()
        ],
        age_patients={band: patients_of(content.table, "age_band", band) for band in summary["by_age"]},
        chart=gain_chart(summary, content.table),
        group_charts=group_charts(summary, content.table),
        lead=lead_numbers(summary),
        real_scans=[
            (section, real_scan_rows(section.scan.table), budget.embed(section.picture))
            for section in content.real_scans
        ],
        curves=[budget.embed(picture) for picture in content.curves],
        pictures=[budget.embed(picture) for picture in content.pictures],
        missing={NAMES.get(kind, kind): reason for kind, reason in sorted(content.not_available.items())},
        found=found_by_gate,
        picture_definitions=PICTURE_DEFINITIONS,
    )
    with whole_file(path) as partial:
        partial.write_text(in_words_of_pictures(page) if content.of_pictures else page, encoding="utf-8")


class _Budget:
    """Pictures are embedded until the page would grow too large; the rest stays in the folder."""

    def __init__(self, left: int) -> None:
        self._left = left

    def embed(self, picture: ReportPicture | None) -> list[tuple[ReportPicture, str | None]]:
        """The picture and those beside it, each with its bytes in base64, or None if there is no room."""
        return [] if picture is None else [(one, self._bytes(one)) for one in (picture, *picture.beside)]

    def _bytes(self, picture: ReportPicture) -> str | None:
        if not picture.path.is_file() or picture.path.stat().st_size > self._left:
            return None
        content = picture.path.read_bytes()
        self._left -= len(content)
        return base64.b64encode(content).decode()
