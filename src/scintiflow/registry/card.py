"""The model card: what a version is, what it was tested on, how it did, what it must not be used for. Markdown."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from scintiflow.modality import PICTURE
from scintiflow.registry.measures import RESTORED, Measure, rows_of
from scintiflow.registry.verdict import Decision

LONGEST_CARD = 5000  # characters of a version's description in MLflow's database
SHOWN = {
    "psnr_truth": Measure("PSNR against the truth", "", "", abs, "dB", 2),
    "ssim_truth": Measure("SSIM against the truth", "", "", abs),
    "psnr_corrected": Measure("PSNR, noise-corrected", "", "", abs, "dB", 2),
    "psnr_standard": Measure("PSNR against the standard scan", "", "", abs, "dB", 2),
    "count_bias": Measure("bias of body counts", "", "", abs, "%", 2, 100),
    "bone_bias": Measure("bias of bone counts", "", "", abs, "%", 2, 100),
    "lesion_contrast": Measure("recovered lesion contrast", "", "", abs, "", 2),
    "lesions_missed": Measure("missed lesions", "", "", abs, "per patient", 2),
    "false_hot_spots": Measure("invented lesions", "", "", abs, "per view", 2),
    "consistency_z": Measure("consistency with the measured counts", "", "", abs, "s.d.", 2),
}
SIGNED = ("count_bias", "bone_bias", "consistency_z")
INTENDED = (
    "Estimating the counts of a standard whole-body 99mTc-MDP bone scan (20 cm/min) of a child from a rapid one "
    "(40 cm/min), for display beside the rapid scan. The rapid scan stays the record."
)
NOT_FOR = (
    "Diagnosis from the restored image alone. Quantification in place of the measured counts.",
    "Adults, other tracers, SPECT, single spot views, other velocities than the protocol's.",
    "Scanners and ages that are not in the tables below: nothing is known of them.",
    "Clinical use without approval of your physicists: this is not a medical device.",
)
OF_PICTURES = (
    "Estimating the good picture of a pair from the poor one, for pictures like those it was trained on, for display "
    "beside the original. The original stays the record."
)
NOT_OF_PICTURES = (
    "Diagnosis from the restored picture alone: structures may be changed, and no rule about lesions was asked.",
    "Other cameras, organs and degradations than those of the training pairs. Bone scans.",
    "Clinical use without your own validation: this is not a medical device.",
)
LIMITS = (
    "Truth exists for simulated children only; a gain on them is necessary, not sufficient.",
    "Intervals tell the scatter between these patients, not between trainings with other seeds.",
    "A lesion that the rapid scan's counts do not show cannot be brought back.",
)


@dataclass(frozen=True)
class Lineage:
    """(label, value) pairs: what made the model, hash by hash."""

    pairs: tuple[tuple[str, str], ...]


def model_card(
    summary: dict[str, Any], table: pd.DataFrame, description: dict[str, Any], decision: Decision, lineage: Lineage
) -> str:
    """The card, complete; `summary` and `table` are the evaluation's, `description` is cascade.json."""
    return "\n\n".join([*_head(decision, description), *_tables(summary, table), *_tail(decision, lineage)]) + "\n"


def short_card(
    summary: dict[str, Any], table: pd.DataFrame, description: dict[str, Any], decision: Decision, lineage: Lineage
) -> str:
    """The card without what does not fit on a version's page in MLflow; the whole one is an artifact."""
    whole = model_card(summary, table, description, decision, lineage)
    if len(whole) <= LONGEST_CARD:
        return whole
    parts = [*_head(decision, description), *_tables(summary, table)[:1], *_tail(decision, lineage)]
    return "\n\n".join(parts)[:LONGEST_CARD]


def _head(decision: Decision, description: dict[str, Any]) -> list[str]:
    verdict = "passed" if decision.passed else "NOT passed"
    pictures = description.get("modality") == PICTURE.name
    intended, not_for = (OF_PICTURES, NOT_OF_PICTURES) if pictures else (INTENDED, NOT_FOR)
    return [
        f"**Gate: {verdict}.** {decision.sentence}",
        f"f^IR1 of the cascade: {description.get('first_parameters', 0):,} parameters, "
        f"{description.get('steps', '?')} steps. It runs alone: no SAM, no masks at inference.",
        f"### Intended use\n{intended}",
        "### Not for\n" + "\n".join(f"- {line}" for line in not_for),
    ]


def _tables(summary: dict[str, Any], table: pd.DataFrame) -> list[str]:
    ours = summary["methods"][RESTORED]
    lines = ["| held-out patients | mean | 95% interval | patients |", "|---|---|---|---|"]
    for name, measure in SHOWN.items():
        entry = ours.get(name)
        if entry is None or entry["mean"] is None:
            continue
        signed = name in SIGNED
        interval = (
            "–"
            if entry["low"] is None
            else f"{measure.shown(entry['low'], signed)} to {measure.shown(entry['high'], signed)}"
        )
        lines.append(
            f"| {measure.words} | {measure.shown(entry['mean'], signed)} | {interval} | {entry['patients']} |"
        )
    return ["### Metrics\n" + "\n".join(lines), "### Tested on\n" + _tested_on(table)]


def _tested_on(table: pd.DataFrame) -> str:
    patients = rows_of(table, RESTORED).reset_index().drop_duplicates("patient")
    ages = patients["age_years"].dropna()
    span = f"{ages.min():.1f} to {ages.max():.1f} years" if len(ages) else "ages unknown"
    bands = ", ".join(f"{name}: {count}" for name, count in sorted(patients["age_band"].value_counts().items()))
    scanners = ", ".join(f"{name}: {count}" for name, count in sorted(patients["scanner"].value_counts().items()))
    cohorts = ", ".join(sorted(patients["cohort"].unique()))
    return f"{len(patients)} patients of {cohorts}, {span} ({bands}). Scanners: {scanners}."


def _tail(decision: Decision, lineage: Lineage) -> list[str]:
    failed = [f"- {verdict.sentence}" for verdict in decision.failed]
    parts = ["### Limits\n" + "\n".join(f"- {line}" for line in LIMITS)]
    if failed:
        more = [f"- and {len(failed) - 6} more, see gate/decision.html"] if len(failed) > 6 else []
        parts.append("### Rules that did not pass\n" + "\n".join([*failed[:6], *more]))
    parts.append("### Lineage\n" + "\n".join(f"- {label}: `{value}`" for label, value in lineage.pairs))
    return parts
