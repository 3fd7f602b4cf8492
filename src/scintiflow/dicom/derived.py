"""Restored scans out: a derived NM object that says plainly what it is and where it comes from.

Stored values are integers; RealWorldValueMappingSequence (PS3.3 C.7.6.16.2.11) turns them into
estimated counts of the standard scan with a slope that is a power of two. Half a step is the error:
below 0.001 counts as long as no pixel has more than 127 counts, and never above 1/65000 of the largest
value. No 16-bit scale can do better: 0.002 x 65536 is 131. Nuclear medicine images have 8 or 16 bits
(PS3.3 C.8.4.8), and dciodvfy does not even read one of 32. There is never a RescaleSlope, which NM
viewers would apply or ignore at will.
"""

import copy
import hashlib
import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import NuclearMedicineImageStorage

from scintiflow.dicom.codes import (
    COUNTS_UNIT,
    PROCESSING_EQUIPMENT,
    RESTORATION,
    SOURCE_IMAGE,
    TECHNETIUM_99M,
    VIEW_CODES,
    VIEW_ORIENTATION,
)
from scintiflow.dicom.header import CM_MIN_PER_MM_S
from scintiflow.dicom.opening import open_object, silenced
from scintiflow.dicom.pixels import decode_frames
from scintiflow.dicom.reading import scan_of
from scintiflow.dicom.scan import Scan
from scintiflow.dicom.whole_body import code_item, decimal, file_meta, write_pixels

SERIES_DESCRIPTION = "RESTORED (processed, not acquired)"
MARKED_DESCRIPTION = "RESTORED, CONTRADICTS ITS COUNTS: DO NOT READ"
FINEST_SLOPE = 2.0**-11  # half a step is an error of 0.00025 counts
LARGEST_STORED = 2**16 - 1
PATIENT_AND_STUDY = (
    "PatientName PatientID IssuerOfPatientID PatientBirthDate PatientSex PatientAge PatientSize PatientWeight "
    "PatientIdentityRemoved DeidentificationMethod DeidentificationMethodCodeSequence "
    "LongitudinalTemporalInformationModified StudyInstanceUID StudyID StudyDate StudyTime StudyDescription "
    "AccessionNumber ReferringPhysicianName FrameOfReferenceUID PositionReferenceIndicator SpecificCharacterSet "
    "Manufacturer ManufacturerModelName InstitutionName DeviceSerialNumber SoftwareVersions "
    "AcquisitionDate AcquisitionTime ContentDate ContentTime ActualFrameDuration ScanVelocity ScanLength "
    "WholeBodyTechnique AcquisitionTerminationCondition CorrectedImage"
)
EMPTY_IF_MISSING = (
    "PatientName PatientID PatientBirthDate PatientSex StudyID StudyDate StudyTime AccessionNumber "
    "ReferringPhysicianName Manufacturer PositionReferenceIndicator ScanVelocity ScanLength WholeBodyTechnique"
)


@dataclass(frozen=True)
class ModelIdentity:
    """The model that restored the scan; `checkpoint_sha256` in hex."""

    name: str
    version: str
    checkpoint_sha256: str


def restored_object(
    source: Path,
    restored: np.ndarray,
    model: ModelIdentity,
    derivation: str,
    objections: tuple[str, ...] = (),
    stated_velocity_mm_s: float | None = None,
) -> Dataset:
    """The restored scan as a new object of the same study and frame of reference.

    Args:
        source: DICOM file of the rapid scan.
        restored: float estimated counts of the STANDARD scan, `[view, row, column]`, oriented and ordered
            as `read_scan(source).counts`.
        derivation: one sentence for DerivationDescription.
        objections: why the image must not be believed. Then it is marked where viewers show it, in SeriesDescription
            and ImageComments, and in a series of its own.
        stated_velocity_mm_s: see `scan_of`; ScanVelocity stays as the source has it.

    Returns:
        Image type DERIVED\\PRIMARY\\WHOLE BODY\\EMISSION; equal inputs give equal objects, UIDs included.
        Raises Rejection if the source is no scan, ValueError if the shapes differ or counts are not finite.
    """
    opened = open_object(source)
    scan = scan_of(opened, stated_velocity_mm_s=stated_velocity_mm_s)
    if restored.shape != scan.counts.shape:
        raise ValueError(f"restored {restored.shape} and source {scan.counts.shape} differ in shape")
    if not np.isfinite(restored).all() or restored.min() < 0:
        raise ValueError("restored counts must be finite and not negative")
    result = Dataset()
    with silenced():
        _copy_patient_and_study(result, opened.dataset)
        _write_new_identity(result, scan, restored, model, objections)
        _write_kind(result, scan, model, derivation, objections)
        _write_references(result, opened.dataset, scan, model)
        _write_frames(result, scan)
        _write_counts(result, restored)
    return result


def restored_counts(dataset: Dataset) -> np.ndarray:
    """Estimated counts, float64 `[view, row, column]`, of an object made by `restored_object`."""
    mapping = dataset.RealWorldValueMappingSequence[0]
    stored = decode_frames(dataset)
    return stored * float(mapping.RealWorldValueSlope) + float(mapping.RealWorldValueIntercept)


def _copy_patient_and_study(result: Dataset, source: Dataset) -> None:
    for keyword in PATIENT_AND_STUDY.split():
        if keyword in source:
            result.add(copy.deepcopy(source[keyword]))
        elif keyword in EMPTY_IF_MISSING.split():
            setattr(result, keyword, "")


def stated_count_ratio(dataset: Dataset) -> float | None:
    """k as DerivationDescription states it, to three decimals; None where it does not."""
    found = re.search(r"\bk = (\d+\.\d+)", str(dataset.get("DerivationDescription", "")))
    return float(found[1]) if found else None


def velocity_statement(velocity_mm_s: float) -> str:
    """For DerivationDescription, where a person stated the velocity that the source does not give."""
    return f"The source gives no velocity; {velocity_mm_s * CM_MIN_PER_MM_S:.1f} cm/min was stated by a person"


def stated_velocity_mm_s(dataset: Dataset) -> float | None:
    """What `velocity_statement` said, to a tenth of a cm/min; None where it said nothing."""
    found = re.search(r"(\d+\.\d) cm/min was stated", str(dataset.get("DerivationDescription", "")))
    return float(found[1]) / CM_MIN_PER_MM_S if found else None


def is_marked(dataset: Dataset) -> bool:
    """Whether an object made by `restored_object` says that its counts contradict it."""
    return str(dataset.get("SeriesDescription", "")) == MARKED_DESCRIPTION


def _write_new_identity(
    result: Dataset, scan: Scan, restored: np.ndarray, model: ModelIdentity, objections: tuple[str, ...]
) -> None:
    content = hashlib.sha256(np.ascontiguousarray(restored, dtype="<f8").tobytes()).hexdigest()
    made_by = "\0".join((model.name, model.version, model.checkpoint_sha256, *objections))
    result.SeriesInstanceUID = _uid("series", scan.series_uid, made_by)
    result.SOPClassUID = NuclearMedicineImageStorage
    result.SOPInstanceUID = _uid("instance", scan.instance_uid, f"{made_by}\0{content}")
    result.file_meta = file_meta(NuclearMedicineImageStorage, result.SOPInstanceUID)
    if "FrameOfReferenceUID" not in result:
        result.FrameOfReferenceUID = _uid("frame", scan.series_uid, "")


def _write_kind(
    result: Dataset, scan: Scan, model: ModelIdentity, derivation: str, objections: tuple[str, ...]
) -> None:
    result.Modality, result.BodyPartExamined = "NM", "WHOLEBODY"
    result.ImageType = ["DERIVED", "PRIMARY", "WHOLE BODY", "EMISSION"]
    result.SeriesDescription = MARKED_DESCRIPTION if objections else SERIES_DESCRIPTION
    result.SeriesNumber, result.InstanceNumber = 9002 if objections else 9001, 1
    warning = (
        f"DO NOT READ. The measured counts contradict this image: {'; '.join(objections)}. " if objections else ""
    )
    result.ImageComments = f"{warning}Processed image: estimated by {model.name} {model.version}. Not an acquisition."
    result.BurnedInAnnotation, result.LossyImageCompression = "NO", "00"
    result.PixelSpacing = [decimal(scan.spacing_mm)] * 2
    result.DerivationDescription = derivation[:1024]
    result.DerivationCodeSequence = Sequence([code_item(RESTORATION)])


def _write_references(result: Dataset, source: Dataset, scan: Scan, model: ModelIdentity) -> None:
    reference = Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = source.SOPClassUID, scan.instance_uid
    reference.PurposeOfReferenceCodeSequence = Sequence([code_item(SOURCE_IMAGE)])
    result.SourceImageSequence = Sequence([reference])
    equipment = Dataset()
    equipment.PurposeOfReferenceCodeSequence = Sequence([code_item(PROCESSING_EQUIPMENT)])
    equipment.Manufacturer, equipment.ManufacturerModelName = "scintiflow", model.name[:64]
    equipment.SoftwareVersions = model.version[:64]
    equipment.ContributionDescription = f"Restoration; checkpoint SHA-256 {model.checkpoint_sha256}"
    result.ContributingEquipmentSequence = Sequence([equipment])


def _write_frames(result: Dataset, scan: Scan) -> None:
    frames = len(scan.counts)
    result.EnergyWindowVector, result.NumberOfEnergyWindows = [1] * frames, 1
    result.DetectorVector, result.NumberOfDetectors = list(range(1, frames + 1)), frames
    dose = Dataset()
    dose.RadionuclideCodeSequence = Sequence([code_item(TECHNETIUM_99M)])
    result.EnergyWindowInformationSequence = Sequence()
    result.RadiopharmaceuticalInformationSequence = Sequence([dose])
    result.DetectorInformationSequence = Sequence([_detector(scan.views, frame) for frame in range(frames)])
    result.PatientOrientationCodeSequence = Sequence()
    result.PatientGantryRelationshipCodeSequence = Sequence()


def _detector(views: tuple[str, ...], frame: int) -> Dataset:
    item = Dataset()
    item.CollimatorType = item.ImageOrientationPatient = item.ImagePositionPatient = ""
    if views:
        item.ImageOrientationPatient = [decimal(cosine) for cosine in VIEW_ORIENTATION[views[frame]]]
        item.ImagePositionPatient = ["0", "0", "0"]
        item.ViewCodeSequence = Sequence([code_item(VIEW_CODES[views[frame]])])
    return item


def _write_counts(result: Dataset, restored: np.ndarray) -> None:
    slope = max(FINEST_SLOPE, 2.0 ** math.ceil(math.log2(max(float(restored.max()), 1e-9) / (LARGEST_STORED - 1))))
    write_pixels(result, np.rint(restored / slope).astype(np.uint16))
    result.CountsAccumulated = str(round(float(restored.sum())))
    mapping = Dataset()
    mapping.RealWorldValueFirstValueMapped, mapping.RealWorldValueLastValueMapped = 0, LARGEST_STORED
    for keyword in ("RealWorldValueFirstValueMapped", "RealWorldValueLastValueMapped"):
        mapping[keyword].VR = "US"
    mapping.RealWorldValueIntercept, mapping.RealWorldValueSlope = 0.0, slope
    mapping.LUTExplanation, mapping.LUTLabel = "Estimated counts of the standard scan", "COUNTS"
    mapping.MeasurementUnitsCodeSequence = Sequence([code_item(COUNTS_UNIT)])
    result.RealWorldValueMappingSequence = Sequence([mapping])


def _uid(kind: str, *parts: str) -> str:
    digest = hashlib.sha256("\0".join(("scintiflow/restored", kind, *parts)).encode()).digest()
    return f"2.25.{int.from_bytes(digest[:16], 'big')}"
