"""What a reviewer sees in MLflow: numbers, pictures and the patients' table on the run of the whole pipeline.

The same keys, the same picture names and the same patients in every run, so that MLflow's own compare page answers
'which is better, and where is it worse'. Keys with a slash are sections of MLflow's charts.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow.entities import Dataset, DatasetInput

from scintiflow.evaluation_folder import CAPTIONS, PICTURES, REPORT
from scintiflow.files import read_json
from scintiflow.registry.measures import CHAMPION_ROWS, MEASURES, RESTORED, Pair, patient_means, rows_of
from scintiflow.registry.models import RegisteredModel
from scintiflow.registry.runs import LONGEST_DIGEST, PARENT_TAG, MlflowTracker
from scintiflow.registry.verdict import Decision
from scintiflow.tracking import Tracker

PICTURE_SECTION = "9 pictures"
TABLE = "patients.json"  # MLflow's table view opens it and compares it between runs
SECTIONS = {
    "psnr": "1 image/PSNR dB",
    "ssim": "1 image/SSIM",
    "deviance": "1 image/Poisson deviance",
    "lesion_contrast": "2 lesions/recovered contrast",
    "lesions_missed": "2 lesions/missed per patient",
    "false_hot_spots": "2 lesions/invented per view",
    "count_bias": "3 counts/body bias percent",
    "bone_bias": "3 counts/bone bias percent",
    "consistency": "3 counts/consistency z",
}
BY_GROUP = {"psnr": "PSNR dB", "bone_bias": "bone bias percent", "lesions_missed": "missed per patient"}


def review_numbers(table: pd.DataFrame, decision: Decision) -> dict[str, float]:
    """Every number of the compare page; what was not measured is left out."""
    numbers = {"0 gate/passed": float(decision.passed), "0 gate/rules failed": float(len(decision.failed))}
    pair = Pair.of(table)
    for name, key in SECTIONS.items():
        measure = MEASURES[name]
        means = patient_means(table, RESTORED, measure)
        if means is None or means[0].empty:
            continue
        numbers[key] = measure.scale * float(means[0].mean())
        costs = measure.cost(means[0])
        numbers[f"4 worst patient/{key.split('/')[1]}"] = measure.scale * float(means[0][costs.idxmax()])
        lost = pair.losses(measure) if pair.same_scans else None
        if lost is not None and not lost.losses.empty:
            numbers[f"5 against the champion/{key.split('/')[1]} gain"] = -measure.scale * float(lost.losses.mean())
    for section, column in (("6 by age", "age_band"), ("7 by view", "view"), ("8 by scanner", "scanner")):
        for group, part in table.groupby(table[column].fillna("unknown").astype(str)):
            for name, words in BY_GROUP.items():
                means = patient_means(part, RESTORED, MEASURES[name])
                if means is not None and not means[0].empty:
                    value = MEASURES[name].scale * float(means[0].mean())
                    numbers[f"{section}/{_key(str(group))} {words}"] = value
    return {key: value for key, value in numbers.items() if math.isfinite(value)}


def patient_table(table: pd.DataFrame) -> pd.DataFrame:
    """One row for each held-out patient, the worst PSNR first; columns in words, champion beside the new model."""
    patients = rows_of(table, RESTORED).reset_index().drop_duplicates("patient").set_index("patient")
    shown = pd.DataFrame(index=patients.index)
    for name, key in SECTIONS.items():
        for method, suffix in ((RESTORED, ""), (CHAMPION_ROWS, " (champion)")):
            means = patient_means(table, method, MEASURES[name])
            if means is not None:
                values = (MEASURES[name].scale * means[0]).reindex(shown.index)
                shown[f"{key.split('/')[1]}{suffix}"] = values.round(4)
    # MLflow's table view opens with the first column, so that is the headline, not the age
    shown = shown.assign(age=patients["age_years"], **{"age band": patients["age_band"]}, scanner=patients["scanner"])
    worst = shown.sort_values("PSNR dB") if "PSNR dB" in shown else shown
    return worst.reset_index()


def publish_review(
    tracker: Tracker,
    table: pd.DataFrame,
    decision: Decision,
    model: RegisteredModel,
    evaluation: Path,
    papers: list[Path],
    data_sha256: str,
) -> None:
    """Put everything on the parent run of a stage's run; nothing where no MLflow listens.

    Args:
        evaluation: folder of the evaluation: report, summary, pictures with captions.
        papers: decision and card, kept under `gate/`.
        data_sha256: of the data set whose held-out patients were scored.
    """
    if not isinstance(tracker, MlflowTracker):
        return
    client = tracker.client
    run_id = client.get_run(tracker.run_id).data.tags.get(PARENT_TAG, tracker.run_id)
    MlflowTracker(client, run_id).metrics(review_numbers(table, decision))
    client.log_table(run_id, _printable(patient_table(table)), TABLE)
    for key, picture in _pictures(evaluation / PICTURES):
        client.log_image(run_id, picture, key=key, step=0)
    for path in papers:
        client.log_artifact(run_id, str(path), "gate")
    client.log_artifact(run_id, str(evaluation / REPORT), "evaluation")
    patients = table.loc[table["method"] == RESTORED, "patient"].nunique()
    data = Dataset(f"held-out patients ({patients})", data_sha256[:LONGEST_DIGEST], "local", "{}")
    client.log_inputs(run_id, [DatasetInput(data, [])])
    verdict = "passed" if decision.passed else "not passed"
    for name, value in {"scintiflow.gate": verdict, "scintiflow.model": f"{model.name} {model.version}"}.items():
        client.set_tag(run_id, name, value)
    client.set_tag(run_id, "mlflow.note.content", _note(decision, model))


def _pictures(folder: Path) -> Iterator[tuple[str, Any]]:
    from PIL import Image

    captions = folder / CAPTIONS
    for entry in read_json(captions) if captions.is_file() else []:
        path = folder / entry["name"]
        if entry["in_every_run"] and path.is_file():
            key = _key(f"{path.stem} - {entry['title'].split(',')[0]}")
            yield f"{PICTURE_SECTION}/{key}", np.asarray(Image.open(path).convert("RGB"))


def _note(decision: Decision, model: RegisteredModel) -> str:
    lines = [decision.sentence, "", f"Model: `{model.name}` version {model.version}. Page: `evaluation/{REPORT}`."]
    lines += [f"- not passed: {verdict.sentence}" for verdict in decision.failed]
    return "\n".join(lines)


def _printable(table: pd.DataFrame) -> pd.DataFrame:
    """JSON has no NaN; an empty cell says the same."""
    return table.astype(object).where(table.notna(), None)


def _key(text: str) -> str:
    """MLflow allows letters, digits, and these signs in a key."""
    return "".join(letter if letter.isalnum() or letter in "_-. " else "_" for letter in text)
