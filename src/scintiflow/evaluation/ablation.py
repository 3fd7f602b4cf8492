"""The paper's ablation as a table: every arm over several seeds, with intervals over patients and paired gains.

A patient's value is its mean over the seeds; intervals draw patients. The scatter between seeds stands beside
each mean as a standard deviation: a gain smaller than that is no gain, whatever its interval says.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from scintiflow.evaluation.definitions import METRICS
from scintiflow.evaluation.report_tables import shown
from scintiflow.evaluation.summary import estimate, paired_difference, patient_values
from scintiflow.files import whole_file
from scintiflow.params import EvaluateParams

SCORES = "scores.parquet"
CSV, MARKDOWN, PICTURE = "ablation.csv", "ablation.md", "ablation.png"
ARM, SEED = "arm", "seed"
FIRST, SECOND = "first", "second"
NONE = "none"
NAMES = {
    "none": "cascade without semantics",
    "spi": "+ SPI",
    "spi_skd": "+ SPI + SKD",
    "spi_skd_scm": "+ SPI + SKD + SCM",
    "unadapted": "+ SPI + SKD + SCM, SAM not adapted",
}
NETWORKS = {FIRST: "f^IR1 (what inference runs)", SECOND: "f^IR2, masks from the rapid scan"}
COLUMNS = (
    "psnr_truth", "psnr_corrected", "psnr_standard", "ssim_truth", "bone_bias", "lesion_contrast", "lesion_cnr",
    "lesions_missed", "false_hot_spots", "added_blur_mm", "consistency_deviance",
)  # fmt: skip
DRAWN = ("psnr_truth", "psnr_corrected", "lesion_contrast", "false_hot_spots")
NOTE = (
    "Mean over held-out patients, [95% bootstrap interval over patients], ± standard deviation between the means of "
    "the seeds; then the paired gain over the first row. Without SKD and SCM nothing flows from f^IR2 back to f^IR1, "
    "so the first two rows of f^IR1 are equal by construction. f^IR2 does not run at inference."
)


def ablation_table(scores: pd.DataFrame, params: EvaluateParams) -> pd.DataFrame:
    """One line for each network, arm and metric that is known.

    Args:
        scores: rows of `score_dataset` for the methods 'first' and 'second' with the columns `arm` and `seed`.

    Returns:
        `network`, `arm`, `metric`, `mean`, `low`, `high`, `seeds`, `seed_sd` (NaN for one seed), `patients`, and
        `gain`, `gain_low`, `gain_high` over the arm 'none', paired by patient (NaN for that arm itself).
    """
    lines = []
    for network in NETWORKS:
        own = scores[scores["method"] == network]
        arms = [arm for arm in NAMES if (own[ARM] == arm).any()]
        for metric in COLUMNS:
            values = {arm: _over_seeds(own[own[ARM] == arm], network, metric) for arm in arms}
            if all(found.empty for found in values.values()):
                continue
            tidy = _tidy(values, metric)
            for arm in arms:
                line: dict[str, Any] = {"network": network, "arm": arm, "metric": metric} | estimate(
                    values[arm], params, metric
                )
                seeds = own.loc[own[ARM] == arm, SEED].unique()
                line |= {"seeds": len(seeds), "seed_sd": _seed_sd(own[own[ARM] == arm], network, metric, params)}
                gain = paired_difference(tidy, arm, NONE, metric, params) if arm != NONE and NONE in arms else {}
                line |= {name: gain.get(key) for name, key in _GAINS}
                lines.append(line)
    table = pd.DataFrame(lines)
    numbers = ["mean", "low", "high", "seed_sd", *(name for name, _ in _GAINS)]
    return table.astype(dict.fromkeys(numbers, "float64"))


def markdown(table: pd.DataFrame, params: EvaluateParams) -> str:
    """The table for people, one block for each network."""
    parts = [f"# Ablation\n\n{NOTE}\n\nData range L = {params.data_range_counts:g} counts.\n"]
    for network, title in NETWORKS.items():
        own = table[table["network"] == network]
        metrics = list(dict.fromkeys(own["metric"]))
        if not metrics:
            continue
        lead = metrics[0]
        heads = ["arm", *(_head(metric) for metric in metrics), f"gain in {METRICS[lead].name}", "seeds", "patients"]
        lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
        for arm in dict.fromkeys(own["arm"]):
            by_metric = own[own["arm"] == arm].set_index("metric")
            cells = [NAMES[arm], *(_cell(by_metric.loc[metric], metric) for metric in metrics)]
            first = by_metric.loc[lead]
            cells += [_gain(first, lead), str(first["seeds"]), str(first["patients"])]
            lines.append("| " + " | ".join(cells) + " |")
        parts.append(f"## {title}\n\n" + "\n".join(lines) + "\n")
    return "\n".join(parts)


def draw_ablation(table: pd.DataFrame, path: Path) -> None:
    """Means with intervals, arms from top to bottom, one panel for each of the main metrics."""
    metrics = [metric for metric in DRAWN if (table["metric"] == metric).any()]
    figure = Figure(figsize=(3.1 * len(metrics) + 2.6, 3.6), dpi=110, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    arms = [arm for arm in NAMES if (table["arm"] == arm).any()]
    panels = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
    for panel, metric in zip(panels, metrics, strict=True):
        scale = METRICS[metric].scale
        for offset, (network, colour) in zip((-0.13, 0.13), ((FIRST, "#1f5f99"), (SECOND, "#b26a00")), strict=True):
            own = table[(table["network"] == network) & (table["metric"] == metric)].set_index("arm")
            places = [place for place, arm in enumerate(arms) if arm in own.index]
            means = np.array([own.at[arms[place], "mean"] for place in places]) * scale
            ends = np.array([[own.at[arms[place], end] for place in places] for end in ("low", "high")]) * scale
            reach = np.nan_to_num(np.abs(ends - means))
            panel.errorbar(
                means, np.array(places) + offset, xerr=reach, fmt="o", color=colour, markersize=5, capsize=3,
                label=NETWORKS[network],
            )  # fmt: skip
        unit = f", {METRICS[metric].unit}" if METRICS[metric].unit else ""
        panel.set_xlabel(f"{METRICS[metric].name}{unit}", fontsize=8)
        panel.tick_params(labelsize=8)
        panel.grid(axis="x", color="0.9")
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_yticks(range(len(arms)), [NAMES[arm] for arm in arms])
    panels[0].invert_yaxis()
    figure.legend(
        *panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=8, frameon=False
    )
    with whole_file(path) as partial:
        figure.savefig(partial, format="png")


_GAINS = (("gain", "mean"), ("gain_low", "low"), ("gain_high", "high"))


def _of_each_seed(own: pd.DataFrame, network: str, metric: str) -> Iterator[pd.Series]:
    for _, part in own.groupby(SEED, sort=True):
        yield patient_values(part, network, metric)


def _over_seeds(own: pd.DataFrame, network: str, metric: str) -> pd.Series:
    """One value for each patient: the mean over seeds."""
    return pd.concat(list(_of_each_seed(own, network, metric)), axis=1).mean(axis=1).dropna()


def _seed_sd(own: pd.DataFrame, network: str, metric: str, params: EvaluateParams) -> float:
    means = [estimate(found, params, metric)["mean"] for found in _of_each_seed(own, network, metric)]
    known = [mean for mean in means if mean is not None]
    return float(np.std(known, ddof=1)) if len(known) > 1 else float("nan")


def _tidy(values: dict[str, pd.Series], metric: str) -> pd.DataFrame:
    """Patients' values as a table of the form that paired differences are made of, arms as methods."""
    column = "mse_corrected" if metric == "psnr_corrected" else metric
    parts = [pd.DataFrame({"patient": found.index, "method": arm, column: found}) for arm, found in values.items()]
    return pd.concat(parts, ignore_index=True)


def _head(metric: str) -> str:
    return METRICS[metric].name + (f", {METRICS[metric].unit}" if METRICS[metric].unit else "")


def _cell(line: pd.Series, metric: str) -> str:
    text = shown(line["mean"], metric)
    if not np.isnan(line["seed_sd"]):
        text += f" ±{line['seed_sd'] * METRICS[metric].scale:.{METRICS[metric].digits}f}"
    if not np.isnan(line["low"]):
        text += f" [{shown(line['low'], metric)}, {shown(line['high'], metric)}]"
    return text


def _gain(line: pd.Series, metric: str) -> str:
    if np.isnan(line["gain"]):
        return "-"
    text = shown(line["gain"], metric, signed=True)
    if np.isnan(line["gain_low"]):
        return text
    return f"{text} [{shown(line['gain_low'], metric, signed=True)}, {shown(line['gain_high'], metric, signed=True)}]"
