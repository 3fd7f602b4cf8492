"""Where things come from, where they went, and whether they can be made again."""

from pathlib import Path
from typing import Annotated

import typer


def lineage(
    target: Annotated[str, typer.Argument(help="MODEL@ALIAS, a run's id, a cohort's name, or a pseudonym P-...")],
    html: Annotated[Path | None, typer.Option(help="Also draw it into this page.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs; with every parameter and file.")] = False,
) -> None:
    """Show what a model was made of, or what became of a cohort or a patient."""
    import json

    from scintiflow.cluster.display import make_console
    from scintiflow.cluster.lineage_display import lineage_as_json, lineage_tree, write_page
    from scintiflow.cluster.lineage_graph import lineage_of
    from scintiflow.registry.lineage import History

    graph = lineage_of(target, History.read(), Path.cwd())
    if html is not None:
        write_page(graph, html)
    if as_json:
        typer.echo(json.dumps(lineage_as_json(graph), indent=2))
        return
    console = make_console()
    console.print(lineage_tree(graph))
    for note in graph.notes:
        console.print(note, highlight=False, markup=False)
    if html is not None:
        console.print(f"Drawn in {html}", highlight=False, markup=False)
