"""`scintiflow dicom ...`: single objects."""

from pathlib import Path
from typing import Annotated

import typer

from scintiflow.commands.options import subcommands

group = subcommands("DICOM objects.")


@group.command("validate")
def validate(folder: Annotated[Path, typer.Argument(help="A DICOM file or a folder of them.")]) -> None:
    """Judge DICOM objects with dciodvfy."""
    from scintiflow.dicom.validation import validate
    from scintiflow.progress import track

    paths = [folder] if folder.is_file() else sorted(path for path in folder.rglob("*.dcm") if path.is_file())
    results = validate(track(paths, "dciodvfy"))
    failed = [result for result in results if result.errors]
    for result in failed:
        typer.echo(f"{result.path}: {'; '.join(result.errors)}")
    typer.echo(f"{len(results)} objects, {len(failed)} with errors")
    if failed or not results:
        raise typer.Exit(1)
