"""From what each file came to by itself to what becomes of it among all files ever delivered."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import replace

from scintiflow.cohorts.ledger import Entry
from scintiflow.dicom.pairing import is_rapid, pair_scans
from scintiflow.dicom.reasons import Outcome, Reason
from scintiflow.params import Protocol


def settle(entries: Iterable[Entry], protocol: Protocol) -> tuple[Entry, ...]:
    """Settle duplicates, collisions, patient conflicts and pairs; sorted by SHA-256.

    The result depends on the set of entries, not on their order.
    """
    ordered = sorted(entries, key=lambda entry: (entry.sha256, entry.code, entry.detail))
    scans = [_as_taken_in(entry) for entry in ordered if entry.scan is not None]
    others = [entry for entry in ordered if entry.scan is None]
    scans, copies = _first_of_each(scans, lambda entry: entry.sha256, Reason.DUPLICATE)
    scans, collided = _collisions(scans)
    scans, again = _first_of_each(scans, lambda entry: entry.summary.instance_uid, Reason.DUPLICATE)
    scans, conflicting = _patient_conflicts(scans)
    scans, same_pixels = _first_of_each(scans, lambda entry: _acquisition(entry, protocol), Reason.DUPLICATE_PIXELS)
    settled = [*others, *copies, *collided, *again, *conflicting, *same_pixels, *_paired(scans, protocol)]
    return tuple(sorted(settled, key=lambda entry: (entry.sha256, entry.outcome, entry.code, entry.detail)))


def _as_taken_in(entry: Entry) -> Entry:
    return replace(entry, outcome=Outcome.ACCEPTED.value, code="")


def _first_of_each(
    scans: list[Entry], identity: Callable[[Entry], Hashable], reason: Reason
) -> tuple[list[Entry], list[Entry]]:
    """The first entry of each identity, and the others settled with `reason`."""
    seen: set[Hashable] = set()
    first: list[Entry] = []
    others: list[Entry] = []
    for entry in scans:
        mark = identity(entry)
        if mark in seen:
            others.append(entry.settled(reason))
        else:
            first.append(entry)
        seen.add(mark)
    return first, others


def _collisions(scans: list[Entry]) -> tuple[list[Entry], list[Entry]]:
    """Objects with one UID and different content: nobody can say which is genuine, so all are set aside."""
    contents = defaultdict(set)
    for entry in scans:
        contents[entry.summary.instance_uid].add(entry.summary)
    clear = [entry for entry in scans if len(contents[entry.summary.instance_uid]) == 1]
    collided = [entry for entry in scans if len(contents[entry.summary.instance_uid]) > 1]
    return clear, [entry.settled(Reason.UID_COLLISION) for entry in collided]


def _patient_conflicts(scans: list[Entry]) -> tuple[list[Entry], list[Entry]]:
    marks = defaultdict(set)
    for entry in scans:
        if entry.patient_check:
            marks[entry.summary.patient].add(entry.patient_check)
    clear = [entry for entry in scans if len(marks[entry.summary.patient]) <= 1]
    conflicting = [entry for entry in scans if len(marks[entry.summary.patient]) > 1]
    return clear, [entry.settled(Reason.PATIENT_CONFLICT) for entry in conflicting]


def _acquisition(entry: Entry, protocol: Protocol) -> Hashable:
    """Equal for two exports of one acquisition; a rapid and a standard scan are never one acquisition."""
    return entry.summary.patient, entry.summary.counts_sha256, is_rapid(entry.summary, protocol)


def _paired(scans: list[Entry], protocol: Protocol) -> list[Entry]:
    pairing = pair_scans([entry.summary for entry in scans], protocol)
    notices = {scan.instance_uid: pair.warnings for pair in pairing.pairs for scan in (pair.rapid, pair.standard)}
    settled = []
    for entry in scans:
        reason = pairing.reasons.get(entry.summary.instance_uid)
        if reason is None:
            warnings = tuple(sorted({*entry.warnings, *notices[entry.summary.instance_uid]}))
            settled.append(replace(entry, warnings=warnings))
        else:
            settled.append(entry.settled(reason))
    return settled
