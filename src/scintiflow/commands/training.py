"""Running stages, singly or all of them."""

import signal
from pathlib import Path
from typing import Annotated

import typer

from scintiflow.commands.options import DEFAULT_PARAMS, AllowDirty, IfNeeded, ParamsFile, Profile, load_recipe


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
    allow_dirty: AllowDirty = False,
    if_needed: IfNeeded = False,
) -> None:
    """Run the whole pipeline on this machine through kfp.local: cohorts to a registered model."""
    from scintiflow.cluster.closing import closing_lines
    from scintiflow.cluster.display import make_console
    from scintiflow.cluster.once import Skipped
    from scintiflow.cluster.retraining import retrain

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # being told to stop is like Ctrl-C
    console = make_console()
    recipe = load_recipe(params, profile)
    outcome = retrain(
        recipe, Path.cwd(), console, again=tuple(again or ()), allow_dirty=allow_dirty, if_needed=if_needed
    )
    if isinstance(outcome, Skipped):
        console.print(f"No retrain: {outcome.reason}", highlight=False, markup=False)
        raise typer.Exit(1 if outcome.failed else 0)
    for line in closing_lines(outcome, profile):
        console.print(line, highlight=False)


def plan(
    profile: Profile = "",
    params: ParamsFile = DEFAULT_PARAMS,
    again: Annotated[list[str] | None, typer.Option(help="As if this stage were asked for again.")] = None,
    allow_dirty: AllowDirty = False,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Show what a retrain would do, why and at what cost; exit code 0: nothing to do, 3: needed, 4: cannot."""
    import json

    from scintiflow.cluster.display import make_console
    from scintiflow.cluster.plan_display import plan_as_json, show_plan
    from scintiflow.cluster.planning import make_plan

    found = make_plan(load_recipe(params, profile), Path.cwd(), tuple(again or ()), allow_dirty)
    if as_json:
        typer.echo(json.dumps(plan_as_json(found), indent=2))
    else:
        show_plan(found, make_console())
    raise typer.Exit(found.exit_code)


def ablation(profile: Profile = "", params: ParamsFile = DEFAULT_PARAMS) -> None:
    """Train the paper's ablation on this machine: none, +SPI, +SPI+SKD, +SPI+SKD+SCM, SAM not adapted; all seeds."""
    from scintiflow.cluster.ablation import ablate
    from scintiflow.cluster.display import make_console

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # being told to stop is like Ctrl-C
    console = make_console()
    outcome = ablate(load_recipe(params, profile), Path.cwd(), console)
    console.print(outcome.text, highlight=False, markup=False)
    console.print(f"Table: {outcome.table} ({outcome.seconds:.0f} s)", highlight=False)
