"""What a retrain costs with more patients: CPU and GPU hours, disk, memory, traffic, rows, from one measured run.

    make run                                     # once; or any finished `scintiflow retrain --profile laptop`
    python benchmarks/capacity.py [--project .] [--patients 137 1000 10000] [--gpu-tflops 20] [--gpu-tflops-narrow 2]

Measured: seconds of every stage of the last finished retrain in the project's MLflow, and the bytes it left. Counted,
not measured: multiplications and additions of the production recipe's networks (torch's FlopCounterMode, without
computing them) and the arrays that a stage holds in memory, from their shapes. Assumed: the rates a GPU sustains,
in SAM's matrix products (`--gpu-tflops`) and in f^IR's narrow convolutions, which memory bounds and not arithmetic
(`--gpu-tflops-narrow`); no GPU was measured. CPU rates come from the run. Prints Markdown.

Seconds by the clock times all cores are taken as processor time, which overstates it for what ran on one core.
"""

import argparse
import hashlib
import os
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from machine import machine
from mlflow import MlflowClient
from mlflow.entities import Run
from restoring.methods import operations_per_step
from segment_anything import sam_model_registry
from segment_anything.modeling import Sam
from torch.utils.flop_counter import FlopCounterMode

from scintiflow.params import Params, load_params
from scintiflow.sam.build import build_sam
from scintiflow.structures import STRUCTURES

ROOT = Path(__file__).parents[1]
ROWS, COLUMNS, VIEWS = 1024, 256, 2  # of a clinical scan
BACKWARD = 3  # forward and backward together, in forward passes
GIB, MIB = 2.0**30, 2.0**20


@dataclass(frozen=True)
class Measured:
    """One finished retrain: `seconds` by stage and clock, `bytes` by output, `rows` that MLflow keeps of it."""

    seconds: dict[str, float]
    bytes: dict[str, int]
    pairs: int
    test_patients: int
    patches_per_second: float
    seconds_per_scan: float
    rows: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--project", type=Path, default=ROOT, help="folder with mlflow.db and .scintiflow")
    parser.add_argument("--patients", type=int, nargs="+", default=[137, 1000, 10000])
    parser.add_argument("--gpu-tflops", type=float, default=20.0, help="assumed: what a GPU sustains in SAM, TFLOP/s")
    parser.add_argument("--gpu-tflops-narrow", type=float, default=2.0, help="assumed: ... in f^IR1 and f^IR2")
    arguments = parser.parse_args()
    laptop = load_params(ROOT / "params.yaml", ROOT / "profiles" / "laptop.yaml")
    production = load_params(ROOT / "params.yaml")
    run = measured(arguments.project.resolve(), laptop)
    for table in (measured_table(run), *scaled(run, laptop, production, arguments)):
        print(table)
    print(f"Machine now: {machine('torch')}. Hashing: {hashing_rate() / MIB:.0f} MiB/s of SHA-256.")


def measured(project: Path, laptop: Params) -> Measured:
    """The newest retrain of the laptop profile in which every stage finished."""
    client = MlflowClient(f"sqlite:///{project}/mlflow.db")
    experiment = client.get_experiment_by_name(laptop.tracking.experiment)
    runs = (
        list(client.search_runs([experiment.experiment_id], order_by=["attributes.start_time DESC"]))
        if experiment
        else []
    )
    for parent in runs:
        stages = {
            run.info.run_name: run
            for run in runs
            if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id and run.info.status == "FINISHED"
        }
        if {"ingest", "adapt_sam", "distil_priors", "train_cascade", "evaluate"} <= stages.keys():
            return _of_run(project, laptop, parent, stages)
    raise SystemExit(f"no finished retrain of the laptop profile in {project}: run `make run` there first")


def _of_run(project: Path, laptop: Params, parent: Run, stages: dict[str, Run]) -> Measured:
    def metric(stage: str, name: str) -> float:
        return stages[stage].data.metrics[name]

    outputs = {
        "ingest": "dataset",
        "distil_priors": "priors",
        "adapt_sam": "sam",
        "train_cascade": "cascade",
        "evaluate": "evaluation",
    }
    found = {
        output: sum(_bytes(folder) for folder in _newest(project, stage, output)) for stage, output in outputs.items()
    }
    found["cohorts"] = _bytes(project / "data" / "cohorts" / laptop.phantom.cohort)
    rows = sum(
        len(run.data.params) + len(run.data.tags) + len(run.data.metrics) for run in (parent, *stages.values())
    )
    return Measured(
        seconds={name: (run.info.end_time - run.info.start_time) / 1000 for name, run in stages.items()},
        bytes=found,
        pairs=round(metric("ingest", "pairs")),
        test_patients=round(metric("ingest", "patients_test")),
        patches_per_second=metric("train_cascade", "patches_per_second"),
        seconds_per_scan=metric("distil_priors", "seconds_per_scan"),
        rows=rows,
    )


def measured_table(run: Measured) -> str:
    lines = [f"Measured: {run.pairs} pairs, {run.test_patients} test patients.\n", "| stage | seconds |", "|---|--:|"]
    lines += [f"| {name} | {seconds:.0f} |" for name, seconds in run.seconds.items()]
    lines += ["", "| on disk | MiB | KiB for each pair |", "|---|--:|--:|"]
    lines += [f"| {name} | {size / MIB:.1f} | {size / 1024 / run.pairs:.0f} |" for name, size in run.bytes.items()]
    lines += ["", f"MLflow keeps {run.rows} parameters, tags and last metrics of the run.\n"]
    return "\n".join(lines)


def scaled(run: Measured, laptop: Params, production: Params, asked: argparse.Namespace) -> tuple[str, str, str]:
    """Three tables: what one unit of work is, the hours of each stage, bytes."""
    cores, recipe = os.cpu_count() or 1, production.train_cascade
    patch = {
        name: BACKWARD * operations_per_step(params.train_cascade)
        for name, params in (("laptop", laptop), ("production", production))
    }
    small, _ = build_sam(laptop.adapt_sam.architecture)
    with torch.device("meta"):
        large = sam_model_registry[production.adapt_sam.architecture.size](checkpoint=None)
    encode = {"laptop": encoder_operations(small), "production": encoder_operations(large)}
    cpu_rate = patch["laptop"] * run.patches_per_second
    training = patch["production"] * recipe.steps * recipe.patches_per_step * recipe.batches_per_step
    units = [
        "| unit of work | laptop, GFLOP | production, GFLOP |",
        "|---|--:|--:|",
        f"| one patch, forward and backward | {patch['laptop'] / 1e9:.1f} | {patch['production'] / 1e9:.1f} |",
        f"| one scan through SAM's encoder | {encode['laptop'] / 1e9:.1f} | {encode['production'] / 1e9:.1f} |",
        "",
        f"The run sustained {cpu_rate / 1e9:.0f} GFLOP/s in training on {cores} cores. A GPU is assumed to sustain "
        f"{asked.gpu_tflops:g} TFLOP/s in SAM and {asked.gpu_tflops_narrow:g} TFLOP/s in f^IR. Training steps take "
        f"{training / 1e15:.1f} PFLOP whatever the number of patients.\n",
    ]
    view = patch["production"] / BACKWARD * ROWS * COLUMNS / recipe.patch_pixels**2
    validations = recipe.steps / recipe.validate_every * VIEWS * view  # for each validation patient
    sam, narrow, cpu = asked.gpu_tflops * 3.6e15, asked.gpu_tflops_narrow * 3.6e15, cpu_rate * 3600
    split = production.ingest.split
    held_out = 1 - split.train - split.validation
    per_pair, per_test = (
        run.seconds["ingest"] * cores / run.pairs / 3600,
        run.seconds["evaluate"] * cores / run.test_patients / 3600,
    )
    adapting, asking = _encodings_per_patient(production), 2.0
    by_patient = {
        "ingest, CPU core hours": per_pair,
        "evaluate, baselines and scores, CPU core hours": per_test * held_out,
        "adapt_sam, its encodings, GPU hours": adapting * encode["production"] / sam,
        "distil_priors, GPU hours": asking * encode["production"] / sam,
        "train_cascade, its validations, GPU hours": validations * split.validation / narrow,
    }
    lines = [
        "| patients | " + " | ".join(map(str, asked.patients)) + " |",
        "|---" + "|--:" * len(asked.patients) + "|",
    ]
    lines += [_line(name, [value * count for count in asked.patients]) for name, value in by_patient.items()]
    lines += [
        _line("train_cascade, its steps, GPU hours", [training / narrow for _ in asked.patients]),
        _line(
            f"the same and the validations on these {cores} cores, days",
            [(training + validations * split.validation * count) / cpu / 24 for count in asked.patients],
        ),
        _line(
            f"distil_priors on these {cores} cores, days",
            [asking * encode["production"] * count / cpu / 24 for count in asked.patients],
        ),
        "",
    ]
    return "\n".join(units), "\n".join(lines), size_table(run, production, asked.patients)


def _encodings_per_patient(production: Params) -> float:
    """Scans that adapt_sam sends through the encoder, for each patient of the data set."""
    sam, split = production.adapt_sam, production.ingest.split
    held_out = 1 - split.train
    return (
        (1 + sam.cached_variations) * split.train + 2 * held_out + sam.steps / sam.validate_every * split.validation
    )


def _line(name: str, values: list[float]) -> str:
    return f"| {name} | " + " | ".join(f"{value:.2f}" for value in values) + " |"


def size_table(run: Measured, production: Params, patients: list[int]) -> str:
    """GiB on disk, over the network and in memory."""
    each = {name: size / run.pairs for name, size in run.bytes.items()}
    embedding = 2 * 256 * (production.adapt_sam.architecture.image_size // 16) ** 2 * 2
    pixels = VIEWS * ROWS * COLUMNS
    trained = pixels * (2 * 2 + len(STRUCTURES)) * production.ingest.split.train
    adapted = pixels * (2 + len(STRUCTURES))
    traffic = {
        "dataset": 1 + 4,  # written once, read by four stages
        "priors": 1 + 2,
    }
    moved = each["cohorts"] + traffic["dataset"] * each["dataset"] + traffic["priors"] * each["priors"]
    table = {
        "cohorts (DICOM), GiB": each["cohorts"],
        "DVC's cache beside it, GiB": each["cohorts"],
        "data set, GiB": each["dataset"],
        "priors, GiB": each["priors"],
        "priors with embeddings (keep_embeddings: true), GiB": each["priors"] + embedding,
        "the priors' store beside them, GiB": each["priors"],
        "between pods and S3 in one retrain, GiB": moved,
        "memory of train_cascade (studies), GiB": trained,
        "memory of adapt_sam (scans and targets), GiB": adapted,
    }
    lines = ["| patients | " + " | ".join(map(str, patients)) + " |", "|---" + "|--:" * len(patients) + "|"]
    lines += [
        f"| {name} | " + " | ".join(f"{size * count / GIB:.2f}" for count in patients) + " |"
        for name, size in table.items()
    ]
    lines += [f"| files under DVC | {' | '.join(str(2 * count) for count in patients)} |", ""]
    return "\n".join(lines)


def encoder_operations(sam: Sam) -> float:
    """Multiplications and additions of one picture through the image encoder."""
    side, device = sam.image_encoder.img_size, next(sam.parameters()).device
    with torch.no_grad(), FlopCounterMode(display=False) as counted:
        sam.image_encoder(torch.zeros(1, 3, side, side, device=device))
    return counted.get_total_flops()


def hashing_rate() -> float:
    """Bytes hashed in a second, by this process."""
    block, started = bytes(64 * 2**20), time.process_time()
    hashlib.sha256(block).hexdigest()
    return len(block) / (time.process_time() - started)


def _newest(project: Path, stage: str, output: str) -> list[Path]:
    folders = sorted((project / ".scintiflow" / "pipeline").glob(f"*/{stage.replace('_', '-')}/{output}"))
    return folders[-1:]


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


if __name__ == "__main__":
    main()
