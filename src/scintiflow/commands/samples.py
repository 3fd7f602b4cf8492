"""Sample data: simulated children and the real scan."""

from pathlib import Path
from typing import Annotated

import typer

from scintiflow.commands.options import DEFAULT_PARAMS, ParamsFile, Profile, load_recipe
from scintiflow.params import changed


def phantom(
    profile: Profile = "",
    params: ParamsFile = DEFAULT_PARAMS,
    export: Annotated[Path, typer.Option(help="Where the hospital export goes.")] = Path("data/exports"),
    truth: Annotated[Path, typer.Option(help="Where the truth goes.")] = Path("data/truth"),
    children: Annotated[int | None, typer.Option(help="Number of children; default from params.yaml.")] = None,
    seed: Annotated[int | None, typer.Option(help="Default from params.yaml.")] = None,
    panel: Annotated[Path | None, typer.Option(help="Only draw six ages into this PNG.")] = None,
) -> None:
    """Simulate children: NM DICOM pairs as a hospital would export them, and the truth apart."""
    from scintiflow.phantom.cohort import simulate_cohort
    from scintiflow.phantom.panel import draw_panel

    recipe = load_recipe(params, profile)
    if panel is not None:
        draw_panel(panel, seed=recipe.phantom.seed if seed is None else seed)
        typer.echo(f"Six ages drawn into {panel}")
        return
    changes = {name: value for name, value in {"children": children, "seed": seed}.items() if value is not None}
    section = changed(recipe.phantom, **changes)
    protocol = recipe.ingest.protocol
    summary = simulate_cohort(
        section,
        protocol.standard_velocity_mm_s,
        protocol.rapid_velocity_mm_s,
        export=export / section.cohort,
        truth=truth,
    )
    typer.echo(summary.sentence())


def sample_cohorts(profile: Profile = "laptop", params: ParamsFile = DEFAULT_PARAMS) -> None:
    """Make the sample cohorts (simulated children, the real GE scan) and put them under DVC."""
    from scintiflow.stages.samples import make_sample_cohorts

    for line in make_sample_cohorts(load_recipe(params, profile), Path()):
        typer.echo(line)
