"""Using a model."""

from pathlib import Path
from typing import Annotated

import typer

from scintiflow.commands.options import DEFAULT_PARAMS, ParamsFile, Profile, load_recipe


def restore(
    source: Annotated[Path, typer.Argument(help="A rapid NM whole-body scan, or a folder of them.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Where the derived NM objects go.")],
    model: Annotated[str, typer.Option(help="NAME@ALIAS of the registry, or `reference`.")] = "scintiflow@champion",
    profile: Profile = "",
    params: ParamsFile = DEFAULT_PARAMS,
    show_paths: Annotated[bool, typer.Option(help="Name refused files; paths may name patients.")] = False,
) -> None:
    """Restore rapid scans; what is no rapid scan is refused with its reason."""
    from scintiflow.drift.store import Journal
    from scintiflow.progress import track
    from scintiflow.stages.restoring import restore_files, restoring_lines, scan_files

    files = scan_files(source)
    recipe = load_recipe(params, profile)
    watch = Journal(Path(recipe.watch.folder)).add if recipe.watch.folder else None
    restored = restore_files(files, source, out, model, recipe.ingest.protocol, watch)
    results = list(track(restored, "restoring", len(files)))
    for line in restoring_lines(results, show_paths):
        typer.echo(line)
    if not any(result.written for result in results):
        raise typer.Exit(1)
