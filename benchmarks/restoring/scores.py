"""One row of the table, computed once and kept as JSON: a killed run goes on with the next row."""

import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch

from restoring.children import Cohort
from restoring.methods import TRAINED, recipe_of
from scintiflow.dataset.manifest import Dataset
from scintiflow.dataset.patches import load_studies
from scintiflow.evaluation.baselines import AnscombeBm3d, Identity, NonLocalMeans, Restorer, choose_gaussian
from scintiflow.evaluation.scoring import score_dataset
from scintiflow.files import read_json, write_json
from scintiflow.params import EvaluateParams, TrainCascadeParams
from scintiflow.restoration.model_folder import DESCRIPTION, REFERENCE_FOLDER, checkpoint_sha256
from scintiflow.restoration.restorer import load_restorer, save_cascade
from scintiflow.restoration.training import train
from scintiflow.tracking import SilentTracker

CHECKPOINTS = "checkpoints"
REFERENCES = ("standard", "truth")  # rows that scoring adds for simulated children; kept once, with 'identity'


@dataclass(frozen=True)
class Bench:
    """What all rows share. `priors` holds the masks that train, by default the exact ones."""

    cohort: Cohort
    priors: Path
    training: TrainCascadeParams
    evaluation: EvaluateParams
    folder: Path
    workers: int

    def result(self, name: str, seed: int | None) -> Path:
        return self.folder / (name if seed is None else f"{name}-seed{seed}") / "result.json"


def score_untrained(bench: Bench, name: str) -> None:
    """Score a method without weights and keep the result, unless it is there."""
    path, facts = bench.result(name, None), {}
    if name == "reference":
        facts["sha256"] = checkpoint_sha256(REFERENCE_FOLDER)
    if path.is_file() and read_json(path)["facts"].get("sha256") == facts.get("sha256"):
        return
    if name == "gaussian":
        dataset = Dataset.open(bench.cohort.dataset)
        restorer, _ = choose_gaussian(dataset, bench.cohort.truth, None, bench.evaluation)
        facts["note"] = f"sigma {restorer.sigma_pixels:g} pixels"
    elif name == "reference":
        restorer = load_restorer(REFERENCE_FOLDER, "cuda" if torch.cuda.is_available() else "cpu")
        facts["parameters"] = read_json(REFERENCE_FOLDER / DESCRIPTION)["first_parameters"]
    else:
        restorer = {"identity": Identity, "nlm": NonLocalMeans, "bm3d": AnscombeBm3d}[name]()
    _keep(bench, path, name, restorer, facts)


def score_trained(bench: Bench, name: str, seed: int) -> None:
    """Train a row with one seed, from its checkpoint if there is one, score it and keep the result."""
    path = bench.result(name, seed)
    if path.is_file():
        return
    params = recipe_of(name, bench.training, seed)
    priors = bench.cohort.zeroed if TRAINED[name].zeroed else bench.priors
    dataset = Dataset.open(bench.cohort.dataset)
    training, held_out = (
        load_studies(dataset, priors, split, params.masks_from) for split in ("train", "validation")
    )
    started = time.monotonic()
    module = train(params, training, held_out, path.parent / CHECKPOINTS, params.sha256(), SilentTracker())
    seconds = time.monotonic() - started
    path.parent.mkdir(parents=True, exist_ok=True)
    save_cascade(path.parent, module.averaged_cascade, params, "")
    module.curves.save(path.parent)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    facts = {
        "parameters": read_json(path.parent / DESCRIPTION)["first_parameters"],
        "seed": seed,
        "steps": params.steps,
        "training_seconds_of_the_last_run": seconds,
    }
    _keep(bench, path, name, load_restorer(path.parent, device), facts)
    shutil.rmtree(path.parent / CHECKPOINTS, ignore_errors=True)


def collected(bench: Bench, rows: list[tuple[str, int | None]]) -> tuple[pd.DataFrame, dict[str, list[dict]]]:
    """Scores of all rows that are there, one below the other, and their facts by name, one entry for each seed."""
    tables, facts = [], {}
    for name, seed in rows:
        path = bench.result(name, seed)
        if path.is_file():
            content = read_json(path)
            tables.append(pd.DataFrame(content["scores"]).assign(seed=seed))
            facts.setdefault(name, []).append(content["facts"])
    return pd.concat(tables, ignore_index=True), facts


def _keep(bench: Bench, path: Path, name: str, restorer: Restorer, facts: dict) -> None:
    dataset = Dataset.open(bench.cohort.dataset)
    table = score_dataset(
        dataset, "test", {name: restorer}, bench.cohort.truth, None, bench.evaluation, workers=bench.workers
    )
    if name != "identity":
        table = table[~table["method"].isin(REFERENCES)]
    scores = table.astype(object).where(table.notna(), None).to_dict(orient="records")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, {"facts": facts, "scores": scores})
