"""Scans with identifiers planted wherever vendors and people put them, and the key to find them again.

In the style of the MIDI-B answer keys: every entry of the key is a place and the bytes that must not
appear in anything that is written, printed or logged.
"""

import io
import warnings
from dataclasses import dataclass, field

from dicom_samples import rapid_object, standard_object
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag

TEXTS = (
    "PatientName PatientID IssuerOfPatientID OtherPatientNames OtherPatientIDs PatientBirthName "
    "PatientMotherBirthName PatientAddress PatientTelephoneNumbers EthnicGroup Occupation "
    "AdditionalPatientHistory PatientComments MilitaryRank BranchOfService PatientReligiousPreference "
    "MedicalRecordLocator InsurancePlanIdentification InstitutionName InstitutionAddress "
    "InstitutionalDepartmentName ReferringPhysicianName ReferringPhysicianAddress PerformingPhysicianName "
    "NameOfPhysiciansReadingStudy PhysiciansOfRecord OperatorsName RequestingPhysician RequestingService "
    "StationName StudyDescription SeriesDescription ProtocolName AccessionNumber StudyID ImageComments "
    "ImageID DeviceSerialNumber PerformedProcedureStepDescription PerformedProcedureStepID "
    "RequestedProcedureDescription AdmissionID IssuerOfAdmissionID CurrentPatientLocation "
    "PatientInstitutionResidence DerivationDescription Manufacturer ManufacturerModelName SoftwareVersions "
    "ClinicalTrialSubjectID ClinicalTrialSponsorName CountryOfResidence RegionOfResidence ResponsiblePerson "
    "ResponsibleOrganization AdmittingDiagnosesDescription IdentifyingComments TextComments "
    "AcquisitionComments ContentCreatorName VerifyingOrganization Allergies MedicalAlerts SpecialNeeds "
    "PatientState VisitComments DischargeDiagnosisDescription ScheduledPerformingPhysicianName"
)
MULTI_BYTE = {  # character set of the object, name as it is written there
    "ISO_IR 192": "山田^太郎",
    "ISO_IR 144": "Люкceмбypг^Мария",
    "ISO_IR 126": "Διονυσιος^Νικος",
    "ISO_IR 100": "Buc^Jérôme",
    "GB18030": "王^小东",
    "\\ISO 2022 IR 87": "Yamada^Tarou=山田^太郎=やまだ^たろう",
    "\\ISO 2022 IR 149": "Hong^Gildong=洪^吉洞=홍^길동",
}


@dataclass
class Planted:
    """A file's bytes and the key: what was planted, by place."""

    content: bytes
    key: dict[str, bytes] = field(default_factory=dict)


def planted_scan(seed: int, rapid: bool, charset: str = "ISO_IR 192") -> Planted:
    """One scan of child `seed`; the identifiers of a patient are the same in both scans where they must be."""
    dataset = rapid_object(seed) if rapid else standard_object(seed)
    key: dict[str, bytes] = {}
    marks = _marks(seed, "R" if rapid else "S", key)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for keyword in TEXTS.split():
            setattr(dataset, keyword, marks(keyword))
        dataset.PatientID = dataset.IssuerOfPatientID = f"XQMRN{seed:03d}"
        key["PatientID"] = key["IssuerOfPatientID"] = dataset.PatientID.encode()
        _plant_name(dataset, charset, key)
        _plant_deep(dataset, marks)
        _plant_odd_places(dataset, marks)
        _plant_dates_and_uids(dataset, key)
        _plant_file_meta(dataset, marks)
        target = io.BytesIO()
        dataset.save_as(target, enforce_file_format=True)
    return Planted(target.getvalue(), key)


def _marks(seed: int, scan: str, key: dict[str, bytes]):
    def mark(place: str) -> str:
        text = f"XQ{seed:03d}{scan}{len(key):03d}"
        key[place] = text.encode()
        return text

    return mark


def _plant_name(dataset: Dataset, charset: str, key: dict[str, bytes]) -> None:
    dataset.SpecificCharacterSet = charset.split("\\")
    dataset.PatientName = MULTI_BYTE[charset]
    del key["PatientName"]
    codecs = {"\\ISO 2022 IR 87": "iso2022_jp", "\\ISO 2022 IR 149": "euc_kr", "GB18030": "gb18030"}
    codec = codecs.get(charset, {"ISO_IR 144": "iso8859_5", "ISO_IR 126": "iso8859_7"}.get(charset, "latin-1"))
    for number, part in enumerate(MULTI_BYTE[charset].replace("=", "^").split("^")):
        key[f"name part {number} as UTF-8"] = part.encode()
        if charset != "ISO_IR 192":
            key[f"name part {number} as written"] = part.encode(codec)


def _plant_deep(dataset: Dataset, mark) -> None:
    dataset.RadiopharmaceuticalInformationSequence[0].Radiopharmaceutical = mark("radiopharmaceutical")
    dataset.EnergyWindowInformationSequence[0].EnergyWindowName = mark("energy window name")
    dataset.DetectorInformationSequence[0].CollimatorGridName = mark("collimator grid name")
    dataset.DetectorInformationSequence[0].ViewCodeSequence[0].CodeMeaning = mark("meaning of a code")
    for name in ("RequestAttributesSequence", "ReferencedStudySequence", "OtherPatientIDsSequence"):
        inner, middle, outer = Dataset(), Dataset(), Dataset()
        inner.ContentCreatorName, inner.TextValue = mark(f"{name} inner name"), mark(f"{name} inner text")
        middle.ContentSequence, middle.PatientID = Sequence([inner]), mark(f"{name} middle")
        outer.ContentSequence, outer.RequestedProcedureID = Sequence([middle]), mark(f"{name} outer")
        setattr(dataset, name, Sequence([outer]))


def _plant_odd_places(dataset: Dataset, mark) -> None:
    block = dataset.private_block(0x0009, "VENDOR 1.0", create=True)
    block.add_new(0x01, "LO", mark("private text"))
    block.add_new(0x02, "UN", mark("private UN").encode() + b" ")
    hidden = Dataset()
    hidden.PatientName = mark("private sequence")
    block.add_new(0x03, "SQ", Sequence([hidden]))
    dataset.add_new(0x00111001, "LO", mark("private without creator"))
    dataset.add_new(0x60000022, "LO", mark("overlay description"))
    dataset.add_new(0x60004000, "LT", mark("overlay comments"))
    dataset.add_new(0x60020050, "SS", [1, 1])
    dataset.add_new(0x60023000, "OW", mark("overlay data").encode().ljust(64, b"\0"))
    dataset.add_new(0x50000022, "LO", mark("curve description"))
    dataset.add_new(0x50003000, "OW", mark("curve data").encode().ljust(32, b"\0"))
    dataset.add_new(0x00181999, "UN", mark("unknown tag").encode() + b" ")
    dataset.add_new(0xFFFCFFFC, "OB", mark("trailing padding").encode() + b" ")
    dataset.add_new(Tag("DigitalSignaturesSequence"), "SQ", Sequence([]))
    dataset.preamble = mark("preamble").encode().ljust(128, b"\0")


def _plant_dates_and_uids(dataset: Dataset, key: dict[str, bytes]) -> None:
    dataset.PatientBirthDate, dataset.PatientBirthTime = "20150304", "031415"
    dataset.FrameOfReferenceUID = f"{dataset.StudyInstanceUID}.99"
    for keyword in ("PatientBirthDate", "StudyDate", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        key[keyword] = str(dataset[keyword].value).encode()
    key["FrameOfReferenceUID"], key["PatientBirthTime"] = str(dataset.FrameOfReferenceUID).encode(), b"031415"


def _plant_file_meta(dataset: Dataset, mark) -> None:
    meta = dataset.file_meta
    meta.SourceApplicationEntityTitle = mark("file meta source title")
    meta.SendingApplicationEntityTitle = mark("file meta sending title")
    meta.ReceivingApplicationEntityTitle = mark("file meta receiving title")
    meta.PrivateInformationCreatorUID = "1.2.3.4.5"
    meta.PrivateInformation = mark("file meta private information").encode() + b" "
