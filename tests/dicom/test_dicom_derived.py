"""Restored scans out: valid, traceable, plainly processed, and exact to a thousandth of a count."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_samples import KEY, rapid_object
from pydicom.data import get_testdata_file

from scintiflow.dicom.deidentification import deidentified
from scintiflow.dicom.derived import ModelIdentity, restored_counts, restored_object
from scintiflow.dicom.opening import open_object
from scintiflow.dicom.reading import read_scan, scan_of
from scintiflow.dicom.reasons import Rejection
from scintiflow.dicom.validation import validate
from scintiflow.dicom.whole_body import save_object

MODEL = ModelIdentity("scintiflow", "7", "ab" * 32)
DERIVATION = "Estimated standard scan at 20 cm/min from an acquisition at 40 cm/min"


@pytest.fixture
def rapid_path(tmp_path):
    path = tmp_path / "rapid.dcm"
    save_object(path, rapid_object())
    return path


@pytest.fixture
def real_path(tmp_path):
    opened = open_object(Path(get_testdata_file("JPEG-LL.dcm")))
    path = tmp_path / "ge.dcm"
    save_object(path, deidentified(opened, scan_of(opened), KEY))
    return path


def restored(path: Path, factor: float = 1.987) -> np.ndarray:
    return read_scan(path).counts * factor + 0.0137


def test_round_trip_is_exact_to_a_thousandth_of_a_count(rapid_path, tmp_path):
    wanted = restored(rapid_path)
    target = tmp_path / "restored.dcm"
    save_object(target, restored_object(rapid_path, wanted, MODEL, DERIVATION))
    written = pydicom.dcmread(target)
    assert np.abs(restored_counts(written) - wanted).max() < 0.001
    assert int(written.CountsAccumulated) == round(wanted.sum())
    assert "RescaleSlope" not in written


def test_it_is_valid_even_for_the_real_single_frame_scan(rapid_path, real_path, tmp_path):
    targets = []
    for number, source in enumerate((rapid_path, real_path, Path(get_testdata_file("JPEG-LL.dcm")))):
        targets.append(tmp_path / f"restored{number}.dcm")
        save_object(targets[-1], restored_object(source, restored(source), MODEL, DERIVATION))
    assert [verdict.errors for verdict in validate(targets)] == [[], [], []]


def test_it_says_what_it_is_and_where_it_comes_from(rapid_path):
    source = pydicom.dcmread(rapid_path)
    result = restored_object(rapid_path, restored(rapid_path), MODEL, DERIVATION)
    assert list(result.ImageType) == ["DERIVED", "PRIMARY", "WHOLE BODY", "EMISSION"]
    assert "RESTORED" in result.SeriesDescription
    assert result.DerivationDescription == DERIVATION
    assert result.SourceImageSequence[0].ReferencedSOPInstanceUID == source.SOPInstanceUID
    assert result.SourceImageSequence[0].PurposeOfReferenceCodeSequence[0].CodeValue == "121322"
    equipment = result.ContributingEquipmentSequence[0]
    assert equipment.PurposeOfReferenceCodeSequence[0].CodeValue == "109102"
    assert equipment.SoftwareVersions == "7"
    assert MODEL.checkpoint_sha256 in equipment.ContributionDescription
    for keyword in ("PatientID", "StudyInstanceUID", "FrameOfReferenceUID"):
        assert result[keyword].value == source[keyword].value
    for keyword in ("SOPInstanceUID", "SeriesInstanceUID"):
        assert result[keyword].value != source[keyword].value


def test_uids_follow_from_source_model_and_counts(rapid_path):
    counts = restored(rapid_path)
    first = restored_object(rapid_path, counts, MODEL, DERIVATION)
    assert restored_object(rapid_path, counts, MODEL, DERIVATION) == first
    other = restored_object(rapid_path, counts, ModelIdentity("scintiflow", "8", "cd" * 32), DERIVATION)
    assert other.SOPInstanceUID != first.SOPInstanceUID
    assert other.SeriesInstanceUID != first.SeriesInstanceUID


def test_it_is_never_taken_for_an_acquisition(rapid_path, tmp_path):
    target = tmp_path / "restored.dcm"
    save_object(target, restored_object(rapid_path, restored(rapid_path), MODEL, DERIVATION))
    with pytest.raises(Rejection, match="DERIVED_INPUT"):
        read_scan(target)


def test_impossible_counts_are_refused(rapid_path):
    counts = restored(rapid_path)
    for wrong in (counts[:1], counts - 100, counts * np.nan):
        with pytest.raises(ValueError, match="restored"):
            restored_object(rapid_path, wrong, MODEL, DERIVATION)
