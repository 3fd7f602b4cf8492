"""A scan out of which nobody can be named: PS3.15 Basic Profile, then our allow-list, then a byte scan.

The Basic Profile alone leaves identifiers (image IDs, overlay text, unknown groups), so the output is
built anew: measured numbers that the allow-list admits, values that `read_scan` has understood, and
fixed texts. Options of PS3.15 Table E.1-1: clean descriptors, modified dates, patient characteristics.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from functools import cache, lru_cache
from importlib.metadata import version
from typing import Any, TypeAlias

from dicomanonymizer import simpledicomanonymizer
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag
from pydicom.uid import NuclearMedicineImageStorage

from scintiflow.dicom import header
from scintiflow.dicom.allowlist import pruned
from scintiflow.dicom.attributes import Attributes, Values
from scintiflow.dicom.codes import DEIDENTIFICATION_METHODS, TECHNETIUM_99M, VIEW_CODES, VIEW_ORIENTATION, Code
from scintiflow.dicom.encoding import EncodedFile, encoded, encoded_items
from scintiflow.dicom.identity import IdentityKey
from scintiflow.dicom.leaks import refuse_identifiers
from scintiflow.dicom.opening import Opened, parse, silenced
from scintiflow.dicom.reasons import Reason, Rejection
from scintiflow.dicom.scan import Scan
from scintiflow.dicom.views import holds_photopeak
from scintiflow.dicom.whole_body import code_attributes, decimal, meta_attributes, pixel_attributes

Built: TypeAlias = dict[str, Any]  # an object or an item of a sequence, by keyword

STUDY_DESCRIPTION, SERIES_DESCRIPTION = "Whole-body bone scan", "Whole body"
SECONDARY_CAPTURE: Built = {"ConversionType": "WSD", "PatientOrientation": ""}
METHOD = [f"Basic Profile, dicom-anonymizer {version('dicom-anonymizer')}", "scintiflow allow-list 1"]


def deidentified(opened: Opened, scan: Scan, key: IdentityKey, overruled: frozenset[Reason] = frozenset()) -> Dataset:
    """The scan as a de-identified object; see `deidentified_file`."""
    written = deidentified_file(opened, scan, key, overruled)
    return parse(bytes(written))


def deidentified_file(
    opened: Opened, scan: Scan, key: IdentityKey, overruled: frozenset[Reason] = frozenset()
) -> EncodedFile:
    """The scan as a de-identified Part 10 file, Explicit VR Little Endian, counts exact, row 0 at the head end.

    `scan` is what `scan_of(opened, overruled)` returned. Raises Rejection DEIDENTIFICATION_FAILED if the
    profile cannot be applied or an identifier of the source is found in the output.
    """
    with silenced():
        try:
            result = _built(opened.attributes, scan, key, overruled)
            written = encoded(result, meta_attributes(result["SOPClassUID"], result["SOPInstanceUID"]))
            refuse_identifiers(opened.attributes, written.header)
        except Rejection:
            raise
        except Exception as error:  # the profile meets whatever vendors write; messages may quote it
            raise Rejection(Reason.DEIDENTIFICATION_FAILED, type(error).__name__) from None
    return written


def _built(source: Attributes, scan: Scan, key: IdentityKey, overruled: frozenset[Reason]) -> Built:
    result = pruned(_basic_profile(source))
    if Reason.VELOCITY_CONFLICT in overruled:  # the length that a person declared wrong is not passed on
        result.pop("ScanLength", None)
    patient = key.patient(scan.issuer, scan.patient_id)
    return {
        **result,
        **_identity(source, scan, key, patient),
        **_times(source, scan, key, patient),
        **_kind(source, scan),
        **_frames(result, scan, header.names_radionuclide(source)),
        **pixel_attributes(scan.counts),
    }


def age_string(years: float) -> str:
    """PS3.5 age string: weeks below two years, months below eighty, then years."""
    if years < 2:
        return f"{int(years * header.AGE_UNITS_PER_YEAR['W'] + 1e-6):03d}W"
    return f"{int(years * 12 + 1e-6):03d}M" if years < 80 else f"{int(years):03d}Y"


def _basic_profile(source: Attributes) -> Values:
    """What the allow-list may keep, after the Basic Application Level Confidentiality Profile.

    The profile treats each attribute by itself, so applying it to the others, which go anyway, changes nothing. Nor
    does it change what no rule of its table meets; of today's allow-list, none is met.
    """
    measured = pruned(source)
    rules = _rules_for(frozenset(_keywords(measured)))
    if not rules:
        return measured
    profiled = _as_dataset(measured)
    simpledicomanonymizer.anonymize_dataset(profiled, base_rules_gen=lambda: rules)
    simpledicomanonymizer.dictionary.clear()  # it remembers every UID of the process
    return profiled


def _keywords(values: Built) -> Iterator[str]:
    for keyword, value in values.items():
        yield keyword
        if keyword.endswith("Sequence"):
            for item in value:
                yield from _keywords(item)


def _as_dataset(values: Built) -> Dataset:
    dataset = Dataset()
    for keyword, value in values.items():
        is_sequence = keyword.endswith("Sequence")
        setattr(dataset, keyword, Sequence([_as_dataset(item) for item in value]) if is_sequence else value)
    return dataset


@cache
def _profile_rules() -> dict:
    """Table E.1-1; reading it takes longer than applying it."""
    return simpledicomanonymizer.initialize_actions_2024b()


@lru_cache(maxsize=256)
def _rules_for(keywords: frozenset[str]) -> dict:
    """The rules that meet one of the attributes."""
    tags = [Tag(keyword) for keyword in keywords]
    present = {(tag.group, tag.element) for tag in tags}
    return {tag: action for tag, action in _profile_rules().items() if _concerns(tag, present)}


def _concerns(tag: tuple[int, ...], present: set[tuple[int, int]]) -> bool:
    """Whether a rule for `tag`, or for a range (group, element, group mask, element mask), meets what is present."""
    if len(tag) == 2:
        return tag in present
    group, element, groups, elements = tag
    return any(one & groups == group & groups and two & elements == element & elements for one, two in present)


@cache
def _coded(*codes: Code) -> bytes:
    """A code sequence, encoded once: it is the same in every object."""
    return encoded_items(code_attributes(code) for code in codes)


def _identity(source: Attributes, scan: Scan, key: IdentityKey, patient: str) -> Built:
    age = {} if scan.age_years is None else {"PatientAge": age_string(scan.age_years)}
    return age | {
        "PatientID": patient,
        "PatientName": patient,
        "PatientBirthDate": "",
        "PatientSex": scan.sex,
        "PatientSize": "" if scan.size_m is None else decimal(scan.size_m),
        "PatientWeight": "" if scan.weight_kg is None else decimal(scan.weight_kg),
        "StudyInstanceUID": key.uid(scan.study_uid),
        "SeriesInstanceUID": key.uid(scan.series_uid),
        "SOPClassUID": source.get("SOPClassUID"),
        "SOPInstanceUID": key.uid(scan.instance_uid),
        "FrameOfReferenceUID": key.uid(header.text(source, "FrameOfReferenceUID") or scan.series_uid),
        "PositionReferenceIndicator": "",
        "StudyID": "1",
        "AccessionNumber": "",
        "ReferringPhysicianName": "",
        "PatientIdentityRemoved": "YES",
        "LongitudinalTemporalInformationModified": "MODIFIED",
        "DeidentificationMethod": METHOD,
        "DeidentificationMethodCodeSequence": _coded(*DEIDENTIFICATION_METHODS),
        "BurnedInAnnotation": "NO",
    }


def _times(source: Attributes, scan: Scan, key: IdentityKey, patient: str) -> Built:
    shift = key.shift(patient)
    moved = scan.acquired - shift
    study_day = header.parse_date(header.text(source, "StudyDate"), set())
    study = moved if study_day is None else datetime.combine(study_day, scan.acquired.time()) - shift
    day, clock = moved.strftime("%Y%m%d"), moved.strftime("%H%M%S.%f")
    kinds = ("Series", "Acquisition", "Content")
    return {
        "StudyDate": study.strftime("%Y%m%d"),
        "StudyTime": "000000",
        **{f"{kind}Date": day for kind in kinds},
        **{f"{kind}Time": clock for kind in kinds},
    }


def _kind(source: Attributes, scan: Scan) -> Built:
    derived = str(source.get("ImageType")[0]).upper() != "ORIGINAL"
    converted = {} if source.get("SOPClassUID") == NuclearMedicineImageStorage else SECONDARY_CAPTURE
    maker, _, model = scan.scanner.partition(" ")
    return converted | {
        "ImageType": ["DERIVED" if derived else "ORIGINAL", "PRIMARY", "WHOLE BODY", "EMISSION"],
        "Modality": "NM",
        "BodyPartExamined": "WHOLEBODY",
        "StudyDescription": STUDY_DESCRIPTION,
        "SeriesDescription": SERIES_DESCRIPTION,
        "SeriesNumber": 1,
        "InstanceNumber": 1,
        "Manufacturer": maker,
        "ManufacturerModelName": model,
        "LossyImageCompression": "00",
        "PixelSpacing": [decimal(scan.spacing_mm)] * 2,
        "ScanVelocity": "" if scan.velocity_inferred else decimal(scan.velocity_mm_s),
    }


def _frames(measured: Mapping[str, Any], scan: Scan, technetium: bool) -> Built:
    """Frames in the order of `scan.views`, one energy window, one detector for each frame."""
    frames = len(scan.counts)
    windows = [item for item in measured.get("EnergyWindowInformationSequence", ()) if holds_photopeak(item)]
    doses = measured.get("RadiopharmaceuticalInformationSequence") or [{}]
    collimators = measured.get("DetectorInformationSequence", ())
    radionuclide = {"RadionuclideCodeSequence": _coded(TECHNETIUM_99M) if technetium else b""}
    return {
        "CountsAccumulated": str(sum(scan.counts_per_view)),
        "EnergyWindowVector": [1] * frames,
        "NumberOfEnergyWindows": 1,
        "DetectorVector": list(range(1, frames + 1)),
        "NumberOfDetectors": frames,
        "EnergyWindowInformationSequence": windows[:1],
        "RadiopharmaceuticalInformationSequence": [doses[0] | radionuclide],
        "DetectorInformationSequence": [_detector(collimators, frame, scan.views) for frame in range(frames)],
        "PatientOrientationCodeSequence": [],
        "PatientGantryRelationshipCodeSequence": [],
    }


def _detector(described: Iterable[Built], frame: int, views: tuple[str, ...]) -> Built:
    known = [*described][frame : frame + 1]
    item = {"CollimatorType": "", **(known[0] if known else {})}
    if not views:
        return item | {"ImageOrientationPatient": "", "ImagePositionPatient": ""}
    return item | {
        "ImageOrientationPatient": [decimal(cosine) for cosine in VIEW_ORIENTATION[views[frame]]],
        "ImagePositionPatient": ["0", "0", "0"],
        "ViewCodeSequence": _coded(VIEW_CODES[views[frame]]),
    }
