"""Looking at a restored scan."""

from pathlib import Path
from typing import Annotated

import typer


def view(
    restored: Annotated[Path, typer.Argument(help="A file that `scintiflow restore` wrote.")],
    rapid: Annotated[
        Path | None, typer.Option(help="The rapid scan, or a folder to find it in; by default beside RESTORED.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The page; by default beside RESTORED.")] = None,
) -> None:
    """Write a page that shows rapid and restored side by side: window, flicker, zoom, consistency with the counts."""
    from scintiflow.viewer.page import write_page
    from scintiflow.viewer.pair import load_pair

    page = out or restored.with_suffix(".html")
    shown = load_pair(restored, rapid)
    write_page(shown, page)
    if shown.rapid is None:
        typer.echo("The rapid scan is not beside it, so the page shows the restored one alone: name it with --rapid")
    typer.echo(f"{page}: open it in a browser; it needs no server and asks nobody for anything")
