"""`scintiflow cohort ...`: deliveries of hospitals."""

from pathlib import Path
from typing import Annotated

import typer

from scintiflow.commands.options import DEFAULT_PARAMS, ParamsFile, Profile, load_recipe, subcommands

group = subcommands("Deliveries of hospitals: check, de-identify, version.")


@group.command("add")
def add(
    export: Annotated[Path, typer.Argument(help="The hospital's export folder.")],
    name: Annotated[str, typer.Option(help="Name of the cohort, for example 2026-11.")],
    profile: Profile = "",
    params: ParamsFile = DEFAULT_PARAMS,
    key_file: Annotated[Path | None, typer.Option(help="Identity key, else SCINTIFLOW_IDENTITY_KEY (hex).")] = None,
    out: Annotated[Path, typer.Option(help="Folder of the cohorts.")] = Path("data/cohorts"),
    dry_run: Annotated[bool, typer.Option(help="Show the outcome of every file, write nothing.")] = False,
    no_dvc: Annotated[bool, typer.Option(help="Print the DVC steps instead of doing them.")] = False,
    show_paths: Annotated[
        bool, typer.Option(help="List where quarantined files lie; paths may name patients.")
    ] = False,
) -> None:
    """Check, de-identify and pair an export; quarantine what cannot be used, with reasons."""
    from scintiflow.cohorts.add import add_cohort
    from scintiflow.cohorts.tracking import track_cohort, tracking_steps
    from scintiflow.cohorts.wording import path_lines, report_lines
    from scintiflow.dicom.identity import load_key

    recipe = load_recipe(params, profile)
    key = load_key(key_file)
    report = add_cohort(export, name, protocol=recipe.ingest.protocol, key=key, cohorts=out, dry_run=dry_run)
    for line in [*report_lines(report), *(path_lines(report) if show_paths else ())]:
        typer.echo(line)
    if dry_run:
        return
    if no_dvc:
        typer.echo("Version it with:\n  " + "\n  ".join(tracking_steps(out / name)))
    else:
        for line in track_cohort(out / name):
            typer.echo(line)


@group.command("inspect")
def inspect(
    target: Annotated[Path, typer.Argument(help="A file or a folder.", exists=True)],
    show_paths: Annotated[bool, typer.Option(help="With a folder: show paths, which may name patients.")] = False,
) -> None:
    """Show what the product sees in a file, every warning and objection with its reason; no identity."""
    import os

    from rich.console import Console

    from scintiflow.cohorts.inspect import as_table, inspect_all

    console = Console()
    console.print(as_table(inspect_all(target, os.cpu_count() or 1), show_paths), markup=False, highlight=False)


@group.command("readmit")
def readmit(
    files: Annotated[list[Path], typer.Argument(help="The quarantined file (and its partner), or the mended one.")],
    name: Annotated[str, typer.Option(help="Name of the cohort.")],
    by: Annotated[str, typer.Option(help="Who decides; recorded for ever.")],
    reason: Annotated[str, typer.Option(help="Why; recorded for ever. No patient's name here.")],
    mends: Annotated[str, typer.Option(help="SHA-256 of the quarantined file that the mended one replaces.")] = "",
    profile: Profile = "",
    params: ParamsFile = DEFAULT_PARAMS,
    key_file: Annotated[Path | None, typer.Option(help="Identity key, else SCINTIFLOW_IDENTITY_KEY (hex).")] = None,
    out: Annotated[Path, typer.Option(help="Folder of the cohorts.")] = Path("data/cohorts"),
) -> None:
    """Bring a quarantined file back: mended, or because a named person overrules the check."""
    from datetime import date

    from scintiflow.cohorts.readmit import readmit
    from scintiflow.cohorts.tracking import tracking_steps
    from scintiflow.cohorts.wording import report_lines
    from scintiflow.dicom.identity import load_key

    protocol, key = load_recipe(params, profile).ingest.protocol, load_key(key_file)
    report = readmit(
        files,
        name,
        by=by,
        reason=reason,
        mends=mends,
        on=date.today(),
        protocol=protocol,
        key=key,
        cohorts=out,
    )
    for line in report_lines(report):
        typer.echo(line)
    typer.echo("Version it with:\n  " + "\n  ".join(tracking_steps(out / name)))
