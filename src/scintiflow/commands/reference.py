"""`scintiflow reference ...`: the model that the project carries with it."""

from pathlib import Path
from typing import Annotated

import typer

from scintiflow.commands.options import DEFAULT_PARAMS, ParamsFile, load_recipe, subcommands

group = subcommands("The reference model that comes with the project.")


@group.command()
def train(
    recipe: Annotated[Path, typer.Option(help="What to train on and how.")] = Path("reference/recipe.yaml"),
    params: ParamsFile = DEFAULT_PARAMS,
    folder: Annotated[Path, typer.Option(help="Children, checkpoint, the finished model.")] = Path("build/reference"),
) -> None:
    """Train it anew on simulated children; a killed run goes on where it was."""
    from scintiflow.params import load_reference_recipe
    from scintiflow.stages.reference import train_reference
    from scintiflow.tracking import SilentTracker

    numbers = train_reference(load_reference_recipe(recipe), load_recipe(params, ""), folder, SilentTracker())
    typer.echo(f"{folder / 'model'}: " + ", ".join(f"{name} {value:.2f}" for name, value in numbers.items()))
    typer.echo(
        f"next: scintiflow models export {folder / 'model'}; scintiflow reference calibrate {folder / 'model'}; "
        f"scintiflow reference describe {folder / 'model'}"
    )


@group.command()
def calibrate(
    folder: Annotated[Path, typer.Argument(help="The model's folder.")] = Path("reference"),
    recipe: Annotated[Path, typer.Option(help="What it was trained on.")] = Path("reference/recipe.yaml"),
    params: ParamsFile = DEFAULT_PARAMS,
) -> None:
    """Find out from held-out simulated children when its restorations contradict their counts."""
    from scintiflow.params import load_reference_recipe
    from scintiflow.stages.reference_calibration import calibrate_reference

    found = calibrate_reference(load_reference_recipe(recipe), load_recipe(params, ""), folder)
    typer.echo(
        f"{found.scans} scans of {found.of}: " + ", ".join(f"{k} {v:.3f}" for k, v in vars(found.limits).items())
    )


@group.command()
def describe(
    folder: Annotated[Path, typer.Argument(help="The model's folder.")] = Path("reference"),
    recipe: Annotated[Path, typer.Option(help="What it was trained on.")] = Path("reference/recipe.yaml"),
    params: ParamsFile = DEFAULT_PARAMS,
) -> None:
    """Keep what it was trained on, as `scintiflow drift` compares it; nothing is trained."""
    from scintiflow.params import load_reference_recipe
    from scintiflow.stages.reference_statistics import describe_reference

    found = describe_reference(load_reference_recipe(recipe), load_recipe(params, ""), folder)
    typer.echo(
        f"{found['studies']} simulated children: "
        + ", ".join(f"{name} {low:g} to {high:g}" for name, (low, high) in found["ranges"].items())
    )
