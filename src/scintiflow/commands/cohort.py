"""`scintiflow cohort ...`: deliveries of hospitals."""

from pathlib import Path
from typing import Annotated

import typer

from scintiflow.commands.options import DEFAULT_PARAMS, ParamsFile, Profile, load_recipe, subcommands

group = subcommands("Deliveries of hospitals: check, de-identify, version.")


@group.command("add")
def add(
    export: Annotated[Path, typer.Argument(help="The hospital's export folder.")],
    name: Annotated[str, typer.Option(help="Name of the cohort, for example 2026-11.")],
    profile: Profile = "",
    params: ParamsFile = DEFAULT_PARAMS,
    key_file: Annotated[Path | None, typer.Option(help="Identity key, else SCINTIFLOW_IDENTITY_KEY (hex).")] = None,
    out: Annotated[Path, typer.Option(help="Folder of the cohorts.")] = Path("data/cohorts"),
    dry_run: Annotated[bool, typer.Option(help="Show the outcome of every file, write nothing.")] = False,
    no_dvc: Annotated[bool, typer.Option(help="Print the DVC steps instead of doing them.")] = False,
    show_paths: Annotated[
        bool, typer.Option(help="List where files lie that are in no pair; paths may name patients.")
    ] = False,
) -> None:
    """Check, de-identify and pair an export; quarantine what cannot be used, with reasons."""
    from scintiflow.cohorts.add import add_cohort
    from scintiflow.cohorts.tracking import track_cohort, tracking_steps
    from scintiflow.cohorts.versions import COHORTS
    from scintiflow.cohorts.withdrawals import withdrawn_patients
    from scintiflow.cohorts.wording import path_lines, report_lines
    from scintiflow.dicom.identity import load_key

    recipe = load_recipe(params, profile)
    key = load_key(key_file)
    report = add_cohort(
        export,
        name,
        protocol=recipe.ingest.protocol,
        key=key,
        cohorts=out,
        withdrawn=withdrawn_patients(COHORTS),  # the project's list holds wherever the cohort goes
        dry_run=dry_run,
    )
    for line in [*report_lines(report), *(path_lines(report) if show_paths else ())]:
        typer.echo(line)
    if dry_run:
        return
    if no_dvc:
        typer.echo("Version it with:\n  " + "\n  ".join(tracking_steps(out / name)))
    else:
        for line in track_cohort(out / name):
            typer.echo(line)


@group.command("inspect")
def inspect(
    target: Annotated[Path, typer.Argument(help="A file or a folder.", exists=True)],
    show_paths: Annotated[bool, typer.Option(help="With a folder: show paths, which may name patients.")] = False,
) -> None:
    """Show what the product sees in a file, every warning and objection with its reason; no identity."""
    import os

    from rich.console import Console

    from scintiflow.cohorts.inspect import as_table, inspect_all

    console = Console()
    console.print(as_table(inspect_all(target, os.cpu_count() or 1), show_paths), markup=False, highlight=False)


@group.command("readmit")
def readmit(
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
    from scintiflow.cohorts.tracking import tracking_steps
    from scintiflow.cohorts.versions import COHORTS
    from scintiflow.cohorts.withdrawals import withdrawn_patients
    from scintiflow.cohorts.wording import report_lines
    from scintiflow.dicom.identity import load_key

    protocol, key = load_recipe(params, profile).ingest.protocol, load_key(key_file)
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
        withdrawn=withdrawn_patients(COHORTS),
    )
    for line in report_lines(report):
        typer.echo(line)
    typer.echo("Version it with:\n  " + "\n  ".join(tracking_steps(out / name)))


@group.command("diff")
def diff(
    before: Annotated[str, typer.Argument(metavar="REV1", help="A git revision.")],
    after: Annotated[str, typer.Argument(metavar="REV2", help="Another; else the working tree.")] = "",
    html: Annotated[Path | None, typer.Option(help="Also write a page with charts.")] = None,
    profile: Profile = "",
) -> None:
    """What changes for training between two revisions: patients, splits, ages, scanners; fetches no scan."""
    from scintiflow.dataset.difference import compare, difference_lines
    from scintiflow.dataset.difference_page import difference_page
    from scintiflow.dataset.snapshot import take_snapshot
    from scintiflow.files import whole_file

    first, second = (take_snapshot(Path.cwd(), revision or None, profile) for revision in (before, after))
    difference = compare(first, second)
    for line in difference_lines(difference):
        typer.echo(line)
    if html is not None:
        with whole_file(html) as partial:
            partial.write_text(difference_page(difference), encoding="utf-8")
        typer.echo(f"Page: {html}")
    if difference.must_not_be_merged:
        raise typer.Exit(1)


@group.command("withdraw")
def withdraw(
    by: Annotated[str, typer.Option(help="Who was asked to; recorded for ever.")],
    patient: Annotated[str, typer.Argument(help="Pseudonym (P-...); without it the patient ID is asked for.")] = "",
    key_file: Annotated[
        Path | None, typer.Option(help="Identity key, to turn a patient ID into a pseudonym.")
    ] = None,
    no_dvc: Annotated[bool, typer.Option(help="Print the DVC steps instead of doing them.")] = False,
    erase: Annotated[
        bool, typer.Option(help="Also delete the scans of earlier versions, here and remotely.")
    ] = False,
) -> None:
    """Remove a patient from every cohort, for good; list the versions that must not be trained on any more."""
    from datetime import date

    from scintiflow.cluster.withdrawal import retrain_lines
    from scintiflow.cohorts.tracking import track_cohort, tracking_steps
    from scintiflow.cohorts.versions import COHORTS
    from scintiflow.cohorts.withdraw import erase_past, withdraw_patient
    from scintiflow.cohorts.withdrawals import LIST, Withdrawal
    from scintiflow.cohorts.wording import withdrawn_lines
    from scintiflow.dicom.identity import load_key

    if not patient:
        issuer = typer.prompt("Issuer of the patient ID, as in the DICOM objects", default="", show_default=False)
        patient = load_key(key_file).patient(issuer, typer.prompt("Patient ID (not shown)", hide_input=True))
    done = withdraw_patient(Path.cwd(), Withdrawal(patient=patient, by=by, on=date.today().isoformat()))
    for line in withdrawn_lines(done):
        typer.echo(line)
    for line in retrain_lines(patient):
        typer.echo(line)
    for name in done.cohorts:
        for line in tracking_steps(COHORTS / name) if no_dvc else track_cohort(COHORTS / name):
            typer.echo(line)
    if erase:
        typer.echo(f"Erased from the cache and the remote: {erase_past(Path.cwd(), patient)} files")
    typer.echo(f'Commit the list too: git add {COHORTS / LIST} && git commit -m "A patient was withdrawn"')


@group.command("pull")
def pull(profile: Profile = "", params: ParamsFile = DEFAULT_PARAMS) -> None:
    """Bring the cohorts that the recipe reads, at the versions of this checkout; others stay where they are."""
    from scintiflow.cluster.pins import used_cohorts
    from scintiflow.cohorts.tracking import pull_cohorts
    from scintiflow.cohorts.versions import COHORTS, POINTER, cohort_versions

    names = used_cohorts(load_recipe(params, profile))
    tracked = [name for name in names if name in cohort_versions(Path.cwd())]
    pull_cohorts(Path.cwd(), [COHORTS / f"{name}{POINTER}" for name in tracked])
    typer.echo(f"Pulled: {', '.join(tracked) or 'nothing'}")
    for name in sorted(set(names) - set(tracked)):
        typer.echo(f"No .dvc file here: {name}")


@group.command("fetch")
def fetch(
    name: Annotated[str, typer.Option("--cohort", help="Name of the cohort.")],
    rev: Annotated[str, typer.Option(help="Commit: its full SHA, or with a checkout any name of it.")],
    to: Annotated[Path, typer.Option(help="Folder; the cohort becomes a read-only folder in it.")],
    source: Annotated[str, typer.Option(help="URL of the git repository, or a checkout.")] = ".",
    patients: Annotated[str, typer.Option(help="Pseudonyms (P-...) with commas between; else all.")] = "",
    studies: Annotated[str, typer.Option(help="Pseudonyms (S-...) with commas between; else all.")] = "",
    unpaired: Annotated[bool, typer.Option(help="Only scans that wait for a partner.")] = False,
    have: Annotated[
        Path | None, typer.Option(help="Folder of an earlier fetch: what it holds is not transferred again.")
    ] = None,
) -> None:
    """Fetch a cohort, or some of its scans, at a pinned commit; the project is only read."""
    from scintiflow.cohorts.fetch import fetch_cohort
    from scintiflow.cohorts.selection import Selection
    from scintiflow.cohorts.wording import fetched_line

    wanted = Selection(patients=_names(patients), studies=_names(studies), unpaired_only=unpaired)
    typer.echo(fetched_line(fetch_cohort(source, rev, name, to, wanted, have)))


def _names(given: str) -> frozenset[str] | None:
    return frozenset(name.strip() for name in given.split(",") if name.strip()) or None
