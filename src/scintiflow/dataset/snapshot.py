"""What the cohorts of one git revision hold for training, from their records and the recipe; no scan is fetched."""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from scintiflow.cohorts.ledger import Ledger
from scintiflow.cohorts.versions import (
    CohortVersion,
    cohort_record,
    cohort_versions,
    file_at,
    resolve_revision,
    withdrawals_at,
)
from scintiflow.dataset.packing import study_name
from scintiflow.dataset.split import split_of
from scintiflow.dicom.pairing import pair_scans
from scintiflow.errors import ScintiflowError
from scintiflow.params import IngestParams, section_of

WORKING_TREE = "working tree"


@dataclass(frozen=True, kw_only=True)
class Patient:
    """A patient of whom ingest makes at least one pair.

    Attributes:
        split: 'train', 'validation' or 'test', by the same function as ingest.
        cohorts: that hold the patient.
        studies: hash of the content of each pair, by the name that ingest gives it.
        ages_years: at each study; without unknown ones.
        scanners: that made them; '' where the record does not say.
    """

    split: str
    cohorts: tuple[str, ...]
    studies: dict[str, str]
    ages_years: tuple[float, ...]
    scanners: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """Cohorts at one revision.

    Attributes:
        revision: SHA, or 'working tree'.
        asked_for: the words that named the revision.
        versions: of every cohort, by name.
        trained: cohorts that the recipe of this revision trains on (`ingest.cohorts`) and that are there.
        patients: of those, by pseudonym.
        waiting: scans of those without a partner.
        withdrawn: pseudonyms whose data were withdrawn by then.
    """

    revision: str
    asked_for: str
    versions: dict[str, CohortVersion]
    trained: tuple[str, ...]
    patients: dict[str, Patient]
    waiting: int
    withdrawn: frozenset[str]


def take_snapshot(project: Path, revision: str | None, profile: str = "") -> Snapshot:
    """Read records, recipe and versions at `revision` (None: the working tree).

    Every cohort that is versioned but not named in `ingest.cohorts` of the recipe trains nothing and has no patients
    here. Raises ScintiflowError if the revision, its recipe or a record cannot be read.
    """
    ingest = _ingest_section(project, revision, profile)
    if ingest.source != "dicom":
        raise ScintiflowError(
            "is image_pairs: pictures have no record that could be compared",
            where="ingest.source",
            remedy="Compare the files with `dvc diff`",
        )
    versions = cohort_versions(project, revision)
    trained = tuple(name for name in ingest.cohorts if name in versions)
    ledgers = [cohort_record(project, name, revision) for name in trained]
    patients, waiting = _patients(ledgers, ingest)
    return Snapshot(
        revision=WORKING_TREE if revision is None else resolve_revision(project, revision),
        asked_for=revision or WORKING_TREE,
        versions=versions,
        trained=trained,
        patients=patients,
        waiting=waiting,
        withdrawn=frozenset(withdrawal.patient for withdrawal in withdrawals_at(project, revision)),
    )


def _ingest_section(project: Path, revision: str | None, profile: str) -> IngestParams:
    base = file_at(project, revision, Path("params.yaml"))
    overlay = file_at(project, revision, Path("profiles") / f"{profile}.yaml") if profile else ""
    section = section_of("ingest", base, overlay)
    assert isinstance(section, IngestParams)
    return section


def _patients(ledgers: list[Ledger], ingest: IngestParams) -> tuple[dict[str, Patient], int]:
    """Pairs as ingest would form them, gathered by patient, and the number of scans that stay without a partner."""
    kept = {
        entry.summary.instance_uid: (ledger.name, entry)
        for ledger in ledgers
        for entry in ledger.entries
        if entry.is_kept and entry.scan is not None
    }
    overruled = {uid: reasons for ledger in ledgers for uid, reasons in ledger.overruled_scans.items()}
    pairing = pair_scans([entry.summary for _, entry in kept.values()], ingest.protocol, overruled)
    gathered: dict[str, list] = defaultdict(list)
    for pair in pairing.pairs:
        (_, rapid), (cohort, standard) = (kept[scan.instance_uid] for scan in (pair.rapid, pair.standard))
        content = f"{rapid.object_sha256} {standard.object_sha256}"
        gathered[pair.standard.patient].append((study_name(pair), content, cohort, pair.standard))
    found = {
        patient: Patient(
            split=split_of(patient, ingest.split),
            cohorts=tuple(sorted({cohort for _, _, cohort, _ in studies})),
            studies={study: content for study, content, _, _ in studies},
            ages_years=tuple(scan.age_years for *_, scan in studies if scan.age_years is not None),
            scanners=tuple(sorted({scan.scanner for *_, scan in studies})),
        )
        for patient, studies in sorted(gathered.items())
    }
    return found, len(pairing.reasons)
