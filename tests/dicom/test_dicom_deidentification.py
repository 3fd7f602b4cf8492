"""Nobody can be named from the output; counts and what training needs survive."""

import io
import warnings
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from dicom_samples import KEY, rapid_object, standard_counts, standard_object
from keywords import as_dataset, by_keyword
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence

from scintiflow.dicom import deidentification
from scintiflow.dicom.allowlist import ALLOWED, Words, pruned
from scintiflow.dicom.deidentification import age_string, deidentified
from scintiflow.dicom.encoding import EncodedFile
from scintiflow.dicom.identity import IdentityKey, load_key
from scintiflow.dicom.opening import Opened, open_object
from scintiflow.dicom.reading import read_scan, scan_of
from scintiflow.dicom.reasons import Rejection
from scintiflow.dicom.validation import validate
from scintiflow.dicom.whole_body import object_bytes, save_object
from scintiflow.errors import ScintiflowError

PLANT = "XQPLANT"


PLANTED_IN = (
    "PatientName PatientID IssuerOfPatientID OtherPatientNames PatientBirthName "
    "PatientMotherBirthName PatientAddress PatientTelephoneNumbers EthnicGroup Occupation "
    "AdditionalPatientHistory PatientComments MilitaryRank BranchOfService "
    "PatientReligiousPreference MedicalRecordLocator InstitutionName InstitutionAddress "
    "InstitutionalDepartmentName ReferringPhysicianName PerformingPhysicianName "
    "NameOfPhysiciansReadingStudy OperatorsName RequestingPhysician StationName StudyDescription "
    "SeriesDescription ProtocolName AccessionNumber StudyID ImageComments ImageID DeviceSerialNumber "
    "PerformedProcedureStepDescription RequestedProcedureDescription AdmissionID "
    "CurrentPatientLocation DerivationDescription Manufacturer ManufacturerModelName "
    "SoftwareVersions ClinicalTrialSubjectID CountryOfResidence ResponsiblePerson "
    "AdmittingDiagnosesDescription IdentifyingComments"
)


def planted_object() -> tuple[Dataset, list[str]]:
    """A scan with an identifier in every place where vendors and people put them."""
    dataset, planted = standard_object(), []

    def mark() -> str:
        planted.append(f"{PLANT}{len(planted):02d}")
        return planted[-1]

    for keyword in PLANTED_IN.split():
        setattr(dataset, keyword, mark())
    dataset.RadiopharmaceuticalInformationSequence[0].Radiopharmaceutical = mark()
    dataset.EnergyWindowInformationSequence[0].EnergyWindowName = mark()
    dataset.DetectorInformationSequence[0].CollimatorGridName = mark()
    request = Dataset()
    request.RequestedProcedureID, request.ScheduledProcedureStepDescription = mark(), mark()
    dataset.RequestAttributesSequence = Sequence([request])
    dataset.add_new(0x00090010, "LO", "VENDOR 1.0")
    dataset.add_new(0x00091001, "LO", mark())
    dataset.add_new(0x60000022, "LO", mark())  # overlay description
    dataset.add_new(0x60004000, "LT", mark())  # overlay comments, not in Table E.1-1
    dataset.add_new(0x50000022, "LO", mark())  # curve description
    dataset.add_new(0xFFFCFFFC, "OB", mark().encode() + b" ")
    dataset.add_new(0x00181999, "UN", mark().encode() + b" ")  # unknown even-group tag
    dataset.preamble = mark().encode().ljust(128, b"\0")
    return dataset, planted


def taken_in(dataset: Dataset, tmp_path: Path) -> tuple[Opened, Dataset]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = tmp_path / "source.dcm"
        save_object(path, dataset)
    opened = open_object(path)
    return opened, deidentified(opened, scan_of(opened), KEY)


def as_bytes(dataset: Dataset) -> bytes:
    target = io.BytesIO()
    dataset.save_as(target, enforce_file_format=True)
    return target.getvalue()


def by_pydicom(values: dict, meta: dict) -> EncodedFile:
    dataset = as_dataset(values)
    dataset.file_meta = FileMetaDataset(as_dataset(meta))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset["PixelData"].VR = "OW"
        return EncodedFile(object_bytes(dataset), memoryview(b""))


def test_no_planted_identifier_survives(tmp_path, capfd, caplog):
    dataset, planted = planted_object()
    _, anonymous = taken_in(dataset, tmp_path)
    written = as_bytes(anonymous)
    assert len(planted) >= 54
    assert [mark for mark in planted if mark.encode() in written] == []
    assert b"1.2.826.0.1.3680043" not in written
    assert b"20150304" not in written
    assert b"20240506" not in written
    output = capfd.readouterr()
    assert PLANT not in output.out + output.err + caplog.text


def test_the_profile_alone_would_leak_so_the_byte_scan_must_see_it(tmp_path, monkeypatch):
    """The last look is independent of the allow-list: with the list open, it refuses."""
    dataset, _ = planted_object()
    monkeypatch.setattr(deidentification, "pruned", lambda source: by_keyword(getattr(source, "dataset", source)))
    monkeypatch.setattr(deidentification, "encoded", by_pydicom)  # our own writer refuses most of it by itself
    with pytest.raises(Rejection, match=r"DEIDENTIFICATION_FAILED.*an identifier is left"):
        taken_in(dataset, tmp_path)


def test_the_profile_treats_what_a_longer_allow_list_would_let_through(tmp_path, monkeypatch):
    """Today's list names nothing that Table E.1-1 is about; the day it does, the profile acts on it."""
    longer = {**ALLOWED, "StationName": Words(frozenset({"GAMMA7"}))}
    monkeypatch.setattr(deidentification, "pruned", lambda source: pruned(source, longer))
    dataset = standard_object()
    dataset.StationName = "GAMMA7"
    _, anonymous = taken_in(dataset, tmp_path)
    assert anonymous.get("StationName", "") != "GAMMA7"
    monkeypatch.setattr(deidentification, "_rules_for", lambda keywords: {})
    with pytest.raises(Rejection, match="an identifier is left"):
        taken_in(dataset, tmp_path)


def test_counts_and_measures_survive(tmp_path):
    _, anonymous = taken_in(standard_object(), tmp_path)
    path = tmp_path / "anonymous.dcm"
    save_object(path, anonymous)
    scan = read_scan(path)
    assert np.array_equal(scan.counts, standard_counts())
    assert scan.views == ("anterior", "posterior")
    assert (scan.spacing_mm, scan.velocity_mm_s, scan.duration_s) == (4.8, 3.333, 368.677)
    assert (scan.sex, scan.size_m, scan.weight_kg, scan.scanner) == ("F", 1.31, 28.5, "Siemens Symbia")
    assert scan.age_years == pytest.approx(9.17, abs=1 / 12)
    assert scan.identity_removed
    assert [verdict.errors for verdict in validate([path])] == [[]]


def test_it_says_how_it_was_done(tmp_path):
    _, anonymous = taken_in(standard_object(), tmp_path)
    assert anonymous.PatientIdentityRemoved == "YES"
    assert anonymous.LongitudinalTemporalInformationModified == "MODIFIED"
    codes = [item.CodeValue for item in anonymous.DeidentificationMethodCodeSequence]
    assert codes == ["113100", "113105", "113107", "113108"]


def test_one_patient_keeps_one_pseudonym_and_its_intervals(tmp_path):
    _, standard = taken_in(standard_object(), tmp_path)
    _, rapid = taken_in(rapid_object(minutes_later=15), tmp_path)
    for name, dataset in (("s.dcm", standard), ("r.dcm", rapid)):
        save_object(tmp_path / name, dataset)
    first, second = read_scan(tmp_path / "s.dcm"), read_scan(tmp_path / "r.dcm")
    assert first.patient_id == second.patient_id
    assert first.study_uid == second.study_uid
    assert first.instance_uid != second.instance_uid
    assert second.acquired - first.acquired == timedelta(minutes=15)


def test_pseudonyms_depend_on_the_key_and_not_on_spelling():
    assert KEY.patient("", "mrn  0042") == KEY.patient("", "MRN 0042 ")
    assert KEY.patient("", "0042") != KEY.patient("", "42")
    assert KEY.patient("A", "42") != KEY.patient("B", "42")
    assert KEY.patient("", "42") != IdentityKey(bytes(32)).patient("", "42")
    assert KEY.shift("P-1").days >= 1
    assert KEY.uid("1.2.3").startswith("2.25.")
    assert len(KEY.uid("1.2.3")) <= 64


def test_real_scan_is_deidentified_with_exact_counts(tmp_path):
    source = Path(get_testdata_file("JPEG-LL.dcm"))
    opened = open_object(source)
    anonymous = deidentified(opened, scan_of(opened), KEY)
    written = as_bytes(anonymous)
    for identity in (b"8NM1", b"CompressedSamples", b"BERRA", b"St. John", b"genieacq", b"172.16.193.2", b"19970806"):
        assert identity not in written
    save_object(tmp_path / "ge.dcm", anonymous)
    assert int(read_scan(tmp_path / "ge.dcm").counts.sum(dtype=np.int64)) == 3_596_452
    assert [verdict.errors for verdict in validate([tmp_path / "ge.dcm"])] == [[]]


@pytest.mark.parametrize(("years", "text"), [(0.02, "001W"), (0.5, "026W"), (2.0, "024M"), (9.17, "110M")])
def test_age_strings(years, text):
    assert age_string(years) == text


def test_keys_come_from_a_file_or_the_environment(tmp_path, monkeypatch):
    public = load_key(Path(__file__).parents[2] / "profiles" / "public-demonstration.key")
    assert public.is_public
    assert not KEY.is_public
    path = tmp_path / "key"
    path.write_text("# ours\n" + KEY.secret.hex() + "\n")
    assert load_key(path) == KEY
    monkeypatch.setenv("SCINTIFLOW_IDENTITY_KEY", KEY.secret.hex())
    assert load_key() == KEY
    assert KEY.secret.hex() not in repr(KEY)
    for text in ("", "not hex at all, certainly", "abcd"):
        monkeypatch.setenv("SCINTIFLOW_IDENTITY_KEY", text)
        with pytest.raises(ScintiflowError):
            load_key()
