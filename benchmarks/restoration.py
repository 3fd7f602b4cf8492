"""What each part of the method is worth: every restorer on the same held-out simulated children, one table.

    python benchmarks/restoration.py                                  # the whole table; goes on where it was killed
    python benchmarks/restoration.py --rows identity,bm3d,first,full --seeds 1 --steps 2000
    python benchmarks/restoration.py --smoke                          # minutes become seconds; numbers mean nothing

Children come straight from the simulator. Masks that train are the exact ones, unless `--sam FOLDER` names an
adapted SAM (an output of the adapt_sam stage), whose masks are then distilled first. Truth scores and never trains.
Everything is kept under build/benchmarks/restoration/, one JSON for each row and seed, in a folder named by
children, recipe and code; `table.md` is the table of all rows that are done, written anew after each of them.
"Equal compute" counts multiplications and additions, not seconds: it does not depend on the machine.
"""

import argparse
import hashlib
import os
import shlex
import sys
from pathlib import Path

from machine import machine
from restoring.children import Cohort, Plan, make_cohort, plan_text
from restoring.methods import ROWS, UNTRAINED
from restoring.scores import Bench, collected, score_trained, score_untrained
from restoring.table import markdown

from scintiflow.errors import ScintiflowError
from scintiflow.files import whole_file
from scintiflow.params import DistilPriorsParams, Params, TrainCascadeParams, changed, load_params
from scintiflow.phantom.cohort import phantom_code_version
from scintiflow.stages import distil_priors
from scintiflow.stages.code_version import code_version
from scintiflow.tracking import SilentTracker

ROOT = Path(__file__).parents[1]
TABLE = "table.md"
RECIPE = ROOT / "benchmarks" / "restoring" / "recipe.yaml"
FIRST_SEED = 1
SMOKE = {"children": 2, "training_children": 1, "validation_children": 1, "seeds": 1, "steps": 2}
SMOKE_NETWORK = {"width": 4, "blocks": [1]}
SMOKE_TRAINING = {
    "first": SMOKE_NETWORK, "second": SMOKE_NETWORK, "patches_per_step": 1, "patch_pixels": 32,
    "validate_every": 2, "checkpoint_every": 2,
}  # fmt: skip
SMOKE_OLDEST_YEARS = 0.7


def main() -> None:
    arguments = parsed()
    params = load_params(ROOT / "params.yaml", arguments.recipe)
    training, plan = recipe(arguments, params), cohort_plan(arguments, params)
    children = digest(plan_text(plan), phantom_code_version())
    cohort = make_cohort(plan, arguments.folder / f"children-{children}", arguments.workers)
    source, priors = priors_of(arguments, cohort, params.distil_priors)
    recipes = training.sha256(), params.evaluate.sha256(), source
    folder = arguments.folder / f"rows-{digest(children, *recipes, code())}"
    bench = Bench(cohort, priors, training, params.evaluate, folder, arguments.workers)
    seeds = range(FIRST_SEED, FIRST_SEED + arguments.seeds)
    wanted = [
        (name, seed) for seed in seeds for name in arguments.rows if name not in UNTRAINED
    ]  # a seed of every row before the next seed: an unfinished table is still a table
    jobs: list[tuple[str, int | None]] = [(name, None) for name in arguments.rows if name in UNTRAINED]
    for name, seed in jobs + wanted:
        if seed is None:
            score_untrained(bench, name)
        else:
            score_trained(bench, name, seed)
        report = page(bench, jobs + wanted, plan, source)
        with whole_file(folder / TABLE) as partial:
            partial.write_text(report, encoding="utf-8")
    print(report)
    print(f"Kept in {folder / TABLE}", file=sys.stderr)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--children", type=int, default=64, help="held-out children (64)")
    parser.add_argument("--training-children", type=int, default=96)
    parser.add_argument("--validation-children", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=3, help="of every trained row (3)")
    parser.add_argument("--steps", type=int, default=0, help="optimiser steps of the trained rows; 0: the recipe's")
    parser.add_argument("--recipe", type=Path, default=RECIPE, help="overlay of params.yaml that the rows train with")
    parser.add_argument("--rows", type=row_names, default=list(ROWS), help=f"of {','.join(ROWS)}")
    parser.add_argument("--sam", type=Path, help="folder of an adapted SAM that makes the masks; else exact masks")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "benchmarks" / "restoration")
    parser.add_argument("--smoke", action="store_true", help="the smallest setting that still runs every row")
    arguments = parser.parse_args()
    if arguments.smoke:
        vars(arguments).update(SMOKE)
    return arguments


def row_names(text: str) -> list[str]:
    names = text.split(",")
    unknown = [name for name in names if name not in ROWS]
    if unknown:
        raise argparse.ArgumentTypeError(f"no such row: {', '.join(unknown)}; there are {', '.join(ROWS)}")
    return [name for name in ROWS if name in names]


def recipe(arguments: argparse.Namespace, params: Params) -> TrainCascadeParams:
    training = params.train_cascade
    if arguments.steps:
        training = changed(training, steps=arguments.steps)
    return changed(training, **SMOKE_TRAINING) if arguments.smoke else training


def cohort_plan(arguments: argparse.Namespace, params: Params) -> Plan:
    phantom, protocol = params.phantom, params.ingest.protocol
    return Plan(
        train=arguments.training_children,
        validation=arguments.validation_children,
        test=arguments.children,
        seed=phantom.seed,
        youngest_years=phantom.youngest_years,
        oldest_years=SMOKE_OLDEST_YEARS if arguments.smoke else phantom.oldest_years,
        lesions_at_most=phantom.lesions_at_most,
        standard_velocity_mm_s=protocol.standard_velocity_mm_s,
        rapid_velocity_mm_s=protocol.rapid_velocity_mm_s,
    )


def priors_of(arguments: argparse.Namespace, cohort: Cohort, params: DistilPriorsParams) -> tuple[str, Path]:
    """Where the training masks come from, in words, and their folder."""
    if arguments.sam is None:
        return "exact masks of the simulator", cohort.exact
    description = arguments.sam / "sam.json"
    if not description.is_file():
        raise ScintiflowError("is not an adapted SAM", where=arguments.sam, remedy="Name an output of adapt_sam")
    name = digest(description.read_text(encoding="utf-8"))
    folder = cohort.folder / f"priors-sam-{name}"
    if not folder.is_dir():
        inputs = distil_priors.Inputs(cohort.dataset, arguments.sam)
        distil_priors.run(
            changed(params, keep_embeddings=False), inputs, distil_priors.Outputs(folder), SilentTracker()
        )
    return f"masks of the adapted SAM {name}", folder


def page(bench: Bench, rows: list[tuple[str, int | None]], plan: Plan, source: str) -> str:
    scores, facts = collected(bench, rows)
    ceiling = scores["ceiling_standard"].dropna().astype(float).mean()
    sigma = facts.get("gaussian", [{}])[0].get("note", "")
    return (
        f"{plan.test} held-out simulated children, {plan.train} for training, {plan.validation} for validation; body "
        f"only, data range L = {bench.evaluation.data_range_counts:g} counts, ceiling of PSNR vs S {ceiling:.2f} dB. "
        f"Training masks: {source}. {f'Gaussian: {sigma}. ' if sigma else ''}In brackets: 95% bootstrap intervals "
        "over children, paired for gains.\n\n"
        f"{markdown(scores, facts, bench.evaluation)}\n"
        f"Machine: {machine('torch')}\nCommand: `python benchmarks/restoration.py {shlex.join(sys.argv[1:])}`\n"
    )


def code() -> str:
    """What decides a row's numbers: the code that trains and scores, and the rows' definitions."""
    methods = ROOT / "benchmarks" / "restoring" / "methods.py"
    return digest(code_version("train_cascade"), code_version("evaluate"), methods.read_text(encoding="utf-8"))


def digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:12]


if __name__ == "__main__":
    main()
