"""Watching a model in use."""

from pathlib import Path
from typing import Annotated

import typer

from scintiflow.commands.options import DEFAULT_PARAMS, ParamsFile, Profile, load_recipe


def drift(
    model: Annotated[str, typer.Option(help="NAME@ALIAS of the registry, or `reference`.")] = "scintiflow@champion",
    days: Annotated[int, typer.Option(min=1, help="Scans of so many days until today.")] = 90,
    training: Annotated[Path | None, typer.Option(help="A training_cohort.json instead of the model's.")] = None,
    profile: Profile = "",
    params: ParamsFile = DEFAULT_PARAMS,
) -> None:
    """Compare restored scans with the training cohort; exit code 0: no drift, 3: drift, 4: too few scans."""
    from scintiflow.drift.check import check_drift
    from scintiflow.drift.display import PAGE, verdict_lines
    from scintiflow.drift.verdict import verdict_folder
    from scintiflow.restoration.model_folder import REFERENCE
    from scintiflow.stages.restoring import parse_model

    watch = load_recipe(params, profile).watch
    name, alias = (REFERENCE, "") if model == REFERENCE else parse_model(model)
    verdict = check_drift(watch, name, alias, days, training)
    for line in verdict_lines(verdict, model if training is None else training.name):
        typer.echo(line)
    typer.echo(f"Look at {verdict_folder(watch) / PAGE}")
    raise typer.Exit(verdict.exit_code)
