"""Running stages, singly or all of them."""

import signal
from pathlib import Path
from typing import Annotated

import typer

from scintiflow.commands.options import DEFAULT_PARAMS, ParamsFile, Profile, load_recipe


def stage(
    name: Annotated[str, typer.Argument(help="ingest, adapt_sam, distil_priors, train_cascade, ...")],
    profile: Profile = "laptop",
    params: ParamsFile = DEFAULT_PARAMS,
) -> None:
    """Run one stage on build/ (what `dvc repro` calls)."""
    from scintiflow.stages.single import run_single_stage

    numbers = run_single_stage(name, load_recipe(params, profile))
    typer.echo(f"{name}: " + ", ".join(f"{key} {value:.4g}" for key, value in sorted(numbers.items())))


def retrain(
    profile: Profile = "",
    params: ParamsFile = DEFAULT_PARAMS,
    again: Annotated[list[str] | None, typer.Option(help="Run this stage even if nothing has changed.")] = None,
) -> None:
    """Run the whole pipeline on this machine through kfp.local: cohorts to a registered model."""
    from scintiflow.cluster.closing import closing_lines
    from scintiflow.cluster.display import make_console
    from scintiflow.cluster.local_run import retrain_locally

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # being told to stop is like Ctrl-C
    console = make_console()
    outcome = retrain_locally(load_recipe(params, profile), Path.cwd(), console, tuple(again or ()))
    for line in closing_lines(outcome, profile):
        console.print(line, highlight=False)
