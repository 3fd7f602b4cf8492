"""Means over patients with bootstrap intervals, paired differences, subgroups: JSON-safe (NaN is None).

A patient is the unit: views and studies of one patient are averaged first, and the bootstrap draws
patients. Intervals are 95% percentile intervals (Efron 1979). A paired difference draws the same
patients for both methods.

`psnr_corrected` is pooled: the PSNR of the mean corrected error over patients. A single view's corrected
error scatters around its value and may be negative; averaging decibels would drop just those views.
"""

import math
from typing import Any

import numpy as np
import pandas as pd

from scintiflow.evaluation.columns import AGE_BANDS, AGE_UNKNOWN, NUMBERS, STANDARD, TRUTH, WHOLE_SET
from scintiflow.evaluation.metrics import psnr_of_error
from scintiflow.params import EvaluateParams

RESTORED = "restored"
INTERVAL = (2.5, 97.5)
SUMMED = ("lesions", "lesions_missed")  # counts of a patient: views add up
SUMMARISED = tuple(name for name in NUMBERS if name not in ("mse_corrected", "seconds"))
DIFFERENCES = (
    "psnr_truth", "ssim_truth", "ms_ssim_truth", "psnr_standard", "ssim_standard", "ms_ssim_standard",
    "psnr_corrected", "deviance_standard", "lesion_contrast", "lesion_cnr", "lesions_missed", "false_hot_spots",
    "added_blur_mm", "consistency_deviance", "lpips_truth", "lpips_standard",
)  # fmt: skip
OF_EVERY_METHOD = (
    "psnr_truth", "psnr_corrected", "psnr_standard", "ceiling_standard", "ssim_truth", "ssim_standard",
    "deviance_standard", "count_bias", "bone_bias", "lesions", "lesion_contrast", "lesion_cnr", "lesions_missed",
    "false_hot_spots", "added_blur_mm", "consistency_z", "lpips_standard", *WHOLE_SET,
)  # fmt: skip

Estimate = dict[str, Any]  # {"mean", "low", "high", "patients"}; mean, low, high are None where unknown


def summarise(table: pd.DataFrame, params: EvaluateParams, sets: dict[str, dict] | None = None) -> dict[str, Any]:
    """Everything that the gate and the report need of a `score_dataset` table, as JSON-safe values.

    Returns `{"methods": {method: {metric: Estimate}}, "differences": {baseline: {metric: Estimate +
    "share_gained"}}, "by_age": {band: {method: ...}}, "by_view": ..., "by_scanner": ..., "gate": ...}`;
    differences are `restored` minus the baseline and exist if the table has a method 'restored'.
    `sets` are the numbers of whole sets, see `distributions.whole_set`.
    """
    baselines = [name for name in _methods(table) if name not in (RESTORED, TRUTH)]
    has_model = RESTORED in _methods(table)
    bands = [name for name in (*(band for band, _ in AGE_BANDS), AGE_UNKNOWN) if (table["age_band"] == name).any()]
    methods = _by_method(table, params)
    for metric, found in (sets or {}).items():
        for method, value in found["methods"].items():
            methods[method][f"{metric}_standard"] |= {"low": value["low"], "high": value["high"]}
    return {
        "patients": int(table["patient"].nunique()),
        "studies": int(table["study"].nunique()),
        "patients_with_truth": int(table.loc[table["reference"] == TRUTH, "patient"].nunique()),
        "data_range_counts": params.data_range_counts,
        "bootstrap_samples": params.bootstrap_samples,
        "thresholds": {
            name: getattr(params, name) for name in ("missed_below", "invented_above", "unsupported_beyond")
        },
        "methods": methods,
        "differences": {
            baseline: {metric: paired_difference(table, RESTORED, baseline, metric, params) for metric in DIFFERENCES}
            for baseline in baselines
            if has_model
        },
        "by_age": {band: _by_method(table[table["age_band"] == band], params) for band in bands},
        "by_view": {view: _by_method(part, params) for view, part in table.groupby("view", sort=True)},
        "by_scanner": {name: _by_method(part, params) for name, part in table.groupby("scanner", sort=True)},
        "whole_set": sets or {},
        "gate": gate_numbers(table, params) if has_model else None,
    }


def gate_numbers(table: pd.DataFrame, params: EvaluateParams, method: str = RESTORED) -> dict[str, Any]:
    """What the promotion rules ask about `method`: gains, biases, lesion contrast, each an `Estimate`.

    PSNR gains are against the truth if any patient has one, else noise-corrected, and of pictures, whose noise
    nobody knows, against the good picture (`psnr_metric` says which).
    Biases are the method's own; `patients` is the number of test patients.
    """
    known = (name for name in ("psnr_truth", "mse_corrected") if table[name].notna().any())
    metric = {"psnr_truth": "psnr_truth", "mse_corrected": "psnr_corrected"}.get(next(known, ""), "psnr_standard")
    present = _methods(table)
    gains = {
        f"psnr_gain_over_{baseline}_db": paired_difference(table, method, baseline, metric, params)
        for baseline in ("identity", "gaussian", "bm3d")
        if baseline in present
    }
    own = {
        name: estimate(patient_values(table, method, name), params)
        for name in ("count_bias", "bone_bias", "lesion_contrast")
    }
    return {"patients": int(table["patient"].nunique()), "psnr_metric": metric, **gains, **own}


def patient_values(table: pd.DataFrame, method: str, metric: str) -> pd.Series:
    """One value for each patient (index), NaN left out. For `psnr_corrected` this is the corrected MSE."""
    column = _column(metric)
    part = table.loc[table["method"] == method, ["patient", column]].dropna()
    groups = part.groupby("patient", sort=True)[column]
    return groups.sum() if metric in SUMMED else groups.mean()


def estimate(values: pd.Series, params: EvaluateParams, metric: str = "") -> Estimate:
    """Mean over patients with its bootstrap interval; no interval for fewer than two patients."""
    if values.empty:
        return {"mean": None, "low": None, "high": None, "patients": 0}
    known = values.to_numpy(dtype=np.float64)
    if metric in WHOLE_SET:
        return {"mean": _safe(known[0]), "low": None, "high": None, "patients": len(known)}
    to_number = _pooled(metric, params)
    drawn = to_number(known[_resamples(len(known), params)].mean(axis=1))
    return {"mean": _safe(to_number(known.mean())), **_interval(drawn, len(known)), "patients": len(known)}


def paired_difference(
    table: pd.DataFrame, method: str, baseline: str, metric: str, params: EvaluateParams
) -> Estimate:
    """`method` minus `baseline`, paired by patient, with bootstrap interval and share of patients with a gain.

    `share_gained` is the share of patients whose difference is above zero (None for pooled metrics).
    """
    both = pd.concat(
        {"a": patient_values(table, method, metric), "b": patient_values(table, baseline, metric)},
        axis=1,
        join="inner",
    ).dropna()
    if both.empty:
        return {"mean": None, "low": None, "high": None, "patients": 0, "share_gained": None}
    ours, theirs = both["a"].to_numpy(dtype=np.float64), both["b"].to_numpy(dtype=np.float64)
    to_number, draws = _pooled(metric, params), _resamples(len(both), params)
    drawn = to_number(ours[draws].mean(axis=1)) - to_number(theirs[draws].mean(axis=1))
    return {
        "mean": _safe(to_number(ours.mean()) - to_number(theirs.mean())),
        **_interval(drawn, len(both)),
        "patients": len(both),
        "share_gained": None if metric == "psnr_corrected" else float(np.mean(ours > theirs)),
    }


def flat_numbers(summary: dict[str, Any]) -> dict[str, float]:
    """The stage's report: `<metric>_<method>` means, gains with intervals, and what the gate asks; no None.

    Of the restoration everything, of the others what they are compared by.
    """
    numbers: dict[str, float] = {"patients": float(summary["patients"])}
    for method, metrics in summary["methods"].items():
        for metric in SUMMARISED if method == RESTORED else OF_EVERY_METHOD:
            numbers[f"{metric}_{method}"] = metrics[metric]["mean"]
    for name, entry in (summary["gate"] or {}).items():
        if isinstance(entry, dict):
            numbers[name] = entry["mean"]
            if name.startswith("psnr_gain"):
                numbers |= {f"{name}_low": entry["low"], f"{name}_high": entry["high"]}
    return {name: float(value) for name, value in numbers.items() if value is not None}


def _by_method(table: pd.DataFrame, params: EvaluateParams) -> dict[str, dict[str, Estimate]]:
    return {
        method: {metric: estimate(patient_values(table, method, metric), params, metric) for metric in SUMMARISED}
        for method in _methods(table)
    }


def _methods(table: pd.DataFrame) -> list[str]:
    present = list(dict.fromkeys(table["method"]))
    return [name for name in present if name not in (STANDARD, TRUTH)] + [
        name for name in (STANDARD, TRUTH) if name in present
    ]


def _column(metric: str) -> str:
    return "mse_corrected" if metric == "psnr_corrected" else metric


def _pooled(metric: str, params: EvaluateParams):
    if metric != "psnr_corrected":
        return lambda value: value
    to_db = np.vectorize(lambda error: psnr_of_error(float(error), params.data_range_counts), otypes=[np.float64])
    return lambda error: to_db(error)


def _resamples(patients: int, params: EvaluateParams) -> np.ndarray:
    """Indices `[sample, patient]`, the same for every metric and method of so many patients."""
    generator = np.random.default_rng(np.random.SeedSequence([params.seed, patients]))
    return generator.integers(0, patients, size=(params.bootstrap_samples, patients))


def _interval(drawn: np.ndarray, patients: int) -> dict[str, float | None]:
    known = drawn[np.isfinite(drawn)]
    if patients < 2 or known.size < 0.9 * drawn.size:
        return {"low": None, "high": None}
    low, high = np.percentile(known, INTERVAL)
    return {"low": _safe(low), "high": _safe(high)}


def _safe(value: Any) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None
