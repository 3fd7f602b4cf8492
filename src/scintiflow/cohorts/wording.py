"""What `scintiflow cohort` says: outcomes, reasons and remedies, without a path that could name a patient."""

from collections.abc import Iterator
from pathlib import Path

from scintiflow.cohorts.add import CohortReport
from scintiflow.cohorts.fetch import Fetched
from scintiflow.cohorts.report import REPORT
from scintiflow.cohorts.withdraw import Withdrawn


def path_lines(report: CohortReport) -> Iterator[str]:
    """Where the files lie that are in no pair. Paths may name patients: for the hospital's screen alone."""
    for entry in report.ledger.entries:
        if entry.code:
            for path in report.locations.get(entry.sha256, []):
                yield f"  {entry.code}  {entry.sha256[:12] or '-'}  {shown_path(path)}"


def shown_path(path: Path) -> str:
    """A path for the screen: characters that steer a terminal, or are none, become question marks."""
    return "".join(letter if letter.isprintable() else "?" for letter in str(path))


def report_lines(report: CohortReport) -> Iterator[str]:
    """One line on the cohort, one for each reason with its remedy, one on what was done."""
    record = report.ledger.to_json()
    outcomes = ", ".join(f"{count} {outcome}" for outcome, count in record["outcomes"].items())
    yield f"{report.ledger.name}: {record['walked']} files: {outcomes}; {record['pairs']} pairs"
    for code, reason in record["reasons"].items():
        yield f"  {code} ({reason['files']}): {reason['sentence']}. {reason['remedy']}."
    if report.dry_run:
        yield "  dry run: nothing was written"
    elif report.changed:
        yield f"  written to {report.folder}; look at {report.folder / REPORT}"
    else:
        yield "  nothing new"


def withdrawn_lines(done: Withdrawn) -> Iterator[str]:
    """What was removed, and which versions must not be trained on any more."""
    where = f"{done.objects_removed} objects from {', '.join(done.cohorts)}" if done.cohorts else "nothing was left"
    yield f"{done.patient} is withdrawn: {where}. Later deliveries leave the patient out (WITHDRAWN)."
    if done.versions:
        yield "Versions that held the patient; what was trained on them must be trained again:"
        for version in done.versions:
            yield f"  {version.name:24} {version.md5}"
        yield f"  `scintiflow lineage {done.patient}` names the models"
    for version in done.unreadable:
        yield f"  {version.name:24} {version.md5}: its record cannot be fetched, so nobody can tell"


def fetched_line(done: Fetched) -> str:
    """What a fetch brought, what was there, and who was left out."""
    states = [f"{done.fetched} fetched"] if done.fetched or done.found else ["already there"]
    states += [f"{done.found} taken from what was there"] if done.found else []
    states += [f"withdrawn patients left out: {done.left_out}"] if done.left_out else []
    return f"{done.folder}: {done.patients} patients, {done.files} files, {', '.join(states)}"
