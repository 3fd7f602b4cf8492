"""`scintiflow`: one sub-command for each thing a user wants; they live in `scintiflow.commands`."""

import sys

import typer

from scintiflow.commands import (
    cohort,
    dicom,
    models,
    node,
    pipeline,
    reference,
    remote,
    restoring,
    samples,
    tracing,
    training,
    viewing,
    watching,
    weights,
)
from scintiflow.errors import ScintiflowError

INTERRUPTED = 130  # what typer returns when it was stopped

HELP = "Trains, checks and ships the model that gives a rapid bone scan the quality of a standard one."

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=HELP)
app.add_typer(cohort.group, name="cohort")
app.add_typer(dicom.group, name="dicom")
app.add_typer(models.group, name="models")
app.add_typer(pipeline.group, name="pipeline")
app.add_typer(reference.group, name="reference")
app.add_typer(remote.group, name="remote")
app.add_typer(weights.group, name="weights")
app.command()(samples.phantom)
app.command("sample-cohorts")(samples.sample_cohorts)
app.command()(training.stage)
app.command()(training.plan)
app.command()(training.retrain)
app.command()(training.ablation)
app.command()(tracing.lineage)
app.command()(tracing.reproduce)
app.command()(restoring.restore)
app.command()(node.node)
app.command()(watching.drift)
app.command()(viewing.view)


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
