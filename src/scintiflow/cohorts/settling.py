"""From what each file came to by itself to what becomes of it among all files ever delivered."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import replace

from scintiflow.cohorts.ledger import Entry, Override, overruled_scans
from scintiflow.dicom.pairing import is_rapid, pair_scans
from scintiflow.dicom.reasons import Notice, Outcome, Reason
from scintiflow.params import Protocol

PAIR_NOTICES = frozenset({Notice.PAIR_CROSS_STUDY.name, Notice.OVERRULED.name})  # found anew each time


def settle(entries: Iterable[Entry], protocol: Protocol, overrides: Iterable[Override] = ()) -> tuple[Entry, ...]:
    """Settle duplicates, collisions, patient conflicts and pairs; sorted by SHA-256.

    The result depends on the set of entries and of overrides, not on their order.
    """
    overrides = list(overrides)
    mended = {override.sha256 for override in overrides if override.mended_sha256}
    ordered = sorted(entries, key=lambda entry: (entry.sha256, entry.code, entry.detail))
    replaced = [_as_taken_in(entry).settled(Reason.MENDED) for entry in ordered if entry.sha256 in mended]
    scans = [_as_taken_in(entry) for entry in ordered if entry.scan is not None and entry.sha256 not in mended]
    others = [entry for entry in ordered if entry.scan is None and entry.sha256 not in mended]
    scans, copies = _first_of_each(scans, lambda entry: entry.sha256, Reason.DUPLICATE)
    scans, posterior = _second_halves(scans)
    overruled = overruled_scans([*scans, *posterior], overrides)
    scans, collided = _collisions(scans)
    scans, again = _first_of_each(scans, lambda entry: entry.summary.instance_uid, Reason.DUPLICATE)
    scans, conflicting = _patient_conflicts(scans)
    scans, same_pixels = _first_of_each(scans, lambda entry: _acquisition(entry, protocol), Reason.DUPLICATE_PIXELS)
    paired = _paired(scans, protocol, overruled)
    settled = [*others, *copies, *replaced, *collided, *again, *conflicting, *same_pixels, *paired]
    settled += _like_first_halves(posterior, settled)
    return tuple(sorted(settled, key=lambda entry: (entry.sha256, entry.outcome, entry.code, entry.detail)))


def _as_taken_in(entry: Entry) -> Entry:
    warnings = tuple(warning for warning in entry.warnings if warning not in PAIR_NOTICES)
    return replace(entry, outcome=Outcome.ACCEPTED.value, code="", warnings=warnings)


def _second_halves(scans: list[Entry]) -> tuple[list[Entry], list[Entry]]:
    """A scan that came in two files counts once, as its anterior file; the posterior files are set apart."""
    first = [entry for entry in scans if not entry.joined_from or entry.sha256 == entry.joined_from[0]]
    return first, [entry for entry in scans if entry.joined_from and entry.sha256 != entry.joined_from[0]]


def _like_first_halves(posterior: list[Entry], settled: list[Entry]) -> list[Entry]:
    first = {entry.sha256: entry for entry in settled}  # of byte copies, the one that counts comes last
    return [
        replace(entry, outcome=found.outcome, code=found.code, warnings=found.warnings)
        for entry in posterior
        if (found := first[entry.joined_from[0]])
    ]


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


def _paired(scans: list[Entry], protocol: Protocol, overruled: Mapping[str, frozenset[Reason]]) -> list[Entry]:
    pairing = pair_scans([entry.summary for entry in scans], protocol, overruled)
    notices = {scan.instance_uid: pair.warnings for pair in pairing.pairs for scan in (pair.rapid, pair.standard)}
    settled = []
    for entry in scans:
        uid = entry.summary.instance_uid
        warnings = {*entry.warnings, *notices.get(uid, ())}
        if uid in overruled:
            warnings.add(Notice.OVERRULED.name)
        entry = replace(entry, warnings=tuple(sorted(warnings)))
        settled.append(entry.settled(pairing.reasons[uid]) if uid in pairing.reasons else entry)
    return settled
