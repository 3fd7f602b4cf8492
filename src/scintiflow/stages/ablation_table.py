"""Stage ablation_table: scores of all arms and seeds -> one table with intervals, as CSV, Markdown and picture."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from scintiflow.evaluation.ablation import CSV, MARKDOWN, PICTURE, SCORES, ablation_table, draw_ablation, markdown
from scintiflow.files import whole_folder
from scintiflow.params import EvaluateParams
from scintiflow.tracking import Tracker


@dataclass(frozen=True)
class Inputs:
    """`scores`: a folder with one folder for each arm and seed."""

    scores: Path


@dataclass(frozen=True)
class Outputs:
    table: Path


def run(params: EvaluateParams, inputs: Inputs, outputs: Outputs, tracker: Tracker) -> dict[str, float]:
    """Write `ablation.csv`, `ablation.md`, `ablation.png`; returns how many trainings they rest on."""
    parts = [pd.read_parquet(path) for path in sorted(inputs.scores.glob(f"*/{SCORES}"))]
    table = ablation_table(pd.concat(parts, ignore_index=True), params)
    with whole_folder(outputs.table) as folder:
        table.to_csv(folder / CSV, index=False)
        (folder / MARKDOWN).write_text(markdown(table, params), encoding="utf-8")
        draw_ablation(table, folder / PICTURE)
    for name in (CSV, MARKDOWN, PICTURE):
        tracker.artifact(outputs.table / name, "ablation")
    return {"trainings": float(len(parts))}
