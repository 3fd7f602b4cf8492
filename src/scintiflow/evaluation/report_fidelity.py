"""What a physicist asks beyond the means: the worst patients, every lesion, noise, sharpness, whole sets."""

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from scintiflow.evaluation.charts import Line, line_chart
from scintiflow.evaluation.columns import SETS, STANDARD, TRUTH
from scintiflow.evaluation.definitions import METHODS, METRICS
from scintiflow.evaluation.report_tables import ordered, shown
from scintiflow.evaluation.summary import RESTORED, patient_values, yardstick
from scintiflow.evaluation_folder import PAIRED

WORST_PATIENTS = 5
LESIONS_AT_MOST = 40
STRENGTHS = (0.0, 0.5, 1.0, math.inf)  # true contrast against the ring: faint, clear, strong
LESION_METHODS = (RESTORED, PAIRED, "bm3d", "gaussian", "champion", STANDARD)
WORST_COLUMNS = (
    "psnr_truth", "psnr_standard", "bone_bias", "lesion_contrast", "lesions", "lesions_missed", "false_hot_spots",
    "unsupported_share", "consistency_z",
)  # fmt: skip
SET_NAMES = {"fid": "FID", "kid": "KID", "sam_frechet": "Fréchet distance, SAM encoder"}


def worst_patients(table: pd.DataFrame, summary: dict) -> dict[str, Any]:
    """The patients whom the restoration serves worst, by its gain over `summary.yardstick`."""
    metric = "psnr_truth" if table["psnr_truth"].notna().any() else "psnr_standard"
    baseline = yardstick(summary["methods"])
    gains = (patient_values(table, RESTORED, metric) - patient_values(table, baseline, metric)).dropna().sort_values()
    values = {name: patient_values(table, RESTORED, name) for name in WORST_COLUMNS}
    columns = [name for name in WORST_COLUMNS if values[name].notna().any()]
    rows = []
    for patient in gains.index[:WORST_PATIENTS]:
        own = table[table["patient"] == patient].iloc[0]
        cells = [shown(float(values[name].get(patient, math.nan)), name) for name in columns]
        gain = shown(float(gains[patient]), metric, signed=True)
        rows.append((patient, _age(own["age_years"]), own["scanner"], gain, cells))
    return {
        "columns": columns,
        "rows": rows,
        "baseline": METHODS.get(baseline, baseline),
        "metric": METRICS[metric].name,
    }


def lesion_list(lesions: pd.DataFrame) -> dict[str, Any]:
    """Every known lesion, the worst recovered first; at most `LESIONS_AT_MOST` of them."""
    if lesions.empty:
        return {"methods": [], "rows": [], "total": 0}
    key = ["patient", "study", "view", "lesion"]
    methods = [name for name in LESION_METHODS if (lesions["method"] == name).any()]
    wide = lesions.pivot_table(index=key, columns="method", values="recovery", aggfunc="first")
    ours = lesions[lesions["method"] == RESTORED].set_index(key)
    ours = ours.sort_values(["recovery", "patient", "view", "lesion"], kind="stable") if "recovery" in ours else ours
    rows = []
    for place, lesion in ours.head(LESIONS_AT_MOST).iterrows():
        recovered = [(_share(wide.at[place, name]), bool(name == RESTORED and lesion["missed"])) for name in methods]
        rows.append(
            {
                "patient": place[0],
                "age": _age(lesion["age_years"]),
                "view": place[2],
                "region": lesion["region"],
                "width": f"{2 * lesion['radius_mm']:.0f}",
                "contrast": f"{100 * lesion['true_contrast']:.0f}",
                "recovered": recovered,
                "cnr": "–" if math.isnan(lesion["cnr"]) else f"{lesion['cnr']:.1f}",
            }
        )
    return {"methods": methods, "rows": rows, "total": len(ours)}


def lesions_by_strength(lesions: pd.DataFrame) -> dict[str, Any]:
    """Mean recovery and missed lesions of each method, for lesions of like true contrast.

    A conditional mean gives up contrast where the counts tell little, so a mean over all lesions says as much of
    the lesions as of the method.
    """
    rows = []
    methods = [name for name in LESION_METHODS if not lesions.empty and (lesions["method"] == name).any()]
    for low, high in pairwise(STRENGTHS):
        alike = lesions[(lesions["true_contrast"] >= low) & (lesions["true_contrast"] < high)]
        own = {name: alike[alike["method"] == name] for name in methods}
        number = len(own[RESTORED]) if methods else 0
        if number:
            cells = [(_share(part["recovery"].mean()), int(part["missed"].sum())) for part in own.values()]
            rows.append((_strength(low, high), number, cells))
    return {"methods": methods, "rows": rows}


def set_table(summary: dict) -> list[dict[str, Any]]:
    """One row for each metric of whole sets: how many patients and views, the floor, every method."""
    rows = []
    for name in SETS:
        found = summary["whole_set"].get(name)
        if found is None:
            continue
        digits = METRICS[f"{name}_standard"].digits
        cells = []
        for method in ordered(found["methods"], METHODS):
            value = found["methods"][method]
            interval = (
                "" if value["low"] is None else f"{_number(value['low'], digits)} to {_number(value['high'], digits)}"
            )
            cells.append((METHODS.get(method, method), _number(value["value"], digits), interval))
        rows.append(
            {
                "name": SET_NAMES[name],
                "available": found["available"],
                "reason": found["reason"],
                "patients": found["patients"],
                "views": found["views"],
                "floor": _number(found["floor"], digits),
                "cells": cells,
            }
        )
    return rows


def noise_chart(noise: pd.DataFrame) -> Markup:
    """Noise power spectra of all methods."""
    lines = [
        Line(METHODS.get(name, name), list(part["frequency_per_mm"]), list(part["power_mm2"]), *_style(name))
        for name, part in _by_method(noise)
    ]
    return line_chart(
        lines, "frequency, 1/mm", "relative noise power, mm²", "Noise power spectra by method", decades=True
    )


def edge_chart(edges: pd.DataFrame) -> Markup:
    """Edge responses of all methods."""
    lines = []
    for name, part in _by_method(edges):
        distances, values = part["distance_mm"].to_numpy(), part["value"].to_numpy()
        lines.append(Line(METHODS.get(name, name), list(distances), list(values), *_style(name)))
    return line_chart(
        lines, "distance from the border of bone, mm (inside is positive)", "counts, 0 outside, 1 inside",
        "Mean counts by distance from the border of bone",
    )  # fmt: skip


def _by_method(table: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    return [(name, table[table["method"] == name]) for name in ordered(table["method"].unique(), METHODS)]


def _style(method: str) -> tuple[bool, bool]:
    return method == TRUTH, method == RESTORED


def _age(years: float) -> str:
    return "unknown" if np.isnan(years) else f"{years:.1f}"


def _strength(low: float, high: float) -> str:
    return f"{100 * low:.0f} to {100 * high:.0f}" if math.isfinite(high) else f"over {100 * low:.0f}"


def _share(value: float) -> str:
    return "–" if value is None or math.isnan(value) else f"{value:.2f}".replace("-", "−")


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}".replace("-", "−")
