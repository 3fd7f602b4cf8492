"""What was set aside comes back only mended, or because a named person overrules a check that may be overruled."""

import json
import warnings
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest
from bad_inputs import halves
from dicom_samples import (
    HEADER,
    KEY,
    PROTOCOL,
    rapid_counts,
    rapid_object,
    save_child,
    standard_counts,
    standard_object,
)

from scintiflow.cohorts.add import add_cohort
from scintiflow.cohorts.readmit import readmit
from scintiflow.dataset.packing import pack_cohorts
from scintiflow.dicom.reading import read_scan
from scintiflow.dicom.reasons import OVERRULABLE, Reason
from scintiflow.dicom.whole_body import save_object
from scintiflow.errors import ScintiflowError
from scintiflow.files import sha256_file, sha256_tree
from scintiflow.params import IngestParams, SplitParams

DAY = date(2026, 11, 20)
NEVER = (
    "CORRUPT TRUNCATED BURNED_IN LOSSY NO_PATIENT_ID PATIENT_CONFLICT UID_COLLISION UID_INVALID "
    "UID_MISMATCH DEIDENTIFICATION_FAILED NOT_DEIDENTIFIED SATURATED NEGATIVE_COUNTS EMPTY_IMAGE "
    "RESCALE_PRESENT WRONG_RADIONUCLIDE VIEW_UNKNOWN VIEW_CONFLICT PAIR_IDENTICAL PAIR_MISMATCH"
)


def add(export: Path, cohorts: Path):
    return add_cohort(export, "ward", protocol=PROTOCOL, key=KEY, cohorts=cohorts, workers=1)


def back(files: list[Path], cohorts: Path, **options):
    options = {"by": "Dr. Ada Example", "reason": "checked on the workstation", **options}
    return readmit(files, "ward", on=DAY, protocol=PROTOCOL, key=KEY, cohorts=cohorts, **options)


def codes(report) -> list[str]:
    return sorted(entry.code or entry.outcome for entry in report.ledger.entries)


def saved(path: Path, dataset) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        save_object(path, dataset)
    return path


@pytest.fixture
def conflicting(tmp_path):
    """An export in which the standard scan's length contradicts its velocity."""
    export = tmp_path / "export"
    rapid, standard = save_child(export, 0)
    dataset = standard_object(0)
    dataset.ScanLength = 2500
    saved(standard, dataset)
    return export, rapid, standard


def test_a_named_person_overrules_a_velocity_conflict_for_ever(conflicting, tmp_path):
    export, _, standard = conflicting
    cohorts = tmp_path / "cohorts"
    assert codes(add(export, cohorts)) == ["NO_STANDARD", "VELOCITY_CONFLICT"]
    report = back([standard], cohorts)
    assert codes(report) == ["accepted", "accepted"]
    record = json.loads((report.folder / "cohort.json").read_text())
    assert record["overrides"] == [
        {
            "sha256": sha256_file(standard),
            "code": "VELOCITY_CONFLICT",
            "by": "Dr. Ada Example",
            "reason": "checked on the workstation",
            "on": "2026-11-20",
            "mended_sha256": "",
        }
    ]
    marked = {entry.sha256 for entry in report.ledger.entries if "OVERRULED" in entry.warnings}
    assert marked == {sha256_file(standard)}
    assert "Dr. Ada Example" in (report.folder / "cohort.html").read_text()
    before = sha256_tree(report.folder)
    again = add(export, cohorts)
    assert not again.changed
    assert sha256_tree(again.folder) == before


def test_the_data_set_honours_a_decision_on_a_pair(tmp_path):
    export, cohorts = tmp_path / "export", tmp_path / "cohorts"
    rapid, standard = save_child(export, 0)
    odd = rapid_object(0)
    counts = np.random.default_rng(3).binomial(rapid_counts(0), 0.55).astype("<u2")
    odd.PixelData, odd.CountsAccumulated = counts.tobytes(), ""
    saved(rapid, odd)
    assert codes(add(export, cohorts)) == ["PAIR_COUNTS_RATIO"] * 2
    report = back([rapid, standard], cohorts)
    assert codes(report) == ["accepted"] * 2
    assert (report.folder / "cohort.html").read_text().count("<figure>") == 1
    split = SplitParams(seed=1, train=0.7, validation=0.1, smallest_train=1, smallest_validation=1, smallest_test=1)
    split = split.model_copy(update={"smallest_train": 0, "smallest_validation": 0, "smallest_test": 0})
    params = IngestParams(cohorts=["ward"], protocol=PROTOCOL, split=split, largest_shift_mm=60.0)
    packed = pack_cohorts([report.folder], params, tmp_path / "dataset", workers=1)
    assert packed.numbers["pairs"] == 1
    assert packed.numbers["warned_pairs"] == 1


def test_a_person_says_which_of_three_scans_belong_together(tmp_path):
    export, cohorts = tmp_path / "export", tmp_path / "cohorts"
    rapid, standard = save_child(export, 0)
    second = rapid_object(0, minutes_later=40, instance_uid="1.2.826.0.1.3680043.8.77.1")
    counts = np.roll(rapid_counts(0), 3, axis=1)
    second.PixelData = counts.tobytes()
    saved(export / "second.dcm", second)
    assert codes(add(export, cohorts)) == ["AMBIGUOUS_PAIR"] * 3
    assert codes(back([rapid, standard], cohorts)) == ["AMBIGUOUS_PAIR", "accepted", "accepted"]


def test_a_mended_file_takes_the_place_of_the_other(tmp_path):
    export, cohorts = tmp_path / "export", tmp_path / "cohorts"
    _, standard = save_child(export, 0)
    wrong = standard_object(0)
    wrong.ScanVelocity = "20"
    saved(standard, wrong)
    assert codes(add(export, cohorts)) == ["NO_STANDARD", "VELOCITY_UNITS"]
    mended = saved(tmp_path / "mended.dcm", standard_object(0))
    half_mended = standard_object(0)
    half_mended.ScanVelocity, half_mended.PatientID = "20", "MRN4711001 "
    half = saved(tmp_path / "half-mended.dcm", half_mended)
    before = sha256_tree(cohorts / "ward")
    with pytest.raises(ScintiflowError, match="VELOCITY_UNITS"):
        back([half], cohorts, mends=sha256_file(standard))
    assert sha256_tree(cohorts / "ward") == before
    with pytest.raises(ScintiflowError, match="cannot be overruled"):
        back([standard], cohorts)
    report = back([mended], cohorts, mends=sha256_file(standard)[:16])
    assert codes(report) == ["MENDED", "accepted", "accepted"]
    assert report.ledger.overrides[0].mended_sha256 == sha256_file(mended)
    assert codes(add(export, cohorts)) == ["MENDED", "accepted", "accepted"]


def test_what_may_never_be_overruled():
    """Identity, damage and lost counts are facts; so is what was never checked."""
    for name in NEVER.split():
        assert not Reason[name].may_be_overruled
    assert all(reason.outcome == "quarantined" for reason in OVERRULABLE)


@pytest.mark.parametrize("wrong", [{"by": " "}, {"by": "-- 1"}, {"reason": ""}, {"mends": "abcdef"}])
def test_somebody_something_and_a_reason_must_be_named(conflicting, tmp_path, wrong):
    export, _, standard = conflicting
    add(export, tmp_path / "cohorts")
    before = sha256_tree(tmp_path / "cohorts" / "ward")
    with pytest.raises(ScintiflowError):
        back([standard], tmp_path / "cohorts", **wrong)
    assert sha256_tree(tmp_path / "cohorts" / "ward") == before


def test_only_what_is_in_quarantine_comes_back(conflicting, tmp_path):
    export, rapid, standard = conflicting
    with pytest.raises(ScintiflowError, match="no such cohort"):
        back([standard], tmp_path / "cohorts")
    add(export, tmp_path / "cohorts")
    with pytest.raises(ScintiflowError, match="not a file in this cohort's quarantine"):
        back([rapid], tmp_path / "cohorts")


# --- views in two files -------------------------------------------------------------------------------


@pytest.fixture
def halved(tmp_path):
    """A pair of which the standard scan came in two files."""
    export = tmp_path / "export"
    saved(export / "rapid.dcm", rapid_object(0))
    for number, half in enumerate(halves(standard_object, 0)):
        saved(export / f"view{number}.dcm", half)
    return export


def test_two_files_of_one_acquisition_become_one_scan(halved, tmp_path):
    report = add(halved, tmp_path / "cohorts")
    assert codes(report) == ["accepted"] * 3
    assert report.ledger.pairs == 1
    (path,) = {entry.path for entry in report.ledger.entries if entry.joined_from}
    scan = read_scan(report.folder / path)
    assert np.array_equal(scan.counts, standard_counts(0))
    assert scan.views == ("anterior", "posterior")
    assert len(list(report.folder.rglob("*.dcm"))) == 2


def test_halves_come_again_in_any_company_and_change_nothing(halved, tmp_path):
    cohorts = tmp_path / "cohorts"
    before = sha256_tree(add(halved, cohorts).folder)
    (halved / "view1.dcm").rename(tmp_path / "view1.dcm")
    again = add(halved, cohorts)
    assert not again.changed
    assert sha256_tree(again.folder) == before


def test_a_late_half_waits_until_both_come_together(halved, tmp_path):
    cohorts, late = tmp_path / "cohorts", tmp_path / "late"
    late.mkdir()
    (halved / "view1.dcm").rename(late / "view1.dcm")
    assert codes(add(halved, cohorts)) == ["INCOMPLETE_SCAN", "NO_STANDARD"]
    assert codes(add(late, cohorts)) == ["INCOMPLETE_SCAN", "INCOMPLETE_SCAN", "NO_STANDARD"]
    (late / "view1.dcm").rename(halved / "view1.dcm")
    assert codes(add(halved, cohorts)) == ["accepted"] * 3


def test_halves_of_other_times_or_sexes_are_never_joined(tmp_path):
    first = halves(standard_object, 0)
    later = halves(standard_object, 0, acquired=HEADER.acquired + timedelta(minutes=2))
    other = halves(standard_object, 0, sex="M")
    for number, second in enumerate((later, other)):
        export = tmp_path / f"export{number}"
        saved(export / "first.dcm", first[0])
        saved(export / "second.dcm", second[1])
        assert set(codes(add(export, tmp_path / f"cohorts{number}"))) <= {"INCOMPLETE_SCAN", "PATIENT_CONFLICT"}
