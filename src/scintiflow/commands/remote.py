"""`scintiflow remote ...`: the place that cohorts are pushed to."""

from pathlib import Path
from typing import Annotated

import typer

from scintiflow.commands.options import subcommands

group = subcommands("The place that cohorts are pushed to: a folder, or S3.")


@group.command("set")
def set_(
    url: Annotated[str, typer.Argument(help="A folder, or s3://bucket/prefix.")],
    name: Annotated[str, typer.Option(help="What DVC calls it.")] = "team",
) -> None:
    """Make a folder or an S3 bucket the project's remote; keys stay in the environment."""
    from scintiflow.cohorts.remote import set_remote

    for line in set_remote(Path.cwd(), url, name):
        typer.echo(line)


@group.command("check")
def check(
    read_only: Annotated[bool, typer.Option(help="Only list: for credentials that must not write.")] = False,
) -> None:
    """Write, read, list, write in parts and delete on the remote; say in words what is wrong."""
    from scintiflow.cohorts.remote import check_remote

    steps = check_remote(Path.cwd(), read_only)
    for step in steps:
        typer.echo(f"{'no ' if step.error else 'yes'}  {step.title}")
        if step.error:
            typer.echo(f"     {step.error}")
    if any(step.error for step in steps):
        raise typer.Exit(1)
