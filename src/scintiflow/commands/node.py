"""The DICOM node."""

from typing import Annotated

import typer

from scintiflow.commands.options import DEFAULT_PARAMS, ParamsFile, Profile, load_recipe


def node(
    model: Annotated[str, typer.Option(help="NAME@ALIAS of the registry, or `reference`.")] = "scintiflow@champion",
    profile: Profile = "",
    params: ParamsFile = DEFAULT_PARAMS,
) -> None:
    """Receive rapid scans from cameras, restore them, send them on; params.yaml, section `node`."""
    from scintiflow.node.program import run_node

    recipe = load_recipe(params, profile)
    run_node(recipe.node, recipe.ingest.protocol, model, recipe.watch)
