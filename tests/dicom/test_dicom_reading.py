"""One object in, one scan out, or a reason why not."""

import os
import warnings
from pathlib import Path

import numpy as np
import pytest
from dicom_samples import HEADER, rapid_object, standard_counts, standard_object
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage

from scintiflow.dicom.reading import read_scan
from scintiflow.dicom.reasons import Reason, Rejection
from scintiflow.dicom.validation import validate
from scintiflow.dicom.whole_body import save_object


def code_of(path: Path) -> str:
    """Reason code with which `path` is refused; 'accepted' if it is not."""
    try:
        read_scan(path)
    except Rejection as rejection:
        return rejection.code
    return "accepted"


def saved(path: Path, dataset: Dataset) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        save_object(path, dataset)
    return path


def test_a_written_scan_reads_back_as_it_was(tmp_path):
    scan = read_scan(saved(tmp_path / "scan.dcm", standard_object()))
    assert np.array_equal(scan.counts, standard_counts())
    assert scan.counts.dtype == np.uint16
    assert scan.views == ("anterior", "posterior")
    assert (scan.spacing_mm, scan.velocity_mm_s, scan.velocity_inferred) == (4.8, 3.333, False)
    assert scan.acquired == HEADER.acquired
    assert scan.age_years == pytest.approx(9.17, abs=0.01)
    assert (scan.sex, scan.size_m, scan.weight_kg, scan.scanner) == ("F", 1.31, 28.5, "Siemens Symbia")
    assert scan.warnings == ()


def test_what_we_write_is_valid_and_deterministic(tmp_path):
    paths = [saved(tmp_path / name, make()) for name, make in (("s.dcm", standard_object), ("r.dcm", rapid_object))]
    assert [verdict.errors for verdict in validate(paths)] == [[], []]
    assert saved(tmp_path / "again.dcm", standard_object()).read_bytes() == paths[0].read_bytes()


def test_real_scan_reads_with_exact_counts():
    scan = read_scan(Path(get_testdata_file("JPEG-LL.dcm")))
    assert scan.counts.shape == (1, 1024, 256)
    assert int(scan.counts.sum(dtype=np.int64)) == 3_596_452
    assert scan.velocity_mm_s == pytest.approx(1.6716, abs=1e-4)
    assert scan.views == ()
    assert scan.scanner == "GE Millennium"
    assert set(scan.warnings) == {"AGE_UNKNOWN", "DERIVED_LOSSLESS", "SOPCLASS_SC", "VIEW_UNKNOWN"}


def test_real_lossy_copy_is_refused():
    assert code_of(Path(get_testdata_file("JPEG2000.dcm"))) == "LOSSY"


def frames_swapped(dataset: Dataset) -> None:
    counts = standard_counts()[::-1]
    dataset.PixelData = counts.astype("<u2").tobytes()
    dataset.DetectorInformationSequence = list(dataset.DetectorInformationSequence)[::-1]


def detector_vector_swapped(dataset: Dataset) -> None:
    dataset.PixelData = standard_counts()[::-1].astype("<u2").tobytes()
    dataset.DetectorVector = [2, 1]


def legacy_codes(dataset: Dataset) -> None:
    for item, value in zip(dataset.DetectorInformationSequence, ("G-5215", "G-5216"), strict=True):
        code = item.ViewCodeSequence[0]
        code.CodeValue, code.CodingSchemeDesignator = value, "SRT"


def vendor_codes(dataset: Dataset) -> None:
    for item, meaning in zip(dataset.DetectorInformationSequence, ("FACE ANT", "FACE POST"), strict=True):
        code = item.ViewCodeSequence[0]
        code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "X1", "99NMG", meaning


def angles_only_and_swapped(dataset: Dataset) -> None:
    frames_swapped(dataset)
    for item in dataset.DetectorInformationSequence:
        del item.ViewCodeSequence


def feet_at_the_top(dataset: Dataset) -> None:
    dataset.PixelData = standard_counts()[:, ::-1].astype("<u2").tobytes()
    for item in dataset.DetectorInformationSequence:
        item.ImageOrientationPatient = [item.ImageOrientationPatient[0], 0, 0, 0, 0, 1]


def feet_first_without_orientation(dataset: Dataset) -> None:
    dataset.PixelData = standard_counts()[:, ::-1, ::-1].astype("<u2").tobytes()
    for item in dataset.DetectorInformationSequence:
        item.ImageOrientationPatient = item.ImagePositionPatient = ""
    dataset.PatientPosition = "FFS"


def posterior_mirrored(dataset: Dataset) -> None:
    counts = standard_counts()
    counts[1] = counts[1][:, ::-1]
    dataset.PixelData = counts.astype("<u2").tobytes()
    dataset.DetectorInformationSequence[1].ImageOrientationPatient = [1, 0, 0, 0, 0, -1]


def scatter_window_first(dataset: Dataset) -> None:
    photopeak = standard_counts()
    dataset.PixelData = np.concatenate([photopeak + 3, photopeak]).astype("<u2").tobytes()
    dataset.NumberOfFrames, dataset.CountsAccumulated = 4, ""
    dataset.EnergyWindowVector, dataset.DetectorVector = [1, 1, 2, 2], [1, 2, 1, 2]
    window = dataset.EnergyWindowInformationSequence[0]
    scatter = Dataset.from_json(window.to_json())
    limits = scatter.EnergyWindowRangeSequence[0]
    limits.EnergyWindowLowerLimit, limits.EnergyWindowUpperLimit = "100", "125"
    dataset.EnergyWindowInformationSequence = [scatter, window]


@pytest.mark.parametrize(
    ("change", "expected_warnings"),
    [
        (frames_swapped, set()),
        (detector_vector_swapped, set()),
        (legacy_codes, set()),
        (vendor_codes, set()),
        (angles_only_and_swapped, {"VIEW_INFERRED"}),
        (feet_at_the_top, {"ORIENTATION_CHANGED"}),
        (feet_first_without_orientation, {"ORIENTATION_CHANGED"}),
        (posterior_mirrored, {"ORIENTATION_CHANGED"}),
        (scatter_window_first, {"EXTRA_ENERGY_WINDOW"}),
    ],
)
def test_every_spelling_of_the_views_gives_the_same_scan(tmp_path, change, expected_warnings):
    dataset = standard_object()
    change(dataset)
    scan = read_scan(saved(tmp_path / "scan.dcm", dataset))
    assert scan.views == ("anterior", "posterior")
    assert np.array_equal(scan.counts, standard_counts())
    assert set(scan.warnings) == expected_warnings


def test_empty_velocity_is_inferred(tmp_path):
    dataset = standard_object()
    dataset.ScanVelocity = ""
    scan = read_scan(saved(tmp_path / "scan.dcm", dataset))
    assert scan.velocity_mm_s == pytest.approx(1229 / 368.677)
    assert scan.velocity_inferred
    assert scan.warnings == ("VELOCITY_INFERRED",)


@pytest.mark.parametrize(
    ("born", "stated", "expected"),
    [("20150304", "", 9.17), ("00000000", "018M", 1.5), ("", "009Y", 9.0), ("", "", None), ("2015.03.04", "", 9.17)],
)
def test_age_from_birth_date_or_statement(tmp_path, born, stated, expected):
    dataset = standard_object()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset.PatientBirthDate, dataset.PatientAge = born, stated
    scan = read_scan(saved(tmp_path / "scan.dcm", dataset))
    assert scan.age_years == (None if expected is None else pytest.approx(expected, abs=0.01))
    assert ("AGE_UNKNOWN" in scan.warnings) == (expected is None)


def put(**values):
    def change(dataset: Dataset) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for keyword, value in values.items():
                setattr(dataset, keyword, value)

    return change


def drop(*keywords: str):
    def change(dataset: Dataset) -> None:
        for keyword in keywords:
            delattr(dataset, keyword)

    return change


def negative(dataset: Dataset) -> None:
    counts = standard_counts().astype("<i2")
    counts[0, 5, 5] = -7
    dataset.PixelRepresentation, dataset.PixelData = 1, counts.tobytes()
    dataset.SmallestImagePixelValue = dataset.LargestImagePixelValue = 0


def saturated(dataset: Dataset) -> None:
    counts = standard_counts()
    counts[1, 9, 9] = 65535
    dataset.PixelData = counts.tobytes()


def one_empty_view(dataset: Dataset) -> None:
    counts = standard_counts()
    counts[1] = 0
    dataset.PixelData = counts.tobytes()


def same_view_twice(dataset: Dataset) -> None:
    dataset.DetectorInformationSequence[1].ViewCodeSequence = dataset.DetectorInformationSequence[0].ViewCodeSequence


def iodine(dataset: Dataset) -> None:
    code = dataset.RadiopharmaceuticalInformationSequence[0].RadionuclideCodeSequence[0]
    code.CodeValue, code.CodeMeaning = "1368003", "^131^Iodine"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (put(Modality="CT", SOPClassUID=CTImageStorage), "WRONG_MODALITY"),
        (put(ImageType=["ORIGINAL", "PRIMARY", "STATIC", "EMISSION"]), "WRONG_IMAGE_TYPE"),
        (put(ImageType=["ORIGINAL", "PRIMARY", "WHOLE BODY", "TRANSMISSION"]), "WRONG_IMAGE_TYPE"),
        (put(ImageType=["DERIVED", "PRIMARY", "WHOLE BODY", "EMISSION"], CountsAccumulated="17"), "DERIVED_INPUT"),
        (put(LossyImageCompression="01"), "LOSSY"),
        (put(BurnedInAnnotation="YES"), "BURNED_IN"),
        (put(RescaleSlope="2.5", RescaleIntercept="0"), "RESCALE_PRESENT"),
        (drop("PixelData"), "NO_PIXEL_DATA"),
        (put(PhotometricInterpretation="MONOCHROME1"), "PIXEL_FORMAT"),
        (put(BitsStored=12), "PIXEL_FORMAT"),
        (put(NumberOfFrames=3, EnergyWindowVector=[1, 1, 1], DetectorVector=[1, 2, 1]), "TRUNCATED"),
        (put(NumberOfFrames=1), "FRAME_COUNT"),
        (put(DetectorVector=[1, 7]), "FRAME_VECTOR"),
        (put(DetectorVector=[1, 2, 1]), "FRAME_VECTOR"),
        (same_view_twice, "VIEW_CONFLICT"),
        (put(Rows=64, Columns=256), "MATRIX"),
        (put(Rows=65535, Columns=65535), "LIMIT_EXCEEDED"),
        (put(NumberOfFrames="2147483647"), "LIMIT_EXCEEDED"),
        (negative, "NEGATIVE_COUNTS"),
        (saturated, "SATURATED"),
        (one_empty_view, "EMPTY_IMAGE"),
        (iodine, "WRONG_RADIONUCLIDE"),
        (put(PixelSpacing=["4.8", "2.4"]), "GEOMETRY"),
        (drop("PixelSpacing"), "GEOMETRY"),
        (put(ScanVelocity="", ScanLength=""), "VELOCITY_UNKNOWN"),
        (put(ScanVelocity="-3.3"), "VELOCITY_INVALID"),
        (put(ScanVelocity="20"), "VELOCITY_UNITS"),
        (put(ScanVelocity="6.667"), "VELOCITY_CONFLICT"),
        (put(ScanVelocity="9000", ScanLength=""), "VELOCITY_INVALID"),
        (put(SOPInstanceUID="1.2.03"), "UID_INVALID"),
        (put(StudyInstanceUID=""), "UID_INVALID"),
        (put(PatientID="  "), "NO_PATIENT_ID"),
        (drop("AcquisitionDate", "ContentDate", "SeriesDate"), "DATE_INVALID"),
        (put(AcquisitionTime="997799", ContentTime="", SeriesTime=""), "DATE_INVALID"),
    ],
)
def test_bad_object_is_refused_with_its_code(tmp_path, change, code):
    dataset = standard_object()
    change(dataset)
    assert code_of(saved(tmp_path / "scan.dcm", dataset)) == code


def test_unknown_view_is_only_a_warning_for_reading(tmp_path):
    dataset = standard_object()
    for item in dataset.DetectorInformationSequence:
        del item.ViewCodeSequence
        del item.StartAngle
    scan = read_scan(saved(tmp_path / "scan.dcm", dataset))
    assert scan.views == ()
    assert scan.warnings == ("VIEW_UNKNOWN",)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "NOT_DICOM"),
        (b"patient;value\n=1+1;2\n" * 20, "NOT_DICOM"),
        (b"PK\x03\x04" + bytes(200), "ARCHIVE"),
        (b"\x08\x00\x05\x00CS\x0a\x00ISO_IR 100" + bytes(300), "NO_PREAMBLE"),
        (bytes(128) + b"DICM", "NO_TRANSFER_SYNTAX"),
    ],
)
def test_foreign_bytes(tmp_path, content, code):
    path = tmp_path / "file"
    path.write_bytes(content)
    assert code_of(path) == code


def test_file_header_and_object_must_name_the_same_uid(tmp_path):
    dataset = standard_object()
    dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    dataset.preamble = bytes(128)
    dataset.save_as(tmp_path / "scan.dcm", enforce_file_format=False)
    assert code_of(tmp_path / "scan.dcm") == "UID_MISMATCH"


def test_a_cut_file_is_refused_wherever_it_is_cut(tmp_path):
    whole = saved(tmp_path / "scan.dcm", standard_object()).read_bytes()
    for share in (0.999, 0.9, 0.5, 0.1, 0.02, 0.01):
        path = tmp_path / f"cut-{share}.dcm"
        path.write_bytes(whole[: int(len(whole) * share)])
        assert code_of(path) in {"TRUNCATED", "CORRUPT", "NO_PIXEL_DATA", "UID_INVALID", "WRONG_MODALITY", "GEOMETRY"}
    path.write_bytes(whole[: len(whole) - 1000])
    assert code_of(path) == "TRUNCATED"


def test_special_entries_never_block(tmp_path):
    pipe, link, missing = tmp_path / "pipe.dcm", tmp_path / "link.dcm", tmp_path / "missing.dcm"
    os.mkfifo(pipe)
    link.symlink_to(saved(tmp_path / "scan.dcm", standard_object()))
    assert code_of(pipe) == "SPECIAL_FILE"
    assert code_of(link) == "SYMLINK"
    assert code_of(missing) == "UNREADABLE"


def test_a_file_that_grows_while_it_is_read_is_refused(tmp_path, monkeypatch):
    path = saved(tmp_path / "scan.dcm", standard_object())
    looks = []

    def growing(descriptor):
        looks.append(path.stat())
        if len(looks) == 1:
            path.write_bytes(path.read_bytes() + b"more")
            os.utime(path, ns=(1, 1))
        return looks[-1]

    monkeypatch.setattr("scintiflow.dicom.opening.os.fstat", growing)
    assert code_of(path) == "CHANGED"


def test_every_reason_says_what_is_wrong_and_how_to_mend_it():
    for reason in Reason:
        assert len(reason.sentence) > 15, reason
        assert len(reason.remedy) > 9, reason
        assert not reason.sentence.endswith("."), reason
