"""Two files, one acquisition: some workstations export the anterior and the posterior view apart.

Two de-identified objects become one if patient, study, matrix, spacing and velocity agree, they began
within a minute of each other, one shows the anterior and the other the posterior view, and no third
object would fit as well. Both files must be in the same delivery.
"""

import hashlib
from collections import defaultdict
from collections.abc import Hashable
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import pydicom
from pydicom.sequence import Sequence
from pydicom.uid import UID

from scintiflow.cohorts.ledger import Entry
from scintiflow.cohorts.pictures import save_picture
from scintiflow.cohorts.workers import Lost, spread
from scintiflow.dicom.identity import IdentityKey
from scintiflow.dicom.opening import Opened, parse, read_regular_file, silenced
from scintiflow.dicom.reading import scan_of
from scintiflow.dicom.reasons import Notice
from scintiflow.dicom.scan import BOTH_VIEWS, ScanSummary
from scintiflow.dicom.whole_body import object_bytes, write_pixels

LARGEST_DELAY_SECONDS = 60.0
SAME_VELOCITY = 0.01
LONGEST_SECONDS_PER_SCAN = 60.0


@dataclass(frozen=True)
class Halves:
    """The entries of the anterior and the posterior file, and where their de-identified objects are staged."""

    anterior: Entry
    posterior: Entry
    objects: tuple[Path, Path]


def join_views(
    entries: list[Entry], staged: dict[str, Path], key: IdentityKey, staging: Path, mended: set[str], workers: int
) -> list[Entry]:
    """`entries` with the halves of a scan turned into the joined scan; its object is added to `staged`.

    `mended`: SHA-256 of files that have been replaced and take no part.
    """
    halves = {
        entry.sha256: entry
        for entry in entries
        if entry.scan and len(entry.scan.views) == 1 and entry.sha256 not in mended
    }
    joined: dict[str, Entry] = {}
    partners = [
        Halves(anterior, posterior, (staged[anterior.object_sha256], staged[posterior.object_sha256]))
        for anterior, posterior in _partners(list(halves.values()))
    ]
    wholes = spread(
        partial(_joined, key=key, staging=staging),
        partners,
        workers=workers,
        seconds=LONGEST_SECONDS_PER_SCAN,
        preload=__name__,
    )
    for pair, whole in zip(partners, wholes, strict=True):
        if isinstance(whole, Lost):
            raise RuntimeError(f"two views could not be joined: {whole.value}")
        staged[whole.object_sha256] = _place(staging, whole.object_sha256)
        anterior, posterior = pair.anterior, pair.posterior
        warnings = tuple(sorted({*anterior.warnings, *posterior.warnings, Notice.VIEWS_JOINED.name}))
        for half in (anterior, posterior):
            joined[half.sha256] = replace(whole, sha256=half.sha256, warnings=warnings)
    return [joined.get(entry.sha256, entry) for entry in entries]


def _partners(halves: list[Entry]) -> list[tuple[Entry, Entry]]:
    found = []
    of_scan: dict[Hashable, list[Entry]] = defaultdict(list)
    for entry in sorted(halves, key=lambda entry: (entry.summary.acquired, entry.sha256)):
        scan = entry.summary
        of_scan[scan.patient, scan.study_uid, scan.shape, scan.spacing_mm].append(entry)
    for candidates in of_scan.values():
        for group in _simultaneous(candidates):
            by_view = {entry.summary.views[0]: entry for entry in group}
            if len(group) == len(by_view) == 2 and len({entry.patient_check for entry in group}) == 1:
                found.append((by_view[BOTH_VIEWS[0]], by_view[BOTH_VIEWS[1]]))
    return found


def _simultaneous(candidates: list[Entry]) -> list[list[Entry]]:
    groups = [[candidates[0]]]
    for earlier, later in pairwise(candidates):
        groups[-1].append(later) if _agree(earlier.summary, later.summary) else groups.append([later])
    return groups


def _agree(earlier: ScanSummary, later: ScanSummary) -> bool:
    delay = (later.moment - earlier.moment).total_seconds()
    return delay <= LARGEST_DELAY_SECONDS and abs(later.velocity_mm_s / earlier.velocity_mm_s - 1) <= SAME_VELOCITY


def _joined(halves: Halves, key: IdentityKey, staging: Path) -> Entry:
    """The entry of the joined scan, whose object is staged; SHA-256 and warnings are left to the caller."""
    anterior, posterior = halves.anterior, halves.posterior
    sources = [Opened(parse(read_regular_file(path)), "") for path in halves.objects]
    counts = np.concatenate([scan_of(source).counts for source in sources])
    result = pydicom.Dataset()
    with silenced():
        result.update(sources[0].dataset)
        result.file_meta = sources[0].dataset.file_meta
        write_pixels(result, counts)
        result.CountsAccumulated = str(int(counts.sum(dtype=np.int64)))
        result.EnergyWindowVector, result.DetectorVector, result.NumberOfDetectors = [1, 1], [1, 2], 2
        result.DetectorInformationSequence = Sequence(
            [source.dataset.DetectorInformationSequence[0] for source in sources]
        )
        uids = (anterior.summary.instance_uid, posterior.summary.instance_uid)
        result.SOPInstanceUID = UID(key.uid("\0".join(uids)))
        result.file_meta.MediaStorageSOPInstanceUID = result.SOPInstanceUID
        written = object_bytes(result)
    digest = hashlib.sha256(written).hexdigest()
    whole = scan_of(Opened(parse(written), digest))
    _place(staging, digest).write_bytes(written)
    save_picture(_place(staging, digest), whole)
    folder, _, _ = str(anterior.path).rpartition("/")
    return replace(
        anterior,
        scan=whole.summary(),
        object_sha256=digest,
        path=f"{folder}/{key.instance(result.SOPInstanceUID)}.dcm",
        joined_from=(anterior.sha256, posterior.sha256),
    )


def _place(staging: Path, object_sha256: str) -> Path:
    return staging / f"{object_sha256}.dcm"
