"""`scintiflow pipeline ...`: the graph on a Kubeflow cluster."""

from pathlib import Path
from typing import Annotated

import typer

from scintiflow.commands.options import subcommands

group = subcommands("The Kubeflow pipeline.")


@group.command("compile")
def compile_pipeline(
    output: Annotated[Path, typer.Option("--output", "-o", help="IR YAML.")] = Path("build/retrain.yaml"),
) -> None:
    """Compile the retrain pipeline to IR YAML for a Kubeflow cluster."""
    from scintiflow.cluster.compilation import compile_retrain

    compile_retrain(output)
    typer.echo(f"Compiled into {output}")
