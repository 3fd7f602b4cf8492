"""The tables and the chart of the report, from a summary to cells of text."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd
from markupsafe import Markup

from scintiflow.evaluation.charts import DotRow, dot_chart
from scintiflow.evaluation.definitions import METHODS, METRICS
from scintiflow.evaluation.summary import RESTORED, patient_values

PERCEPTUAL = {
    "lpips_truth": "lpips",
    "lpips_standard": "lpips",
    "fid_standard": "fid",
    "kid_standard": "kid",
    "sam_frechet_standard": "sam_frechet",
}
REFERENCES = ("standard", "truth")
DIFFERENCE_COLUMNS = (
    "psnr_truth",
    "psnr_corrected",
    "ssim_truth",
    "lesion_contrast",
    "lesion_cnr",
    "false_hot_spots",
)
CHART_BASELINES = ("identity", "gaussian", "nlm", "bm3d", "unet", "first_alone", "champion", "standard")


def shown(value: float | None, metric: str, signed: bool = False) -> str:
    """A metric's value as text with its digits; a dash where it is unknown."""
    definition = METRICS[metric]
    if value is None or not math.isfinite(value):
        return "–"
    sign = "+" if signed or definition.better == "zero" else ""
    return f"{value * definition.scale:{sign}.{definition.digits}f}".replace("-", "−")


@dataclass(frozen=True)
class Cell:
    text: str
    interval: str = ""
    best: bool = False
    why: str = ""


def metric_table(methods: dict, names: tuple[str, ...], not_available: dict[str, str]) -> dict[str, Any]:
    """Rows of cells; a metric that nobody has is left out unless there is a reason to state."""
    columns = [
        name
        for name in names
        if any(metrics[name]["mean"] is not None for metrics in methods.values())
        or PERCEPTUAL.get(name) in not_available
    ]
    rows = []
    for method in ordered(methods, METHODS):
        metrics, cells = methods[method], []
        for name in columns:
            entry, kind = metrics[name], PERCEPTUAL.get(name, "")
            if entry["mean"] is None and kind in not_available:
                cells.append(Cell("not available", why=not_available[kind]))
                continue
            interval = ""
            if entry["low"] is not None:
                interval = f"{shown(entry['low'], name)} to {shown(entry['high'], name)}"
            cells.append(Cell(shown(entry["mean"], name), interval, best=method in _best(methods, name)))
        rows.append((method, cells))
    return {"columns": columns, "rows": rows}


def _best(methods: dict, metric: str) -> set[str]:
    """The best restorations by this metric, several if they tie; reference rows do not compete."""
    distance = {
        "higher": lambda value: -value,
        "lower": lambda value: value,
        "zero": abs,
        "one": lambda value: abs(value - 1),
    }.get(METRICS[metric].better)
    values = {
        method: metrics[metric]["mean"]
        for method, metrics in methods.items()
        if method not in REFERENCES and metrics[metric]["mean"] is not None
    }
    if distance is None or len(values) < 2:
        return set()
    nearest = min(distance(value) for value in values.values())
    return {method for method, value in values.items() if distance(value) == nearest}


def difference_table(summary: dict) -> dict[str, Any]:
    """Columns and rows of (difference, interval, 'gain' | 'loss' | 'open') by baseline."""
    differences = summary["differences"]
    columns = [
        name
        for name in DIFFERENCE_COLUMNS
        if any(metrics[name]["mean"] is not None for metrics in differences.values())
    ]
    rows = []
    for baseline in ordered(differences, METHODS):
        cells = []
        for name in columns:
            entry, interval = differences[baseline][name], ""
            if entry["low"] is not None:
                interval = f"{shown(entry['low'], name, signed=True)} to {shown(entry['high'], name, signed=True)}"
            cells.append((shown(entry["mean"], name, signed=True), interval, _verdict(entry, METRICS[name].better)))
        rows.append((baseline, cells))
    return {"columns": columns, "rows": rows}


def ordered(names: Iterable[str], order: Iterable[str]) -> list[str]:
    """`names` in the order given, strangers after them: JSON objects come back sorted by name."""
    present = list(names)
    known = [name for name in order if name in present]
    return (
        [name for name in known if name not in REFERENCES]
        + [name for name in present if name not in known]
        + [name for name in known if name in REFERENCES]
    )


def _verdict(entry: dict, better: str) -> str:
    """'gain' or 'loss' where the interval leaves zero and there is a direction, else 'open'."""
    if better not in ("higher", "lower") or entry["low"] is None or entry["low"] <= 0 <= entry["high"]:
        return "open"
    return "gain" if (entry["low"] > 0) == (better == "higher") else "loss"


def found_by_gate(verdict: dict) -> str:
    """What the gate found, in the unit in which the rule asks."""
    if verdict.get("shown"):
        return str(verdict["shown"])
    value = verdict["found"]
    if value is None:
        return "–"
    text = f"{100 * value:+.2f}%" if "%" in verdict["asked"] else f"{value:.4g}"
    return text.replace("-", "−")


def gain_chart(summary: dict, table: pd.DataFrame) -> Markup:
    """Every patient's paired gain in PSNR over each baseline."""
    metric = (summary["gate"] or {}).get("psnr_metric", "psnr_truth")
    if metric != "psnr_truth":
        metric = "psnr_standard"  # single patients' corrected errors may be negative
    rows = []
    ours = patient_values(table, RESTORED, metric)
    for baseline in CHART_BASELINES:
        entry = summary["differences"].get(baseline, {}).get(metric)
        if entry is None or entry["mean"] is None:
            continue
        gains = (ours - patient_values(table, baseline, metric)).dropna()
        rows.append(DotRow(f"over {METHODS[baseline]}", list(gains), entry["mean"], entry["low"], entry["high"]))
    name = METRICS[metric].name
    return dot_chart(rows, f"gain in {name}, dB (each dot one patient)", f"Paired gain in {name} of every patient")


def lead_numbers(summary: dict) -> list[tuple[str, str, str]]:
    """The few numbers on top: (number, what, interval)."""
    gate = summary["gate"]
    if not gate:
        return []
    cards = []
    basis = {"psnr_truth": "vs truth", "psnr_standard": "vs the good picture"}.get(
        gate["psnr_metric"], "noise-corrected"
    )
    for key, words in (("identity", "over the rapid scan"), ("gaussian", "over Gaussian"), ("bm3d", "over BM3D")):
        entry = gate.get(f"psnr_gain_over_{key}_db")
        if entry and entry["mean"] is not None:
            cards.append((f"{shown(entry['mean'], 'psnr_truth', True)} dB", f"PSNR {basis}, {words}", _range(entry)))
    for name, words in (("bone_bias", "bone count bias"), ("count_bias", "body count bias")):
        if gate[name]["mean"] is not None:
            cards.append((f"{shown(gate[name]['mean'], name)} %", words, _range(gate[name], name)))
    if gate["lesion_contrast"]["mean"] is not None:
        cards.append(
            (
                shown(gate["lesion_contrast"]["mean"], "lesion_contrast"),
                "of lesion contrast recovered",
                _range(gate["lesion_contrast"], "lesion_contrast"),
            )
        )
    own = summary["methods"][RESTORED]
    if (own["lesions"]["mean"] or 0) > 0:
        total = round(own["lesions"]["mean"] * own["lesions"]["patients"])
        missed = round(own["lesions_missed"]["mean"] * own["lesions_missed"]["patients"])
        cards.append(
            (f"{missed} of {total}", "lesion appearances missed", _range(own["lesions_missed"], "lesions_missed"))
        )
        invented = own["false_hot_spots"]
        cards.append(
            (
                shown(invented["mean"], "false_hot_spots"),
                "invented lesions per view",
                _range(invented, "false_hot_spots"),
            )
        )
    consistent = own["consistency_deviance"]
    if consistent["mean"] is not None:
        words = "of the deviance that the counts' own noise explains"
        cards.append(
            (shown(consistent["mean"], "consistency_deviance"), words, _range(consistent, "consistency_deviance"))
        )
    return cards


def _range(entry: dict, metric: str = "psnr_truth") -> str:
    if entry["low"] is None:
        return ""
    signed = metric in ("psnr_truth", "count_bias", "bone_bias")
    return f"{shown(entry['low'], metric, signed)} to {shown(entry['high'], metric, signed)}"


def has_lesions(summary: dict) -> bool:
    return any((metrics["lesions"]["mean"] or 0) > 0 for metrics in summary["methods"].values())


def patients_of(table: pd.DataFrame, column: str, value: str) -> int:
    return int(table.loc[table[column] == value, "patient"].nunique())


def real_scan_rows(table: pd.DataFrame) -> list[dict[str, str]]:
    return [
        {
            "view": row["view"],
            "method": METHODS.get(row["method"], row["method"]),
            "held_out": f"{row['psnr_held_out']:.2f}",
            "ceiling": f"{row['ceiling_held_out']:.2f}",
            "corrected": f"{row['psnr_corrected']:.2f}" if math.isfinite(row["psnr_corrected"]) else "–",
            "bias": f"{100 * row['count_bias']:+.2f}".replace("-", "−"),
            "deviance": f"{row['deviance_held_out']:.3f}",
        }
        for _, row in table.iterrows()
    ]
