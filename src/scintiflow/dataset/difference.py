"""What changes in training between two revisions of the cohorts, and the proof that no test patient is trained on."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from scintiflow.dataset.manifest import SPLITS
from scintiflow.dataset.snapshot import Patient, Snapshot

AGE_BANDS = (("below 1", 0.0, 1.0), ("1 to 4", 1.0, 5.0), ("5 to 9", 5.0, 10.0), ("10 to 14", 10.0, 15.0))
OLDEST_BAND = "15 and above"
UNKNOWN = "not recorded"
LISTED = 20  # pseudonyms shown on a terminal


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Pseudonyms and study names in alphabetical order; counts by label, (before, after).

    Attributes:
        moved: patients of both revisions whose split differs, as (patient, before, after).
        leaked: those of them that were test patients and would become training or validation patients.
        test_patients_kept: that were and are test patients.
        brought_back: patients of the later revision whose data were withdrawn by either.
    """

    before: Snapshot
    after: Snapshot
    patients_added: tuple[str, ...]
    patients_removed: tuple[str, ...]
    patients_changed: tuple[str, ...]
    studies_added: tuple[str, ...]
    studies_removed: tuple[str, ...]
    studies_changed: tuple[str, ...]
    moved: tuple[tuple[str, str, str], ...]
    leaked: tuple[str, ...]
    test_patients_kept: int
    brought_back: tuple[str, ...]

    @property
    def splits(self) -> dict[str, tuple[int, int]]:
        """Patients in each split."""
        return self._counted(SPLITS, lambda patient: [patient.split])

    @property
    def ages(self) -> dict[str, tuple[int, int]]:
        """Studies in each age band, by completed years."""
        labels = [*(label for label, _, _ in AGE_BANDS), OLDEST_BAND, UNKNOWN]
        return self._counted(labels, _age_bands)

    @property
    def scanners(self) -> dict[str, tuple[int, int]]:
        """Patients seen by each scanner."""
        seen = {
            scanner or UNKNOWN
            for snapshot in (self.before, self.after)
            for patient in snapshot.patients.values()
            for scanner in patient.scanners
        }
        return self._counted(sorted(seen), lambda patient: [scanner or UNKNOWN for scanner in patient.scanners])

    @property
    def must_not_be_merged(self) -> bool:
        """True if test patients would be trained on, or withdrawn patients are there."""
        return bool(self.leaked or self.brought_back)

    @property
    def is_empty(self) -> bool:
        """True if the cohorts are the same bytes and train the same way."""
        return (
            self.before.versions == self.after.versions
            and self.before.trained == self.after.trained
            and not self.moved
        )

    def _counted(
        self, labels: Iterable[str], of_patient: Callable[[Patient], Iterable[str]]
    ) -> dict[str, tuple[int, int]]:
        before, after = (
            Counter(label for patient in snapshot.patients.values() for label in of_patient(patient))
            for snapshot in (self.before, self.after)
        )
        return {label: (before[label], after[label]) for label in labels}


def compare(before: Snapshot, after: Snapshot) -> Difference:
    """Everything that differs. The splits of both are computed anew, each with its own recipe."""
    both = before.patients.keys() & after.patients.keys()
    moved = tuple(
        (patient, before.patients[patient].split, after.patients[patient].split)
        for patient in sorted(both)
        if before.patients[patient].split != after.patients[patient].split
    )
    old, new = _studies(before), _studies(after)
    withdrawn = before.withdrawn | after.withdrawn
    return Difference(
        before=before,
        after=after,
        patients_added=tuple(sorted(after.patients.keys() - both)),
        patients_removed=tuple(sorted(before.patients.keys() - both)),
        patients_changed=tuple(
            sorted(patient for patient in both if before.patients[patient].studies != after.patients[patient].studies)
        ),
        studies_added=tuple(sorted(new.keys() - old.keys())),
        studies_removed=tuple(sorted(old.keys() - new.keys())),
        studies_changed=tuple(sorted(study for study in old.keys() & new.keys() if old[study] != new[study])),
        moved=moved,
        leaked=tuple(patient for patient, was, _ in moved if was == "test"),
        test_patients_kept=sum(
            before.patients[patient].split == after.patients[patient].split == "test" for patient in both
        ),
        brought_back=tuple(sorted(withdrawn & after.patients.keys())),
    )


def difference_lines(difference: Difference) -> list[str]:
    """For a terminal. Pseudonyms only."""
    before, after = difference.before, difference.after
    lines = [f"{_short(before)} -> {_short(after)}", ""]
    if difference.is_empty:
        return [*lines, "The cohorts are the same.", verdict(difference)]
    lines += [f"  {line}" for line in cohort_lines(difference)]
    for what in ("patients", "studies"):
        changes = [f"{len(getattr(difference, f'{what}_{change}'))} {change}" for change in CHANGES]
        lines.append(f"{what:10} {', '.join(changes)}")
    for change in CHANGES:
        listed = getattr(difference, f"patients_{change}")
        if listed:
            more = f" and {len(listed) - LISTED} more" if len(listed) > LISTED else ""
            lines.append(f"  {change}: {', '.join(listed[:LISTED])}{more}")
    for heading, counts in (
        ("patients in", difference.splits),
        ("studies at the age of (years)", difference.ages),
        ("patients seen by", difference.scanners),
    ):
        shown = {label: pair for label, pair in counts.items() if any(pair)}
        lines += [
            "",
            heading,
            *(f"  {label:24} {was:6} -> {now:6}  {now - was:+d}" for label, (was, now) in shown.items()),
        ]
    return [*lines, "", f"scans without a partner: {before.waiting} -> {after.waiting}", verdict(difference)]


CHANGES = ("added", "removed", "changed")


def cohort_lines(difference: Difference) -> list[str]:
    """What became of each cohort."""
    before, after = difference.before, difference.after
    lines = []
    for name in sorted(before.versions.keys() | after.versions.keys()):
        was, now = before.versions.get(name), after.versions.get(name)
        if was is None or now is None:
            version = now or was
            assert version is not None
            state = f"{'new' if was is None else 'gone'} ({version.files} files, {_mebibytes(version.size)})"
        elif was.md5 == now.md5:
            state = "the same"
        else:
            state = f"changed ({was.files} -> {now.files} files, {_mebibytes(was.size)} -> {_mebibytes(now.size)})"
        unused = (
            ""
            if name in (*before.trained, *after.trained)
            else "; not in ingest.cohorts, so nothing is trained on it"
        )
        lines.append(f"{name}: {state}{unused}")
    return lines


def verdict(difference: Difference) -> str:
    """Whether anybody is trained on who must not be: test patients and those whose data were withdrawn."""
    if difference.brought_back:
        shown = ", ".join(difference.brought_back[:LISTED])
        return (
            f"WITHDRAWN: {len(difference.brought_back)} patients of these cohorts have withdrawn: {shown}. "
            "Run `scintiflow cohort withdraw` for each of them again."
        )
    if difference.leaked:
        shown = ", ".join(difference.leaked[:LISTED])
        return (
            f"LEAK: {len(difference.leaked)} test patients would be trained on or tuned on: {shown}. "
            "ingest.split must stay as it was."
        )
    if not difference.test_patients_kept:
        return "No test patient becomes a training patient: the revisions have no test patient in common."
    moved = f", {len(difference.moved)} other patients change their split" if difference.moved else ""
    return (
        f"No test patient becomes a training patient: each of the {difference.test_patients_kept} test patients "
        f"of both revisions was assigned again and stays in the test set{moved}."
    )


def _studies(snapshot: Snapshot) -> dict[str, str]:
    return {study: content for patient in snapshot.patients.values() for study, content in patient.studies.items()}


def _age_bands(patient: Patient) -> list[str]:
    known = [
        next((label for label, low, high in AGE_BANDS if low <= age < high), OLDEST_BAND)
        for age in patient.ages_years
    ]
    return known + [UNKNOWN] * (len(patient.studies) - len(known))


def _short(snapshot: Snapshot) -> str:
    return (
        snapshot.asked_for
        if snapshot.asked_for == snapshot.revision
        else f"{snapshot.asked_for} ({snapshot.revision[:12]})"
    )


def _mebibytes(size: int) -> str:
    return f"{size / 2**20:.1f} MiB"
