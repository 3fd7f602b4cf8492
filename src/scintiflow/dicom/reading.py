"""One DICOM object in, one `Scan` out, or a `Rejection` that says why not."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from pydicom.charset import python_encoding
from pydicom.tag import Tag
from pydicom.uid import UID, NuclearMedicineImageStorage, SecondaryCaptureImageStorage

from scintiflow.dicom import header
from scintiflow.dicom.attributes import Attributes
from scintiflow.dicom.opening import Opened, parse, read_regular_file, untrusted
from scintiflow.dicom.pixels import check_transfer_syntax, decode_frames, frame_sums, may_have_lost
from scintiflow.dicom.reasons import Notice, Reason, Rejection
from scintiflow.dicom.scan import BOTH_VIEWS, Scan
from scintiflow.dicom.views import find_views, photopeak_frames, turned

FIRST_OF_IMAGE = Tag("Rows")


def read_scan(path: Path, stated_velocity_mm_s: float | None = None) -> Scan:
    """Read a whole-body scan, see `scan_of`. Raises Rejection with a reason code for anything else."""
    scan = scan_of(Opened(parse(read_regular_file(path)), ""), stated_velocity_mm_s=stated_velocity_mm_s)
    return scan if scan.counts.flags.writeable else replace(scan, counts=scan.counts.copy())


def scan_of(
    opened: Opened, overruled: frozenset[Reason] = frozenset(), stated_velocity_mm_s: float | None = None
) -> Scan:
    """The scan in a parsed file; its counts may be read-only.

    `stated_velocity_mm_s` is the table's where the header gives none; the scan's warnings say so.
    Raises Rejection; not for a reason that a named person has `overruled`.
    """
    with untrusted():
        return _scan(opened.attributes, overruled, stated_velocity_mm_s)


def _scan(dataset: Attributes, overruled: frozenset[Reason], stated_mm_s: float | None) -> Scan:
    warnings: set[str] = {Notice.OVERRULED.name} if overruled else set()
    _check_kind(dataset, warnings)
    _check_uids(dataset)
    check_transfer_syntax(dataset)
    patient_id = header.text(dataset, "PatientID")
    if not patient_id:
        raise Rejection(Reason.NO_PATIENT_ID)
    spacing = header.pixel_spacing(dataset)
    trusted = Reason.VELOCITY_CONFLICT in overruled
    velocity, inferred = header.table_velocity(dataset, warnings, trusted, stated_mm_s)
    acquired = header.acquired(dataset, warnings)
    header.check_radionuclide(dataset)
    all_counts = decode_frames(dataset)
    sums = frame_sums(all_counts)
    _check_count_sum(dataset, sum(sums), warnings, Reason.DERIVED_INPUT in overruled)
    frames, counts, views = _oriented_views(dataset, all_counts, warnings)
    counts_per_view = tuple(sums[frame] for frame in frames)
    if 0 in counts_per_view:
        raise Rejection(Reason.EMPTY_IMAGE)
    size, weight = header.size_and_weight(dataset)
    return Scan(
        counts=counts,
        counts_per_view=counts_per_view,
        views=views,
        spacing_mm=spacing,
        velocity_mm_s=velocity,
        velocity_inferred=inferred,
        acquired=acquired,
        duration_s=header.duration_s(dataset),
        patient_id=patient_id,
        issuer=header.text(dataset, "IssuerOfPatientID"),
        study_uid=str(dataset.get("StudyInstanceUID")),
        series_uid=str(dataset.get("SeriesInstanceUID")),
        instance_uid=str(dataset.get("SOPInstanceUID")),
        age_years=header.age_years(dataset, acquired, warnings),
        sex=sex if (sex := header.text(dataset, "PatientSex")) in ("M", "F", "O") else "",
        size_m=size,
        weight_kg=weight,
        scanner=header.scanner(dataset),
        identity_removed=header.text(dataset, "PatientIdentityRemoved") == "YES",
        warnings=tuple(sorted(warnings)),
    )


def _check_kind(dataset: Attributes, warnings: set[str]) -> None:
    images = (NuclearMedicineImageStorage, SecondaryCaptureImageStorage)
    if dataset.get("SOPClassUID") in images and max(dataset.tags()) < FIRST_OF_IMAGE:
        raise Rejection(Reason.TRUNCATED, "the header ends before the image")
    if header.text(dataset, "Modality") != "NM":
        raise Rejection(Reason.WRONG_MODALITY)
    if dataset.get("SOPClassUID") == SecondaryCaptureImageStorage:
        warnings.add(Notice.SOPCLASS_SC.name)
    elif dataset.get("SOPClassUID") != NuclearMedicineImageStorage:
        raise Rejection(Reason.WRONG_MODALITY, "SOP class")
    kinds = [str(value).replace("_", " ").upper() for value in _values(dataset, "ImageType")]
    if "WHOLE BODY" not in kinds[2:3] or "EMISSION" not in (*kinds[3:4], *(() if kinds[3:4] else ("EMISSION",))):
        raise Rejection(Reason.WRONG_IMAGE_TYPE)
    if header.text(dataset, "BurnedInAnnotation").upper() == "YES":
        raise Rejection(Reason.BURNED_IN)
    slope, intercept = header.number(dataset, "RescaleSlope"), header.number(dataset, "RescaleIntercept")
    if slope not in (None, 1.0) or intercept not in (None, 0.0):
        raise Rejection(Reason.RESCALE_PRESENT)
    if dataset.get("RealWorldValueMappingSequence"):
        raise Rejection(Reason.DERIVED_INPUT, "real-world value mapping")
    charset = [value for value in _values(dataset, "SpecificCharacterSet") if value]
    if any(str(value) not in python_encoding for value in charset):
        warnings.add(Notice.CHARSET.name)


def _check_uids(dataset: Attributes) -> None:
    for keyword in ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"):
        value = dataset.get(keyword)
        if not value or not UID(str(value)).is_valid:
            raise Rejection(Reason.UID_INVALID, keyword)
    for in_meta, in_object in (
        ("MediaStorageSOPInstanceUID", "SOPInstanceUID"),
        ("MediaStorageSOPClassUID", "SOPClassUID"),
    ):
        named = dataset.file_meta.get(in_meta)
        if named and named != dataset.get(in_object):
            raise Rejection(Reason.UID_MISMATCH, in_object)


def _check_count_sum(dataset: Attributes, counted: int, warnings: set[str], trusted: bool) -> None:
    """A derived or possibly lossy image is believed only if CountsAccumulated is the sum of its pixels."""
    stated = header.number(dataset, "CountsAccumulated")
    intact = stated is not None and int(stated) == counted
    if may_have_lost(dataset) and not intact:
        raise Rejection(Reason.LOSSY, "reversibility not shown")
    if str(_values(dataset, "ImageType")[0]).upper() != "ORIGINAL":
        if not intact and not trusted:
            raise Rejection(Reason.DERIVED_INPUT)
        warnings.add(Notice.DERIVED_LOSSLESS.name)
    if stated and not intact:
        warnings.add(Notice.COUNTS_MISMATCH.name)


def _oriented_views(
    dataset: Attributes, all_counts: np.ndarray, warnings: set[str]
) -> tuple[list[int], np.ndarray, tuple[str, ...]]:
    """Frames in the order anterior, posterior; their counts, head end first; views, () if not all are known."""
    frames = photopeak_frames(dataset, len(all_counts), warnings)
    views = dict(zip(frames, find_views(dataset, frames, len(all_counts), warnings), strict=True))
    known = tuple(view for view in views.values() if view)
    if len(known) == len(views):
        frames = sorted(frames, key=lambda frame: BOTH_VIEWS.index(str(views[frame])))
        known = tuple(str(views[frame]) for frame in frames)
    flips = [turned(dataset, frame, len(all_counts), views[frame]) for frame in frames]
    if any(rows or columns for rows, columns in flips):
        warnings.add(Notice.ORIENTATION_CHANGED.name)
    elif frames == list(range(len(all_counts))):  # nothing to move: no copy
        return frames, all_counts, known if len(known) == len(views) else ()
    upright = [
        all_counts[frame][:: -1 if rows else 1, :: -1 if columns else 1]
        for frame, (rows, columns) in zip(frames, flips, strict=True)
    ]
    return frames, np.stack(upright), known if len(known) == len(views) else ()


def _values(dataset: Attributes, keyword: str) -> list:
    value = dataset.get(keyword)
    if value is None:
        return []
    return [value] if isinstance(value, str) else list(value)
