"""NM whole-body objects: counts and a header in, a valid DICOM object out.

Used for simulated scans, and for the tests of everything that reads scans. The attributes follow
PS3.3 A.5 (Nuclear Medicine Image IOD) and C.8.4; `dciodvfy` finds no error in what is made here.
"""

from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag
from pydicom.uid import UID, ExplicitVRLittleEndian, NuclearMedicineImageStorage

from scintiflow.dicom.codes import (
    FEETFIRST,
    HEADFIRST,
    INTRAVENOUS,
    MEDRONATE,
    RECUMBENT,
    SUPINE,
    TECHNETIUM_99M,
    VIEW_CODES,
    VIEW_ORIENTATION,
    Code,
)
from scintiflow.files import whole_file

IMPLEMENTATION_CLASS_UID = "2.25.309845233771482063116206436912548520331"
IMPLEMENTATION_VERSION = "SCINTIFLOW_1"
FRAME_INCREMENT_POINTER = [Tag(0x0054, 0x0010), Tag(0x0054, 0x0020)]  # energy window vector, detector vector


@dataclass(frozen=True, kw_only=True)
class WholeBodyHeader:
    """What an NM whole-body object says about itself. Lengths mm, velocity mm/s, times ms, weight kg."""

    patient_id: str
    patient_name: str
    birth_date: str  # YYYYMMDD or ''
    sex: str  # M, F, O or ''
    age: str  # '009Y', '018M' or ''
    size_m: float | None
    weight_kg: float | None
    study_uid: str
    series_uid: str
    instance_uid: str
    frame_of_reference_uid: str
    acquired: datetime  # start of the scan, hospital's wall clock
    study_description: str
    series_description: str
    series_number: int
    manufacturer: str
    model: str
    institution: str
    spacing_mm: float
    velocity_mm_s: float
    scan_length_mm: float
    frame_duration_ms: int
    image_type: tuple[str, ...] = ("ORIGINAL", "PRIMARY", "WHOLE BODY", "EMISSION")
    views: tuple[str, ...] = ("anterior", "posterior")
    head_first: bool = True  # into the gantry; row 0 is the head end either way, as ImageOrientationPatient says
    software: str = "1"
    collimator: str = "PARA"
    energy_window_kev: tuple[float, float] = (126.0, 154.0)
    radiopharmaceutical: str = "99mTc-MDP"
    accession_number: str = ""
    referring_physician: str = ""
    instance_number: int = 1


def whole_body_object(counts: np.ndarray, header: WholeBodyHeader) -> Dataset:
    """An NM whole-body object: one frame for each view.

    Args:
        counts: uint16 `[view, row, column]`, row 0 at the head end, each view as the camera sees it.
        header: what stands in the header; `len(header.views)` must be the number of views in `counts`.

    Returns:
        A Dataset with file meta, Explicit VR Little Endian. CountsAccumulated is the sum of all frames.
    """
    if counts.ndim != 3 or counts.dtype != np.uint16:
        raise ValueError(f"counts must be uint16 [view, row, column], got {counts.dtype} {counts.shape}")
    if counts.shape[0] != len(header.views):
        raise ValueError(f"{counts.shape[0]} views of counts, but the header names {len(header.views)}")
    image = Dataset()
    image.file_meta = file_meta(NuclearMedicineImageStorage, header.instance_uid)
    _write_patient_and_study(image, header)
    _write_series_and_equipment(image, header)
    _write_acquisition(image, header)
    _write_isotope_and_detectors(image, header)
    write_pixels(image, counts)
    image.CountsAccumulated = str(int(counts.sum(dtype=np.int64)))
    return image


def object_bytes(dataset: Dataset) -> bytes:
    """A Part 10 file as bytes; equal datasets give equal bytes."""
    target = BytesIO()
    dataset.save_as(target, enforce_file_format=True)
    return target.getvalue()


def save_object(path: Path, dataset: Dataset) -> None:
    """Write a Part 10 file, whole or not at all; equal datasets give equal bytes."""
    with whole_file(path) as partial:
        dataset.save_as(partial, enforce_file_format=True)


def file_meta(sop_class_uid: str, instance_uid: str) -> FileMetaDataset:
    """File meta information of an Explicit VR Little Endian object written by this product."""
    meta = FileMetaDataset()
    for keyword, value in meta_attributes(sop_class_uid, instance_uid).items():
        setattr(meta, keyword, value)
    return meta


def meta_attributes(sop_class_uid: str, instance_uid: str) -> dict[str, Any]:
    """What `file_meta` says, by keyword."""
    return {
        "FileMetaInformationVersion": b"\x00\x01",
        "MediaStorageSOPClassUID": UID(sop_class_uid),
        "MediaStorageSOPInstanceUID": UID(instance_uid),
        "TransferSyntaxUID": ExplicitVRLittleEndian,
        "ImplementationClassUID": UID(IMPLEMENTATION_CLASS_UID),
        "ImplementationVersionName": IMPLEMENTATION_VERSION,
    }


def write_pixels(image: Dataset, counts: np.ndarray) -> None:
    """Put uint16 `[frame, row, column]` into `image` as little-endian native pixels."""
    for keyword, value in pixel_attributes(counts).items():
        setattr(image, keyword, bytes(value) if isinstance(value, memoryview) else value)
    image["SmallestImagePixelValue"].VR = image["LargestImagePixelValue"].VR = "US"
    image["PixelData"].VR = "OW"


def pixel_attributes(counts: np.ndarray) -> dict[str, Any]:
    """What `write_pixels` says, by keyword; the pixels as a view of `counts` where they need no copy."""
    frames, rows, columns = counts.shape
    return {
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "NumberOfFrames": frames,
        "FrameIncrementPointer": FRAME_INCREMENT_POINTER,
        "Rows": rows,
        "Columns": columns,
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": 0,
        "SmallestImagePixelValue": int(counts.min()),
        "LargestImagePixelValue": int(counts.max()),
        "PixelData": np.ascontiguousarray(counts, dtype="<u2").data.cast("B"),
    }


def code_item(code: Code) -> Dataset:
    """One item of a code sequence (PS3.3 8.8)."""
    item = Dataset()
    for keyword, value in code_attributes(code).items():
        setattr(item, keyword, value)
    return item


def code_attributes(code: Code) -> dict[str, Any]:
    """What `code_item` says, by keyword."""
    return {"CodeValue": code.value, "CodingSchemeDesignator": code.scheme, "CodeMeaning": code.meaning}


def decimal(value: float) -> str:
    """A number as DICOM decimal string: at most 16 characters."""
    return f"{value:.8g}"


def _write_patient_and_study(image: Dataset, header: WholeBodyHeader) -> None:
    image.SpecificCharacterSet = "ISO_IR 192"
    image.PatientName, image.PatientID = header.patient_name, header.patient_id
    image.PatientBirthDate, image.PatientSex = header.birth_date, header.sex
    if header.age:
        image.PatientAge = header.age
    image.PatientSize = "" if header.size_m is None else decimal(header.size_m)
    image.PatientWeight = "" if header.weight_kg is None else decimal(header.weight_kg)
    image.StudyInstanceUID = header.study_uid
    image.StudyDate, image.StudyTime = _date(header.acquired), _time(header.acquired)
    image.StudyID = "1"
    image.AccessionNumber = header.accession_number
    image.ReferringPhysicianName = header.referring_physician
    image.StudyDescription = header.study_description


def _write_series_and_equipment(image: Dataset, header: WholeBodyHeader) -> None:
    image.SOPClassUID, image.SOPInstanceUID = NuclearMedicineImageStorage, header.instance_uid
    image.Modality = "NM"
    image.SeriesInstanceUID, image.SeriesNumber = header.series_uid, header.series_number
    image.SeriesDescription = header.series_description
    image.SeriesDate, image.SeriesTime = _date(header.acquired), _time(header.acquired)
    image.BodyPartExamined = "WHOLEBODY"
    image.FrameOfReferenceUID, image.PositionReferenceIndicator = header.frame_of_reference_uid, ""
    image.Manufacturer, image.ManufacturerModelName = header.manufacturer, header.model
    image.InstitutionName, image.SoftwareVersions = header.institution, header.software


def _write_acquisition(image: Dataset, header: WholeBodyHeader) -> None:
    image.InstanceNumber = header.instance_number
    image.ImageType = list(header.image_type)
    image.ContentDate, image.ContentTime = _date(header.acquired), _time(header.acquired)
    image.AcquisitionDate, image.AcquisitionTime = _date(header.acquired), _time(header.acquired)
    image.LossyImageCompression = "00"
    image.PixelSpacing = [decimal(header.spacing_mm)] * 2
    image.ActualFrameDuration = header.frame_duration_ms
    image.ScanVelocity = decimal(header.velocity_mm_s)
    image.ScanLength = round(header.scan_length_mm)
    image.WholeBodyTechnique = "1PS"
    image.AcquisitionTerminationCondition = "TIME"


def _write_isotope_and_detectors(image: Dataset, header: WholeBodyHeader) -> None:
    frames = len(header.views)
    image.EnergyWindowVector, image.NumberOfEnergyWindows = [1] * frames, 1
    image.DetectorVector, image.NumberOfDetectors = list(range(1, frames + 1)), frames
    image.EnergyWindowInformationSequence = Sequence([_energy_window(header)])
    image.RadiopharmaceuticalInformationSequence = Sequence([_radiopharmaceutical(header)])
    image.DetectorInformationSequence = Sequence([_detector(header, view) for view in header.views])
    image.PatientOrientationCodeSequence = Sequence([code_item(RECUMBENT)])
    image.PatientOrientationCodeSequence[0].PatientOrientationModifierCodeSequence = Sequence([code_item(SUPINE)])
    image.PatientGantryRelationshipCodeSequence = Sequence([code_item(HEADFIRST if header.head_first else FEETFIRST)])


def _energy_window(header: WholeBodyHeader) -> Dataset:
    limits, window = Dataset(), Dataset()
    limits.EnergyWindowLowerLimit, limits.EnergyWindowUpperLimit = (decimal(k) for k in header.energy_window_kev)
    window.EnergyWindowName = "Tc99m"
    window.EnergyWindowRangeSequence = Sequence([limits])
    return window


def _radiopharmaceutical(header: WholeBodyHeader) -> Dataset:
    item = Dataset()
    item.Radiopharmaceutical = header.radiopharmaceutical
    item.RadiopharmaceuticalStartTime = ""
    item.RadionuclideCodeSequence = Sequence([code_item(TECHNETIUM_99M)])
    item.RadiopharmaceuticalCodeSequence = Sequence([code_item(MEDRONATE)])
    item.AdministrationRouteCodeSequence = Sequence([code_item(INTRAVENOUS)])
    return item


def _detector(header: WholeBodyHeader, view: str) -> Dataset:
    item = Dataset()
    item.CollimatorType = header.collimator
    item.StartAngle = "180" if view == "anterior" else "0"  # zero is at the patient's back (PS3.3 C.8.4.11)
    item.ImageOrientationPatient = [decimal(cosine) for cosine in VIEW_ORIENTATION[view]]
    item.ImagePositionPatient = ["0", "0", "0"]
    item.ViewCodeSequence = Sequence([code_item(VIEW_CODES[view])])
    return item


def _date(moment: datetime) -> str:
    return moment.strftime("%Y%m%d")


def _time(moment: datetime) -> str:
    return moment.strftime("%H%M%S") + (f".{moment.microsecond:06d}" if moment.microsecond else "")
