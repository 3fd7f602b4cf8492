"""Where things come from, where they went, and whether they can be made again."""

from pathlib import Path
from typing import Annotated

import typer

from scintiflow.commands.options import DEFAULT_PARAMS, ParamsFile, Profile, load_recipe


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


def compare(
    run_a: Annotated[str, typer.Argument(help="A run's id as MLflow shows it, or MODEL@ALIAS, or MODEL@VERSION.")],
    run_b: Annotated[str, typer.Argument(help="The run that is held against it.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The page.")] = Path("comparison.html"),
    profile: Profile = "",
    params: ParamsFile = DEFAULT_PARAMS,
) -> None:
    """Hold run B against run A on the patients that both restored, by the gate's paired rules: one page."""
    import tempfile

    from scintiflow.cluster.side_by_side import compare_on_a_page, comparison_lines
    from scintiflow.registry.evaluations import fetch_evaluation
    from scintiflow.registry.lineage import History

    history = History.read()
    with tempfile.TemporaryDirectory() as place:
        first, second = (
            fetch_evaluation(run, history, Path(place) / name) for run, name in ((run_a, "a"), (run_b, "b"))
        )
        verdicts = compare_on_a_page(first, second, load_recipe(params, profile), output)
    for line in comparison_lines(verdicts, f"A: {first.title}; B: {second.title}", output):
        typer.echo(line)


def reproduce(
    model: Annotated[str, typer.Argument(help="MODEL@ALIAS or MODEL@VERSION.")],
    folder: Annotated[
        Path | None, typer.Option(help="Where the rerun lives; kept. Default: a folder of its own.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Make a model again from its commit, cohorts and parameters; exit code 0: the same, 5: not the same."""
    import json
    import shutil
    import tempfile

    from scintiflow.cluster.reproduction import find_original, reproduce
    from scintiflow.cluster.reproduction_display import reproduction_as_json, reproduction_lines
    from scintiflow.registry.lineage import History

    original = find_original(model, History.read())
    target = folder or Path(tempfile.mkdtemp(prefix="reproduce-")) / "rerun"
    result = reproduce(original, Path.cwd(), target)
    for line in [json.dumps(reproduction_as_json(result), indent=2)] if as_json else reproduction_lines(result):
        typer.echo(line)
    if not result.comparison.is_same:
        raise typer.Exit(5)
    if folder is None:
        shutil.rmtree(target.parent)
