"""A scan out of which nobody can be named: PS3.15 Basic Profile, then our allow-list, then a byte scan.

The Basic Profile alone leaves identifiers (image IDs, overlay text, unknown groups), so the output is
built anew: measured numbers that the allow-list admits, values that `read_scan` has understood, and
fixed texts. Options of PS3.15 Table E.1-1: clean descriptors, modified dates, patient characteristics.
"""

from datetime import datetime
from functools import cache
from importlib.metadata import version

from dicomanonymizer import simpledicomanonymizer
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import NuclearMedicineImageStorage

from scintiflow.dicom import header
from scintiflow.dicom.allowlist import pruned
from scintiflow.dicom.codes import DEIDENTIFICATION_METHODS, TECHNETIUM_99M, VIEW_CODES, VIEW_ORIENTATION, Code
from scintiflow.dicom.encoding import encoded
from scintiflow.dicom.identity import IdentityKey
from scintiflow.dicom.leaks import refuse_identifiers
from scintiflow.dicom.opening import Opened, parse, silenced
from scintiflow.dicom.reasons import Reason, Rejection
from scintiflow.dicom.scan import Scan
from scintiflow.dicom.views import holds_photopeak
from scintiflow.dicom.whole_body import code_item, decimal, file_meta, write_pixels

STUDY_DESCRIPTION, SERIES_DESCRIPTION = "Whole-body bone scan", "Whole body"
METHOD = [f"Basic Profile, dicom-anonymizer {version('dicom-anonymizer')}", "scintiflow allow-list 1"]


def deidentified(opened: Opened, scan: Scan, key: IdentityKey, overruled: frozenset[Reason] = frozenset()) -> Dataset:
    """The scan as a de-identified object; see `deidentified_file`."""
    return parse(deidentified_file(opened, scan, key, overruled))


def deidentified_file(
    opened: Opened, scan: Scan, key: IdentityKey, overruled: frozenset[Reason] = frozenset()
) -> bytes:
    """The scan as a de-identified Part 10 file, Explicit VR Little Endian, counts exact, row 0 at the head end.

    `scan` is what `scan_of(opened, overruled)` returned. Raises Rejection DEIDENTIFICATION_FAILED if the
    profile cannot be applied or an identifier of the source is found in the output.
    """
    with silenced():
        try:
            result = _built(opened.dataset, scan, key, overruled)
            written = encoded(result)
            refuse_identifiers(opened.dataset, written[: -len(result.PixelData)])  # pixels come last
        except Rejection:
            raise
        except Exception as error:  # the profile meets whatever vendors write; messages may quote it
            raise Rejection(Reason.DEIDENTIFICATION_FAILED, type(error).__name__) from None
    return written


def _built(source: Dataset, scan: Scan, key: IdentityKey, overruled: frozenset[Reason]) -> Dataset:
    result = pruned(_basic_profile(source))
    if Reason.VELOCITY_CONFLICT in overruled:  # the length that a person declared wrong is not passed on
        result.pop("ScanLength", None)
    patient = key.patient(scan.issuer, scan.patient_id)
    _write_identity(result, source, scan, key, patient)
    _write_times(result, source, scan, key, patient)
    _write_kind(result, source, scan)
    _write_frames(result, scan, header.names_radionuclide(source))
    return result


def age_string(years: float) -> str:
    """PS3.5 age string: weeks below two years, months below eighty, then years."""
    if years < 2:
        return f"{int(years * header.AGE_UNITS_PER_YEAR['W'] + 1e-6):03d}W"
    return f"{int(years * 12 + 1e-6):03d}M" if years < 80 else f"{int(years):03d}Y"


@cache
def _profile_rules() -> dict:
    """Table E.1-1; reading it takes longer than applying it."""
    return simpledicomanonymizer.initialize_actions_2024b()


def _concerns(tag: tuple[int, ...], present: set[tuple[int, int]]) -> bool:
    """Whether a rule for `tag`, or for a range (group, element, group mask, element mask), meets what is present."""
    if len(tag) == 2:
        return tag in present
    group, element, groups, elements = tag
    return any(one & groups == group & groups and two & elements == element & elements for one, two in present)


@cache
def _coded(*codes: Code) -> tuple[Dataset, ...]:
    """Items of a code sequence, made once: they are the same in every object, and are only ever written."""
    return tuple(code_item(code) for code in codes)


def _basic_profile(source: Dataset) -> Dataset:
    """A copy of what the allow-list may keep, after the Basic Application Level Confidentiality Profile.

    The profile treats each attribute by itself, so applying it to the others, which go anyway, changes nothing.
    """
    profiled = pruned(source)
    present = {(element.tag.group, element.tag.element) for element in profiled.iterall()}
    rules = {tag: action for tag, action in _profile_rules().items() if _concerns(tag, present)}
    simpledicomanonymizer.anonymize_dataset(profiled, base_rules_gen=lambda: rules)
    simpledicomanonymizer.dictionary.clear()  # it remembers every UID of the process
    return profiled


def _write_identity(result: Dataset, source: Dataset, scan: Scan, key: IdentityKey, patient: str) -> None:
    result.PatientID = result.PatientName = patient
    result.PatientBirthDate = ""
    result.PatientSex = scan.sex
    if scan.age_years is not None:
        result.PatientAge = age_string(scan.age_years)
    result.PatientSize = "" if scan.size_m is None else decimal(scan.size_m)
    result.PatientWeight = "" if scan.weight_kg is None else decimal(scan.weight_kg)
    result.StudyInstanceUID, result.SeriesInstanceUID = key.uid(scan.study_uid), key.uid(scan.series_uid)
    result.SOPClassUID, result.SOPInstanceUID = source.SOPClassUID, key.uid(scan.instance_uid)
    result.file_meta = file_meta(source.SOPClassUID, result.SOPInstanceUID)
    frame_of_reference = header.text(source, "FrameOfReferenceUID")
    result.FrameOfReferenceUID = key.uid(frame_of_reference or scan.series_uid)
    result.PositionReferenceIndicator = ""
    result.StudyID, result.AccessionNumber, result.ReferringPhysicianName = "1", "", ""
    result.PatientIdentityRemoved, result.LongitudinalTemporalInformationModified = "YES", "MODIFIED"
    result.DeidentificationMethod = METHOD
    result.DeidentificationMethodCodeSequence = Sequence(_coded(*DEIDENTIFICATION_METHODS))
    result.BurnedInAnnotation = "NO"


def _write_times(result: Dataset, source: Dataset, scan: Scan, key: IdentityKey, patient: str) -> None:
    shift = key.shift(patient)
    moved = scan.acquired - shift
    study_day = header.parse_date(header.text(source, "StudyDate"), set())
    study = moved if study_day is None else datetime.combine(study_day, scan.acquired.time()) - shift
    result.StudyDate, result.StudyTime = study.strftime("%Y%m%d"), "000000"
    for kind in ("Series", "Acquisition", "Content"):
        setattr(result, f"{kind}Date", moved.strftime("%Y%m%d"))
        setattr(result, f"{kind}Time", moved.strftime("%H%M%S.%f"))


def _write_kind(result: Dataset, source: Dataset, scan: Scan) -> None:
    derived = str(source.ImageType[0]).upper() != "ORIGINAL"
    result.ImageType = ["DERIVED" if derived else "ORIGINAL", "PRIMARY", "WHOLE BODY", "EMISSION"]
    result.Modality, result.BodyPartExamined = "NM", "WHOLEBODY"
    if source.SOPClassUID != NuclearMedicineImageStorage:
        result.ConversionType, result.PatientOrientation = "WSD", ""
    result.StudyDescription, result.SeriesDescription = STUDY_DESCRIPTION, SERIES_DESCRIPTION
    result.SeriesNumber, result.InstanceNumber = 1, 1
    maker, _, model = scan.scanner.partition(" ")
    result.Manufacturer, result.ManufacturerModelName = maker, model
    result.LossyImageCompression = "00"
    result.PixelSpacing = [decimal(scan.spacing_mm)] * 2
    result.ScanVelocity = "" if scan.velocity_inferred else decimal(scan.velocity_mm_s)


def _write_frames(result: Dataset, scan: Scan, technetium: bool) -> None:
    """Frames in the order of `scan.views`, one energy window, one detector for each frame."""
    frames = len(scan.counts)
    write_pixels(result, scan.counts)
    result.CountsAccumulated = str(sum(scan.counts_per_view))
    result.EnergyWindowVector, result.NumberOfEnergyWindows = [1] * frames, 1
    result.DetectorVector, result.NumberOfDetectors = list(range(1, frames + 1)), frames
    windows = [item for item in result.get("EnergyWindowInformationSequence") or [] if holds_photopeak(item)]
    result.EnergyWindowInformationSequence = Sequence(windows[:1])
    doses = list(result.get("RadiopharmaceuticalInformationSequence") or [])[:1] or [Dataset()]
    doses[0].RadionuclideCodeSequence = Sequence(_coded(TECHNETIUM_99M) if technetium else ())
    result.RadiopharmaceuticalInformationSequence = Sequence(doses)
    collimators = list(result.get("DetectorInformationSequence") or [])
    result.DetectorInformationSequence = Sequence(
        [_detector(collimators, frame, scan.views) for frame in range(frames)]
    )
    result.PatientOrientationCodeSequence = Sequence()
    result.PatientGantryRelationshipCodeSequence = Sequence()


def _detector(described: list[Dataset], frame: int, views: tuple[str, ...]) -> Dataset:
    """`described` is used up: its items become the result's."""
    item = described[frame] if frame < len(described) else Dataset()
    if "CollimatorType" not in item:
        item.CollimatorType = ""
    item.ImageOrientationPatient = item.ImagePositionPatient = ""
    item.ViewCodeSequence = Sequence()
    if views:
        item.ImageOrientationPatient = [decimal(cosine) for cosine in VIEW_ORIENTATION[views[frame]]]
        item.ImagePositionPatient = ["0", "0", "0"]
        item.ViewCodeSequence = Sequence(_coded(VIEW_CODES[views[frame]]))
    else:
        del item.ViewCodeSequence
    return item
