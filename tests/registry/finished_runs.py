"""Pipeline runs as the stage `register` finds and leaves them, for pages that people look at."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image

from scintiflow.files import sha256_file, write_json
from scintiflow.params import Params
from scintiflow.registry.champion import CHAMPION, current_champion
from scintiflow.registry.runs import close_parent, stage_run
from scintiflow.registry.surroundings import PIPELINE_RUN
from scintiflow.restoration.cascade import Cascade
from scintiflow.restoration.restorer import FIRST, save_cascade
from scintiflow.stages import register

PICTURES = (("patient-1.png", "1.2 years, hand"), ("patient-2.png", "7.4 years, hand"))


def save_small_cascade(folder: Path, params: Params, seed: int) -> Path:
    """A cascade that restores something, with weights of its own."""
    recipe = params.train_cascade
    small = recipe.first.model_copy(update={"width": 8, "blocks": [1, 1]})
    recipe = recipe.model_copy(update={"first": small, "second": small})
    torch.manual_seed(seed)
    network = Cascade(recipe)
    for parameter in network.parameters():  # off the zero-initialised head, so that the weights matter
        torch.nn.init.normal_(parameter, std=0.05)
    folder.mkdir(parents=True)
    save_cascade(folder, network, recipe, "5" * 64)
    return folder


def save_evaluation(folder: Path, table: pd.DataFrame, seed: int) -> Path:
    """An evaluation's folder around a per-patient table: summary, report, pictures of the same patients."""
    folder.mkdir(parents=True)
    table.to_parquet(folder / "patients.parquet")
    champion = current_champion("scintiflow")
    ours = table[table["method"] == "restored"].groupby("patient").mean(numeric_only=True)
    metrics = {
        name: {
            "mean": float(values.mean()), "low": float(values.quantile(0.025)), "high": float(values.quantile(0.975)),
            "patients": len(values),
        }
        for name, values in ours.items()
    }  # fmt: skip
    facts = [["Data set (SHA-256)", "5" * 64], ["Segment Anything", "small, no pretrained weights"]]
    facts.append(["Training started from", "the reference model"])
    about = {"facts": facts, "champion": None if champion is None else {**vars(champion), "same_model": False}}
    write_json(folder / "summary.json", {"methods": {"restored": metrics}, "about": about})
    (folder / "report.html").write_text(f"<!DOCTYPE html><title>Report {seed}</title><h1>Evaluation {seed}</h1>")
    generator = np.random.default_rng(seed)
    (folder / "pictures").mkdir()
    for name, _ in PICTURES:
        counts = generator.poisson(40, (240, 120)).astype(np.uint8) * 4
        Image.fromarray(counts).save(folder / "pictures" / name)
    captions = [
        {"name": name, "title": title, "caption": "caption", "in_every_run": True, "worst": None, "panels": []}
        for name, title in PICTURES
    ]
    write_json(folder / "pictures" / "captions.json", captions)
    return folder


def finish_run(name: str, folder: Path, table: pd.DataFrame, params: Params, seed: int, monkeypatch) -> dict:
    """Register one model as the pipeline run `name` would; returns registration.json's content and the parent run."""
    monkeypatch.setenv(PIPELINE_RUN, name)
    cascade = save_small_cascade(folder / name / "cascade", params, seed)
    evaluation = save_evaluation(folder / name / "evaluation", table, seed)
    registration = folder / name / "registration"
    with stage_run("evaluate", {"bootstrap_samples": 10}, {"input.dataset.sha256": "5" * 64}) as run:
        run.used("dataset", folder, "5" * 64)
    with stage_run("register", params.register_.model_dump(), {"input.cascade.sha256": "6" * 64}) as run:
        outputs = register.Outputs(registration)
        register.run(params.register_, register.Inputs(cascade, evaluation), outputs, run.tracker)
    parent = close_parent("FINISHED", {"train_cascade": {"seed": seed}}, {"cohorts_sha256": "7" * 64}, [])
    return {"parent": parent, "registration": registration, "weights": sha256_file(cascade / FIRST)}


def against(champion: pd.DataFrame, gain: float, missed: float = 0.0) -> pd.DataFrame:
    """A table in which the new model gains decibels over the old table's model and misses so many lesions more."""
    table = champion[champion["method"] != CHAMPION]
    old = table[table["method"] == "restored"]
    new = old.assign(
        psnr_truth=old["psnr_truth"] + gain,
        ssim_truth=old["ssim_truth"] + gain / 500,
        lesions_missed=old["lesions_missed"] + missed,
    )
    others = table[table["method"] != "restored"]
    return pd.concat([others, new, old.assign(method=CHAMPION)], ignore_index=True)
