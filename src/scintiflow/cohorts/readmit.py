"""A quarantined file comes back in: mended, or because a named person overrules the check.

Who, when and why stands in cohort.json for ever. Only checks in which a person can know better than the
header may be overruled (`Reason.may_be_overruled`): never identity, never damage, never lost counts.
"""

import re
from collections.abc import Callable
from datetime import date
from pathlib import Path

from scintiflow.cohorts.add import CohortReport, update_cohort
from scintiflow.cohorts.ledger import Entry, Ledger, Override
from scintiflow.dicom.identity import IdentityKey
from scintiflow.dicom.opening import read_regular_file
from scintiflow.dicom.reading import read_scan
from scintiflow.dicom.reasons import OVERRULABLE, Outcome, Reason, Rejection
from scintiflow.errors import ScintiflowError
from scintiflow.files import sha256_file
from scintiflow.params import Protocol

SHORTEST_WORDS = 3  # letters of a person's name, and of a reason


def readmit(
    files: list[Path],
    name: str,
    *,
    by: str,
    reason: str,
    mends: str = "",
    on: date,
    protocol: Protocol,
    key: IdentityKey,
    cohorts: Path,
    withdrawn: frozenset[str] = frozenset(),
) -> CohortReport:
    """Bring files that were set aside back into the cohort `cohorts`/`name`.

    Args:
        files: the quarantined files themselves, each of which is overruled for the code it has; a pair that
            was set aside together is named together. With `mends`, one mended file.
        by: the person who decides.
        reason: why.
        mends: SHA-256 (or its beginning) of the quarantined file that the mended one replaces.
        on: the day of the decision.
        withdrawn: pseudonyms of patients who stay out, beside those on the list in `cohorts`.

    Raises ScintiflowError if a file is not in quarantine, its code may not be overruled, or nobody and no
    reason is named.
    """
    for words, what in ((by, "the person who decides"), (reason, "a reason")):
        if len(re.findall(r"[^\W\d_]", words)) < SHORTEST_WORDS:
            raise ScintiflowError(f"{what} must be named", where="readmit", remedy="Give --by and --reason")
    decided = _mended(files, mends) if mends else _overruled(files)

    def decide(ledger: Ledger | None) -> tuple[Override, ...]:
        if ledger is None:
            raise ScintiflowError(
                "there is no such cohort", where=cohorts / name, remedy="Add the export with `scintiflow cohort add`"
            )
        return tuple(
            Override(sha256=entry.sha256, code=entry.code, by=by, reason=reason, on=on.isoformat(), mended_sha256=new)
            for entry, new in decided(ledger)
        )

    return update_cohort(
        files, name, protocol=protocol, key=key, cohorts=cohorts, withdrawn=withdrawn, decide=decide, workers=1
    )


Decision = Callable[[Ledger], list[tuple[Entry, str]]]


def _overruled(files: list[Path]) -> Decision:
    hashes = [_sha256(path) for path in files]

    def decide(ledger: Ledger) -> list[tuple[Entry, str]]:
        found = [(_quarantined(ledger, sha256), "") for sha256 in hashes]
        for entry, _ in found:
            if not Reason[entry.code].may_be_overruled:
                allowed = ", ".join(sorted(reason.name for reason in OVERRULABLE))
                raise ScintiflowError(
                    f"{entry.code} cannot be overruled; {allowed} can",
                    where=entry.sha256[:16],
                    remedy=f"Mend the file ({Reason[entry.code].remedy}) and readmit it with --mends",
                )
        return found

    return decide


def _mended(files: list[Path], mends: str) -> Decision:
    if len(files) != 1:
        raise ScintiflowError("one mended file replaces one other", where="--mends", remedy="Readmit them one by one")
    new = _sha256(files[0])

    def decide(ledger: Ledger) -> list[tuple[Entry, str]]:
        old = _quarantined(ledger, mends)
        if old.sha256 == new:
            raise ScintiflowError("the file is as it was", where=new[:16], remedy="Name the mended file")
        try:
            read_scan(files[0])
        except Rejection as rejection:
            raise ScintiflowError(
                f"the mended file has a fault itself: {rejection}", where=new[:16], remedy=rejection.reason.remedy
            ) from None
        return [(old, new)]

    return decide


def _quarantined(ledger: Ledger, sha256: str) -> Entry:
    found = {
        entry.sha256: entry
        for entry in ledger.entries
        if entry.outcome == Outcome.QUARANTINED and sha256 and entry.sha256.startswith(sha256.lower())
    }
    if len(found) != 1:
        raise ScintiflowError(
            "is not a file in this cohort's quarantine" if not found else "fits several files",
            where=sha256[:16],
            remedy="Look up the SHA-256 in cohort.json; a file that was never added goes through `cohort add`",
        )
    return next(iter(found.values()))


def _sha256(path: Path) -> str:
    try:
        read_regular_file(path)
        return sha256_file(path)
    except (Rejection, OSError) as error:
        code = error.code if isinstance(error, Rejection) else type(error).__name__
        raise ScintiflowError(f"cannot be read ({code})", where="readmit", remedy="Name a readable file") from None
