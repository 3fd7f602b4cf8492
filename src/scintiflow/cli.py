"""`scintiflow`: one sub-command for each thing a user wants; no logic here."""

import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from scintiflow.errors import ScintiflowError
from scintiflow.params import Params, changed, load_params

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
cohort_app = typer.Typer(no_args_is_help=True, help="Deliveries of hospitals: check, de-identify, version.")
dicom_app = typer.Typer(no_args_is_help=True, help="DICOM objects.")
pipeline_app = typer.Typer(no_args_is_help=True, help="The Kubeflow pipeline.")
app.add_typer(cohort_app, name="cohort")
app.add_typer(dicom_app, name="dicom")
app.add_typer(pipeline_app, name="pipeline")

Profile = Annotated[str, typer.Option(help="Overlay profiles/<name>.yaml; '' for the production recipe.")]
ParamsFile = Annotated[Path, typer.Option("--params", help="The recipe.")]
DEFAULT_PARAMS = Path("params.yaml")
INTERRUPTED = 130  # what typer returns when it was stopped


def _load(params: Path, profile: str) -> Params:
    overlay = None
    if profile:
        overlay = Path(profile) if profile.endswith(".yaml") else Path("profiles") / f"{profile}.yaml"
    return load_params(params, overlay)


@app.command()
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

    recipe = _load(params, profile)
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


@app.command("sample-cohorts")
def sample_cohorts(profile: Profile = "laptop", params: ParamsFile = DEFAULT_PARAMS) -> None:
    """Make the sample cohorts (simulated children, the real GE scan) and put them under DVC."""
    from scintiflow.stages.samples import make_sample_cohorts

    for line in make_sample_cohorts(_load(params, profile), Path()):
        typer.echo(line)


@cohort_app.command("add")
def cohort_add(
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
    from scintiflow.cohorts.versioning import track_cohort, tracking_steps
    from scintiflow.cohorts.wording import path_lines, report_lines
    from scintiflow.dicom.identity import load_key

    recipe = _load(params, profile)
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


@cohort_app.command("inspect")
def cohort_inspect(
    target: Annotated[Path, typer.Argument(help="A file or a folder.", exists=True)],
    show_paths: Annotated[bool, typer.Option(help="With a folder: show paths, which may name patients.")] = False,
) -> None:
    """Show what the product sees in a file, every warning and objection with its reason; no identity."""
    import os

    from rich.console import Console

    from scintiflow.cohorts.inspect import as_table, inspect_all

    console = Console()
    console.print(as_table(inspect_all(target, os.cpu_count() or 1), show_paths), markup=False, highlight=False)


@cohort_app.command("readmit")
def cohort_readmit(
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
    from scintiflow.cohorts.versioning import tracking_steps
    from scintiflow.cohorts.wording import report_lines
    from scintiflow.dicom.identity import load_key

    protocol, key = _load(params, profile).ingest.protocol, load_key(key_file)
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


@dicom_app.command("validate")
def dicom_validate(folder: Annotated[Path, typer.Argument(help="A DICOM file or a folder of them.")]) -> None:
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


@app.command("stage")
def stage(
    name: Annotated[str, typer.Argument(help="ingest, adapt_sam, distil_priors, train_cascade, ...")],
    profile: Profile = "laptop",
    params: ParamsFile = DEFAULT_PARAMS,
) -> None:
    """Run one stage on build/ (what `dvc repro` calls)."""
    from scintiflow.stages.single import run_single_stage

    numbers = run_single_stage(name, _load(params, profile))
    typer.echo(f"{name}: " + ", ".join(f"{key} {value:.4g}" for key, value in sorted(numbers.items())))


@app.command()
def retrain(
    profile: Profile = "",
    params: ParamsFile = DEFAULT_PARAMS,
    again: Annotated[list[str] | None, typer.Option(help="Run this stage even if nothing has changed.")] = None,
) -> None:
    """Run the whole pipeline on this machine through kfp.local: cohorts to a registered model."""
    from scintiflow.cluster.closing import closing_lines
    from scintiflow.cluster.display import make_console
    from scintiflow.cluster.local_run import retrain_locally

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # being told to stop is like Ctrl-C
    console = make_console()
    outcome = retrain_locally(_load(params, profile), Path.cwd(), console, tuple(again or ()))
    for line in closing_lines(outcome, profile):
        console.print(line, highlight=False)


@app.command()
def restore(
    source: Annotated[Path, typer.Argument(help="A rapid NM whole-body scan, or a folder of them.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Where the derived NM objects go.")],
    model: Annotated[str, typer.Option(help="NAME@ALIAS in the registry.")] = "scintiflow@champion",
    profile: Profile = "",
    params: ParamsFile = DEFAULT_PARAMS,
    show_paths: Annotated[bool, typer.Option(help="Name refused files; paths may name patients.")] = False,
) -> None:
    """Restore rapid scans with a registered model; what is no rapid scan is refused with its reason."""
    from scintiflow.progress import track
    from scintiflow.stages.restoring import restore_files, restoring_lines, scan_files

    files = scan_files(source)
    protocol = _load(params, profile).ingest.protocol
    results = list(track(restore_files(files, source, out, model, protocol), "restoring", len(files)))
    for line in restoring_lines(results, show_paths):
        typer.echo(line)
    if not any(result.written for result in results):
        raise typer.Exit(1)


@pipeline_app.command("compile")
def pipeline_compile(
    output: Annotated[Path, typer.Option("--output", "-o", help="IR YAML.")] = Path("build/retrain.yaml"),
) -> None:
    """Compile the retrain pipeline to IR YAML for a Kubeflow cluster."""
    from scintiflow.cluster.compilation import compile_retrain

    compile_retrain(output)
    typer.echo(f"Compiled into {output}")


def main() -> None:
    """Entry point: a ScintiflowError is one sentence and exit code 2, no traceback."""
    try:
        code = app(standalone_mode=False) or 0
    except ScintiflowError as error:
        _say(str(error))
        sys.exit(2)
    except Exception as error:
        if type(error).__module__.startswith(("click", "typer")):
            show = getattr(error, "show", None)
            if show is not None:
                show()
                sys.exit(2)
        from scintiflow.cluster.local_run import StageError

        if isinstance(error, StageError):
            _say(str(error))
            sys.exit(1)
        raise
    if code == INTERRUPTED:
        _say("stopped; what was finished is kept, run the same command to go on")
    sys.exit(code)


def _say(sentence: str) -> None:
    print(f"scintiflow: {sentence}", file=sys.stderr)


if __name__ == "__main__":
    main()
