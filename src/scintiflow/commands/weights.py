"""`scintiflow weights ...`: files of pretrained weights."""

import typer

from scintiflow.commands.options import DEFAULT_PARAMS, ParamsFile, Profile, load_recipe, subcommands

group = subcommands("Files of pretrained weights: Segment Anything, LPIPS, FID and KID.")


@group.command("status")
def status(profile: Profile = "", params: ParamsFile = DEFAULT_PARAMS) -> None:
    """Say which weights the recipe names, which are there and right, where to get them and where to put them."""
    from scintiflow.evaluation.weights import WRONG, named_weights, status_lines, weights_status

    found = [weights_status(weights) for weights in named_weights(load_recipe(params, profile))]
    for line in status_lines(found):
        typer.echo(line)
    if any(status.state == WRONG for status in found):
        raise typer.Exit(1)
