"""`scintiflow pipeline ...`: the graph on a Kubeflow cluster."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scintiflow.commands.options import (
    DEFAULT_PARAMS,
    AllowDirty,
    IfNeeded,
    ParamsFile,
    Profile,
    load_recipe,
    subcommands,
)

if TYPE_CHECKING:
    from scintiflow.cluster.connection import Connection

group = subcommands("The Kubeflow pipeline: compile it, run it on a cluster, watch it.")

Run = Annotated[str, typer.Argument(help="Id of a run; '' for the newest of the experiment.")]
Experiment = Annotated[str, typer.Option(help="An existing experiment; '' for that of params.yaml.")]
Account = Annotated[str, typer.Option("--service-account", help="ServiceAccount of the steps.")]
ScheduleName = Annotated[str, typer.Option("--name", help="What the schedule is called.")]


@group.callback()
def where(
    context: typer.Context,
    host: Annotated[
        str, typer.Option(help="URL of the API; else KF_PIPELINES_ENDPOINT, else the cluster's own.")
    ] = "",
    token_file: Annotated[Path | None, typer.Option(help="Bearer token; else SCINTIFLOW_KFP_TOKEN.")] = None,
    cookie_file: Annotated[Path | None, typer.Option(help="Session cookie; else SCINTIFLOW_KFP_COOKIE.")] = None,
    ca: Annotated[Path | None, typer.Option(help="Certificate authority, PEM; else SCINTIFLOW_KFP_CA.")] = None,
    namespace: Annotated[str, typer.Option(help="Kubeflow profile; else SCINTIFLOW_KFP_NAMESPACE.")] = "",
) -> None:
    context.obj = {
        "host": host,
        "token_file": token_file,
        "cookie_file": cookie_file,
        "ca": ca,
        "namespace": namespace,
    }


@group.command("compile")
def compile_pipeline(
    output: Annotated[Path, typer.Option("--output", "-o", help="IR YAML.")] = Path("build/retrain.yaml"),
    profile: Profile = "",
    params: ParamsFile = DEFAULT_PARAMS,
) -> None:
    """Compile the retrain pipeline to IR YAML for a Kubeflow cluster, its steps placed as params.yaml says."""
    from scintiflow.cluster.compilation import compile_retrain

    compile_retrain(output, load_recipe(params, profile))
    typer.echo(f"Compiled into {output}")


@group.command()
def submit(
    context: typer.Context,
    experiment: Experiment = "",
    account: Account = "",
    profile: Profile = "",
    params: ParamsFile = DEFAULT_PARAMS,
    allow_dirty: AllowDirty = False,
    if_needed: IfNeeded = False,
    pinned: Annotated[bool, typer.Option(help="Refuse if the steps would read a volume.")] = False,
) -> None:
    """Start the retrain pipeline on the cluster, for the cohorts of this checkout."""
    from scintiflow.cluster.once import Skipped
    from scintiflow.cluster.submission import submit_retrain

    recipe = load_recipe(params, profile)
    submitted = submit_retrain(
        _connect(context),
        recipe,
        Path.cwd(),
        experiment,
        account,
        allow_dirty=allow_dirty,
        if_needed=if_needed,
        pinned=pinned,
    )
    if isinstance(submitted, Skipped):
        typer.echo(f"Not submitted: {submitted.reason}")
        raise typer.Exit(1 if submitted.failed else 0)
    typer.echo(f"Submitted {submitted.name}\nRun:  {submitted.run_id}\nURL:  {submitted.url}")
    typer.echo(f"Next: scintiflow pipeline status {submitted.run_id}")


@group.command()
def status(
    context: typer.Context,
    run: Run = "",
    watch: Annotated[bool, typer.Option(help="Repeat until the run has ended; exit code 1 if it failed.")] = False,
    every: Annotated[float, typer.Option(help="Seconds between looks with --watch.")] = 15.0,
    experiment: Experiment = "",
    profile: Profile = "",
    params: ParamsFile = DEFAULT_PARAMS,
) -> None:
    """Show the stages of a run, their states and times; of a run that failed, MLflow's parent run ends too."""
    from scintiflow.cluster.watching import looks

    connection = _connect(context)
    run = run or _newest(connection, experiment, params, profile)
    states = []
    for state, lines in looks(connection, run, every if watch else None):
        states.append(state)
        typer.echo("\n".join(lines))
    if watch and states[-1] != "succeeded":
        raise typer.Exit(1)


@group.command()
def logs(
    context: typer.Context,
    run: Run = "",
    stage: Annotated[str, typer.Option(help="Else the stage that failed, runs, or ran last.")] = "",
    experiment: Experiment = "",
    profile: Profile = "",
    params: ParamsFile = DEFAULT_PARAMS,
) -> None:
    """Print what a stage has said, attempt by attempt."""
    from scintiflow.cluster import remote_runs

    connection = _connect(context)
    run = run or _newest(connection, experiment, params, profile)
    for spec, pod, text in remote_runs.logs(connection, run, stage):
        typer.echo(f"--- {spec.title}, pod {pod}", err=True)
        typer.echo("(the cluster has kept no log of this pod)" if text is None else text.rstrip("\n"))


@group.command()
def cancel(
    context: typer.Context, run: Annotated[str, typer.Argument(help="Id of a run.", show_default=False)]
) -> None:
    """Stop a run; what its stages have finished stays in the cache."""
    from scintiflow.cluster import remote_runs

    remote_runs.cancel(_connect(context), run)
    typer.echo(f"Stopping {run}")


@group.command()
def schedule(
    context: typer.Context,
    cron: Annotated[str, typer.Option(help="Minute, hour, day of month, month, day of week, in UTC.")],
    name: ScheduleName = "retrain",
    experiment: Experiment = "",
    account: Account = "",
    profile: Profile = "",
    params: ParamsFile = DEFAULT_PARAMS,
) -> None:
    """Retrain at fixed times from what the cluster's volume holds then; each run records what it read.

    A run that finds nothing new asks for no GPU. The same schedule twice stays one. To retrain on the head of a
    branch, pinned, run `submit --if-needed` from a clone at fixed times: infra/kubernetes/triggers has a CronJob.
    """
    from scintiflow.cluster.submission import schedule_retrain

    recipe = load_recipe(params, profile)
    done = schedule_retrain(_connect(context), recipe, Path.cwd(), cron, name, experiment, account)
    what = "Scheduled" if done.changed else "Already scheduled:"
    replaced = f", in place of {done.replaced} other" if done.replaced else ""
    typer.echo(f"{what} {done.name} at '{done.cron}' UTC (second first){replaced}\nId: {done.schedule_id}")


@group.command()
def unschedule(
    context: typer.Context,
    name: ScheduleName = "retrain",
    experiment: Experiment = "",
    profile: Profile = "",
    params: ParamsFile = DEFAULT_PARAMS,
) -> None:
    """Remove a schedule; runs that have begun go on."""
    from scintiflow.cluster import schedules
    from scintiflow.cluster.remote_runs import find_experiment

    connection = _connect(context)
    identity = find_experiment(connection, experiment or load_recipe(params, profile).tracking.experiment)
    removed = schedules.unschedule(connection, identity, name)
    typer.echo(f"Removed {removed} schedule{'s' if removed > 1 else ''} '{name}'")


@group.command()
def prune(
    unused_days: Annotated[int, typer.Option(min=1, help="What no retrain and no plan has found for so long.")] = 30,
) -> None:
    """Remove results of old runs on this machine (.scintiflow/pipeline); MLflow and checkpoints stay."""
    from scintiflow.cluster.local_pruning import prune

    done = prune(Path.cwd(), unused_days)
    typer.echo(f"Removed the results of {done.results} stages, {done.freed / 2**20:,.0f} MiB")


def _connect(context: typer.Context) -> "Connection":
    from scintiflow.cluster.connection import Connection
    from scintiflow.cluster.endpoint import find_endpoint

    return Connection(find_endpoint(**context.obj))


def _newest(connection: "Connection", experiment: str, params: Path, profile: str) -> str:
    from scintiflow.cluster.remote_runs import find_experiment, newest_run

    name = experiment or load_recipe(params, profile).tracking.experiment
    return newest_run(connection, find_experiment(connection, name))
