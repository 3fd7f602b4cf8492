"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

from scintiflow.params import Params, load_params

Profile = Annotated[str, typer.Option(help="Overlay profiles/<name>.yaml; '' for the production recipe.")]
ParamsFile = Annotated[Path, typer.Option("--params", help="The recipe.")]
AllowDirty = Annotated[
    bool, typer.Option(help="Also with code, recipe or cohorts that no commit holds; the run keeps the difference.")
]
IfNeeded = Annotated[bool, typer.Option(help="For schedulers: do nothing if this work is done or under way.")]
DEFAULT_PARAMS = Path("params.yaml")


def load_recipe(params: Path, profile: str) -> Params:
    """The recipe with the profile's overlay, if one is named: a name under profiles/ or a path to a .yaml."""
    overlay = None
    if profile:
        overlay = Path(profile) if profile.endswith(".yaml") else Path("profiles") / f"{profile}.yaml"
    return load_params(params, overlay)


def subcommands(summary: str) -> typer.Typer:
    """An empty group of commands."""
    return typer.Typer(no_args_is_help=True, help=summary)
