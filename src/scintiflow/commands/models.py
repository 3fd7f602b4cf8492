"""`scintiflow models ...`: the registry."""

from pathlib import Path
from typing import Annotated

import typer

from scintiflow.commands.options import subcommands

group = subcommands("Registered models: who is champion, since when, and why.")

Model = Annotated[str, typer.Option(help="Name in the registry.")]
By = Annotated[str, typer.Option(help="Who decides; recorded for ever.")]
Reason = Annotated[str, typer.Option(help="Why; recorded for ever. No patient's name here.")]


@group.command("list")
def list_models(model: Model = "scintiflow") -> None:
    """Every version with its aliases, the gate's verdict and its date."""
    from rich.console import Console

    from scintiflow.registry.listing import versions_table

    Console().print(versions_table(model))


@group.command("show")
def show(
    which: Annotated[str, typer.Argument(help="A version's number, or an alias.")] = "champion",
    model: Model = "scintiflow",
) -> None:
    """One version's card, aliases, hashes and decisions."""
    from rich.console import Console

    from scintiflow.registry.listing import version_page

    Console().print(version_page(model, which))


@group.command("promote")
def promote(
    version: Annotated[str, typer.Argument(help="The version's number.")],
    by: By,
    reason: Reason,
    overrule_gate: Annotated[
        bool, typer.Option("--overrule-gate", help="Against the gate, and meant so; recorded for ever.")
    ] = False,
    model: Model = "scintiflow",
) -> None:
    """Make a version champion because a named person says so."""
    from scintiflow.registry.listing import entry_line
    from scintiflow.registry.promotion import promote as promote_version

    typer.echo(entry_line(promote_version(model, version, by, reason, overrule_gate)))


@group.command("rollback")
def rollback(
    by: By,
    reason: Reason,
    to: Annotated[str, typer.Option(help="Version; default: the champion before this one.")] = "",
    model: Model = "scintiflow",
) -> None:
    """Give the alias 'champion' back to an earlier champion."""
    from scintiflow.registry.listing import entry_line
    from scintiflow.registry.promotion import roll_back

    typer.echo(entry_line(roll_back(model, by, reason, to)))


@group.command("history")
def history(model: Model = "scintiflow") -> None:
    """Every promotion and refusal, and whether anybody has tampered with the log."""
    from rich.console import Console

    from scintiflow.registry.listing import history_table
    from scintiflow.registry.promotion import problems

    log, found = problems(model)
    Console().print(history_table(log))
    for problem in found:
        typer.echo(f"NOT TRUE TO THE LOG: {problem}")
    if found:
        raise typer.Exit(1)
    typer.echo(f"{len(log.entries)} decisions; the chain of hashes is whole, and the alias agrees with it.")


@group.command("export")
def export(
    folder: Annotated[
        Path, typer.Argument(help="A trained cascade: build/cascade, reference, a downloaded version.")
    ],
) -> None:
    """Write f^IR1 as an ONNX graph beside its weights, so that it restores without torch."""
    from scintiflow.restoration.onnx_graph import export_graph

    typer.echo(f"{export_graph(folder)}: registered models have it already")
