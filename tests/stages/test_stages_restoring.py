"""Restoring one scan: a rapid scan comes out as a derived object that says what it is; all else is refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest

from scintiflow.dicom.derived import ModelIdentity, is_marked, restored_counts, stated_velocity_mm_s
from scintiflow.dicom.reading import read_scan
from scintiflow.dicom.reasons import Reason, Rejection
from scintiflow.dicom.validation import validate
from scintiflow.dicom.whole_body import object_bytes, save_object
from scintiflow.drift.statistics import scan_statistics
from scintiflow.errors import ScintiflowError
from scintiflow.evaluation.agreement import Agreement, Calibration
from scintiflow.params import changed, load_params
from scintiflow.stages import restoring
from scintiflow.stages.restoring import OpenModel, open_model, parse_model, restore_object
from scintiflow.viewer.pair import load_pair

PROTOCOL = load_params(Path(__file__).parents[2] / "params.yaml").ingest.protocol
GENEROUS = Agreement(deviance=9.0, count_error=0.5, excess=99.0, loss=99.0)


def scaled(rapid: np.ndarray, count_ratio: float) -> np.ndarray:
    return rapid.astype(np.float32) * np.float32(count_ratio)


def calibration(limits: Agreement) -> Calibration:
    return Calibration(limits, 5, "five children", 0.95, Agreement(0.0, 0.0, 0.0, 0.0), "a" * 64)


TOY = OpenModel(scaled, ModelIdentity("toy", "3", "a" * 64), None, calibration(GENEROUS))


def test_a_rapid_scan_becomes_a_derived_object_of_its_study(scans):
    restored = restore_object(scans[0], TOY, PROTOCOL)
    rapid = read_scan(scans[0])
    k = rapid.velocity_mm_s / PROTOCOL.standard_velocity_mm_s
    assert restored.count_ratio == pytest.approx(k)
    np.testing.assert_allclose(restored_counts(restored.dataset), rapid.counts * k, atol=0.002)
    assert restored.dataset.ImageType[0] == "DERIVED"
    assert restored.dataset.StudyInstanceUID == rapid.study_uid
    assert restored.dataset.SOPInstanceUID != rapid.instance_uid
    assert object_bytes(restored.dataset) == object_bytes(restore_object(scans[0], TOY, PROTOCOL).dataset)


def test_what_the_counts_contradict_is_marked_and_valid(scans, tmp_path):
    good = restore_object(scans[0], TOY, PROTOCOL)
    wrong = replace(TOY, restore=lambda rapid, k: scaled(rapid, k) * np.float32(2))
    marked = restore_object(scans[0], wrong, PROTOCOL)
    assert good.objections == ()
    assert not is_marked(good.dataset)
    assert any("sum of counts is off by 100.0%" in words for words in marked.objections)
    assert is_marked(marked.dataset)
    assert "DO NOT READ" in marked.dataset.ImageComments
    assert "sum of counts" in marked.dataset.ImageComments
    assert marked.dataset.SeriesInstanceUID != good.dataset.SeriesInstanceUID
    save_object(tmp_path / "marked.dcm", marked.dataset)
    assert validate([tmp_path / "marked.dcm"])[0].errors == []


def test_a_model_without_calibration_says_so_in_words(scans):
    restored = restore_object(scans[0], replace(TOY, calibration=None), PROTOCOL)
    assert restored.objections == ()
    assert "not judged" in restored.dataset.DerivationDescription
    assert "not judged" not in restore_object(scans[0], TOY, PROTOCOL).dataset.DerivationDescription


def test_a_restored_scan_is_not_restored_again(scans, tmp_path):
    save_object(tmp_path / "restored.dcm", restore_object(scans[0], TOY, PROTOCOL).dataset)
    with pytest.raises(Rejection, match="DERIVED_INPUT"):
        restore_object(tmp_path / "restored.dcm", TOY, PROTOCOL)


def altered(path: Path, target: Path, change) -> Path:
    dataset = pydicom.dcmread(path)
    change(dataset)
    dataset.save_as(target)
    return target


def test_what_must_not_be_touched_is_refused(scans, tmp_path):
    def iodine(dataset):
        codes = dataset.RadiopharmaceuticalInformationSequence[0].RadionuclideCodeSequence[0]
        codes.CodeValue, codes.CodeMeaning = "1461003", "^131^Iodine"

    def lossy(dataset):
        dataset.LossyImageCompression, dataset.CountsAccumulated = "01", ""

    for number, (change, code) in enumerate(((iodine, "WRONG_RADIONUCLIDE"), (lossy, "LOSSY"))):
        with pytest.raises(Rejection, match=code):
            restore_object(altered(scans[0], tmp_path / f"{number}.dcm", change), TOY, PROTOCOL)


def test_only_speeds_that_the_model_knows_unless_told(scans):
    rapid, standard = scans
    with pytest.raises(Rejection, match="VELOCITY_OUT_OF_PROTOCOL"):
        restore_object(standard, TOY, PROTOCOL)
    wide = replace(TOY, accelerations=(1.3, 2.5))
    slower = changed(PROTOCOL, standard_velocity_mm_s=PROTOCOL.rapid_velocity_mm_s / 1.5)
    faster = changed(PROTOCOL, standard_velocity_mm_s=PROTOCOL.rapid_velocity_mm_s / 3)
    assert restore_object(rapid, wide, slower).count_ratio == pytest.approx(1.5, rel=0.05)
    with pytest.raises(Rejection) as refused:
        restore_object(rapid, wide, faster)
    assert refused.value.reason is Reason.VELOCITY_OUT_OF_PROTOCOL
    told = restore_object(rapid, wide, faster, any_velocity=True)
    assert restoring.UNTRAINED_SPEED in told.dataset.DerivationDescription
    with pytest.raises(Rejection):  # nothing to gain: it has the standard scan's counts already
        restore_object(standard, wide, PROTOCOL, any_velocity=True)


def silent(dataset):
    """About velocity."""
    dataset.ScanVelocity = dataset.ScanLength = ""


def test_a_missing_velocity_can_be_stated_and_the_object_says_so(scans, tmp_path):
    rapid = scans[0]
    velocity = read_scan(rapid).velocity_mm_s
    path = altered(rapid, tmp_path / "silent.dcm", silent)
    with pytest.raises(Rejection, match="VELOCITY_UNKNOWN"):
        restore_object(path, TOY, PROTOCOL)
    told = restore_object(path, TOY, PROTOCOL, stated_velocity_mm_s=velocity)
    known = restore_object(rapid, TOY, PROTOCOL, stated_velocity_mm_s=velocity)
    np.testing.assert_array_equal(restored_counts(told.dataset), restored_counts(known.dataset))
    assert "40.0 cm/min was stated" in told.dataset.DerivationDescription
    assert stated_velocity_mm_s(told.dataset) == pytest.approx(velocity, abs=0.01)
    assert scan_statistics(told.scan, told.counts, told.count_ratio, TOY.identity).velocity_stated
    assert "stated" not in known.dataset.DerivationDescription  # its own header says the same
    assert not scan_statistics(known.scan, known.counts, known.count_ratio, TOY.identity).velocity_stated
    save_object(tmp_path / "told.dcm", told.dataset)
    assert validate([tmp_path / "told.dcm"])[0].errors == []
    assert load_pair(tmp_path / "told.dcm", path).rapid is not None
    with pytest.raises(Rejection, match="VELOCITY_OUT_OF_PROTOCOL"):  # what is stated is judged as what is read
        restore_object(path, TOY, PROTOCOL, stated_velocity_mm_s=velocity / 2)


@pytest.mark.parametrize("change", [lambda dataset: None, lambda dataset: setattr(dataset, "ScanVelocity", "")])
def test_a_scan_that_gives_another_velocity_than_the_stated_one_is_refused(scans, tmp_path, change):
    """Given in so many words, or by length and duration: one option must not give a whole folder a wrong k."""
    rapid, standard = scans
    velocity = read_scan(rapid).velocity_mm_s
    path = altered(standard, tmp_path / "standard.dcm", change)
    with pytest.raises(Rejection, match="VELOCITY_STATED_OTHERWISE"):
        restore_object(path, TOY, PROTOCOL, stated_velocity_mm_s=velocity)


@pytest.mark.parametrize("text", ["champion", "@champion", "toy@", ""])
def test_a_model_is_named_by_alias(text):
    with pytest.raises(ScintiflowError, match="NAME@ALIAS"):
        parse_model(text)


def test_an_absent_reference_model_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(restoring, "REFERENCE_FOLDER", tmp_path)
    with pytest.raises(ScintiflowError, match="is not a trained cascade"):
        open_model("reference")
