"""The Markdown table: means over held-out children with patient-paired bootstrap intervals of the differences."""

import numpy as np
import pandas as pd

from restoring.methods import TRAINED, UNTRAINED
from scintiflow.evaluation.summary import estimate, paired_difference, patient_values
from scintiflow.params import EvaluateParams

TITLES = (
    UNTRAINED
    | {name: row.title for name, row in TRAINED.items()}
    | {"standard": "a second standard scan", "truth": "the truth (ceiling)"}
)
COLUMNS = {
    "psnr_truth": ("PSNR vs truth, dB", "{:.2f}", 1),
    "psnr_corrected": ("noise-corrected PSNR, dB", "{:.2f}", 1),
    "psnr_standard": ("PSNR vs S, dB", "{:.2f}", 1),
    "ssim_truth": ("SSIM vs truth", "{:.3f}", 1),
    "count_bias": ("count bias, %", "{:+.2f}", 100),
    "bone_bias": ("bone bias, %", "{:+.2f}", 100),
    "lesion_contrast": ("lesion contrast", "{:.2f}", 1),
    "lesion_cnr": ("lesion CNR", "{:.1f}", 1),
    "false_hot_spots": ("false hot spots / view", "{:.2f}", 1),
}
AGAINST = {"bm3d": "gain over BM3D, dB", "first-compute": "gain over f^IR1 alone at equal compute, dB"}
ABSENT = "-"


def markdown(scores: pd.DataFrame, facts: dict[str, list[dict]], params: EvaluateParams) -> str:
    """The table of `scores` (rows of `score_dataset` with a column `seed`), a line for each method in order.

    A trained method's value for a child is its mean over seeds; intervals draw children, never seeds.
    `+-` after a PSNR is the standard deviation of the seeds' means.
    """
    present = [name for name in TITLES if (scores["method"] == name).any()]
    against = {name: title for name, title in AGAINST.items() if name in present}
    heads = ["method", *(title for title, _, _ in COLUMNS.values()), *against.values()]
    heads += ["seconds / scan", "parameters", "steps", "seeds"]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for name in present:
        cells = [TITLES[name]]
        cells += [_value(scores, name, metric, form, scale, params) for metric, (_, form, scale) in COLUMNS.items()]
        cells += [_gain(scores, name, baseline, params) for baseline in against]
        cells += _costs(scores, name, facts.get(name, []))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _value(scores: pd.DataFrame, name: str, metric: str, form: str, scale: float, params: EvaluateParams) -> str:
    found = estimate(patient_values(scores, name, metric), params, metric)
    if found["mean"] is None:
        return ABSENT
    text = form.format(found["mean"] * scale)
    if metric == "psnr_truth":
        own = scores[scores["method"] == name]
        seeds = own.groupby("seed")[metric].mean() if own["seed"].notna().any() else pd.Series(dtype=float)
        text += f" +-{np.std(seeds, ddof=1):.2f}" if len(seeds) > 1 else ""
        if found["low"] is not None:
            text += f" [{form.format(found['low'])}, {form.format(found['high'])}]"
    return text


def _gain(scores: pd.DataFrame, name: str, baseline: str, params: EvaluateParams) -> str:
    if name in (baseline, "truth"):
        return ABSENT
    found = paired_difference(scores, name, baseline, "psnr_truth", params)
    if found["mean"] is None:
        return ABSENT
    interval = "" if found["low"] is None else f" [{found['low']:+.2f}, {found['high']:+.2f}]"
    return f"{found['mean']:+.2f}{interval}"


def _costs(scores: pd.DataFrame, name: str, facts: list[dict]) -> list[str]:
    seconds = scores.loc[scores["method"] == name, "seconds"].dropna()
    first = facts[0] if facts else {}
    return [
        f"{seconds.astype(float).mean():.2f}" if len(seconds) else ABSENT,
        f"{first['parameters']:,}" if "parameters" in first else ABSENT,
        str(first.get("steps", ABSENT)),
        str(len(facts)) if "seed" in first else ABSENT,
    ]
