"""Using a model."""

from pathlib import Path
from typing import Annotated

import typer

from scintiflow.commands.options import DEFAULT_PARAMS, ParamsFile, Profile, load_recipe


def restore(
    source: Annotated[Path, typer.Argument(help="A rapid NM whole-body scan, a folder of them, or a cohort.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Where the derived NM objects go.")],
    model: Annotated[str, typer.Option(help="NAME@ALIAS of the registry, or `reference`.")] = "scintiflow@champion",
    profile: Profile = "",
    params: ParamsFile = DEFAULT_PARAMS,
    preview: Annotated[
        bool, typer.Option("--preview", help="A PNG beside each: rapid, restored, what the counts do not support.")
    ] = False,
    any_velocity: Annotated[
        bool, typer.Option("--any-velocity", help="Also scans faster than the model was trained for; they say so.")
    ] = False,
    velocity_cm_min: Annotated[
        float | None,
        typer.Option(min=1.2, max=90, help="How fast the table moved, for scans whose header does not say."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace outputs that differ.")] = False,
    workers: Annotated[int, typer.Option(min=0, help="Processes for a folder; 0: one for each core.")] = 0,
    show_paths: Annotated[bool, typer.Option(help="Name refused files; paths may name patients.")] = False,
) -> None:
    """Restore rapid scans; what is no rapid scan is refused with its reason.

    Exit code: 0 restored; 1 nothing to restore; 2 a mistake in the command; 3 at least one restored image contradicts
    its own counts and is marked; 4 at least one file failed, or its output was there and differs.
    """
    from scintiflow.dicom.header import CM_MIN_PER_MM_S
    from scintiflow.stages.restoring_folders import Wish, exit_code, restore_files, restoring_lines

    recipe = load_recipe(params, profile)
    watch = Path(recipe.watch.folder) if recipe.watch.folder else None
    stated = None if velocity_cm_min is None else velocity_cm_min / CM_MIN_PER_MM_S
    wish = Wish(recipe.ingest.protocol, any_velocity, preview, overwrite, watch, stated)
    done = restore_files(source, out, model, wish, workers or None)
    for line in restoring_lines(done, show_paths):
        typer.echo(line)
    raise typer.Exit(exit_code(done))
