"""A withdrawn patient leaves every cohort, is named in no picture, does not come back, and can be erased."""

import json
import shutil
from pathlib import Path

import pytest
from dicom_samples import KEY, PROTOCOL, save_child
from pydicom import dcmread
from typer.testing import CliRunner
from versioned_project import commit_cohort, git, make_project, set_option

from scintiflow.cli import app
from scintiflow.cohorts.add import add_cohort
from scintiflow.cohorts.ledger import read_ledger
from scintiflow.cohorts.versioning import tracked_hashes
from scintiflow.cohorts.versions import COHORTS, cohort_version
from scintiflow.cohorts.withdraw import erase_past, versions_holding, withdraw_patient
from scintiflow.cohorts.withdrawals import LIST, Withdrawal, read_withdrawals, record_withdrawal
from scintiflow.errors import ScintiflowError
from scintiflow.files import sha256_tree


def _add(project, name, export):
    return add_cohort(export, name, protocol=PROTOCOL, key=KEY, cohorts=project / COHORTS, workers=1)


@pytest.fixture(scope="module")
def delivered(tmp_path_factory):
    """A folder with a project of two versioned cohorts, its remote and the exports; the first child is in both."""
    folder = tmp_path_factory.mktemp("delivered")
    project = make_project(folder / "project")
    for name, seeds in {"first": (0, 1), "second": (0, 2)}.items():
        for seed in seeds:
            save_child(folder / "exports" / name, seed)
        _add(project, name, folder / "exports" / name)
        commit_cohort(project, name, name)
    return folder


@pytest.fixture
def project(delivered, tmp_path):
    """A copy of one's own, with a remote of one's own."""
    shutil.copytree(delivered, tmp_path, dirs_exist_ok=True)
    set_option(tmp_path / "project", "url", str(tmp_path / "project-remote"))
    return tmp_path / "project"


def _patients(project, name):
    record = read_ledger(project / COHORTS / name)
    return {entry.summary.patient for entry in record.entries if entry.scan is not None}


def _withdrawal(patient):
    return Withdrawal(patient=patient, by="Data manager", on="2026-11-22")


@pytest.fixture
def patient(project):
    (shared,) = _patients(project, "first") & _patients(project, "second")
    return shared


def test_the_patient_leaves_every_cohort_and_the_others_stay_as_they_were(project, patient):
    others = {
        path.relative_to(project): path.read_bytes()
        for path in (project / COHORTS).rglob("*.dcm")
        if patient not in path.parts
    }
    versions = {cohort_version(project, name) for name in ("first", "second")}
    done = withdraw_patient(project, _withdrawal(patient))
    assert done.cohorts == ("first", "second")
    assert done.objects_removed == 4
    assert set(done.versions) == versions
    left = {path.relative_to(project): path.read_bytes() for path in (project / COHORTS).rglob("*.dcm")}
    assert left == others
    for name in done.cohorts:
        record = read_ledger(project / COHORTS / name)
        assert record.outcomes == {"accepted": 2, "unpaired": 0, "quarantined": 0, "ignored": 2}
        for page in ("cohort.json", "cohort.html"):
            assert patient not in (project / COHORTS / name / page).read_text()


def test_no_later_delivery_brings_the_patient_back(project, patient, tmp_path):
    withdraw_patient(project, _withdrawal(patient))
    before = sha256_tree(project / COHORTS)
    report = _add(project, "first", tmp_path / "exports/first")
    assert not report.changed
    assert sha256_tree(project / COHORTS) == before
    report = _add(project, "another-name", tmp_path / "exports/second")
    assert patient not in _patients(project, "another-name")
    assert report.ledger.to_json()["reasons"]["WITHDRAWN"]["files"] == 2


def test_a_delivery_cleans_a_version_that_was_made_without_knowing_of_the_withdrawal(project, patient, tmp_path):
    """As when a colleague's branch, which still held the patient, was merged."""
    record_withdrawal(project / COHORTS, _withdrawal(patient))
    assert patient in _patients(project, "second")
    save_child(tmp_path / "exports/third", 3)
    report = _add(project, "second", tmp_path / "exports/third")
    assert report.ledger.outcomes == {"accepted": 4, "unpaired": 0, "quarantined": 0, "ignored": 2}
    assert not (project / COHORTS / "second" / patient).exists()
    for page in ("cohort.json", "cohort.html"):
        assert patient not in (project / COHORTS / "second" / page).read_text()


def test_the_projects_list_holds_for_a_cohort_written_elsewhere(project, patient, monkeypatch, tmp_path):
    record_withdrawal(project / COHORTS, _withdrawal(patient))
    (tmp_path / "identity.key").write_text(KEY.secret.hex())
    monkeypatch.chdir(project)
    command = ["cohort", "add", str(tmp_path / "exports/first"), "--name", "elsewhere", "--no-dvc"]
    params = [
        "--params",
        str(Path(__file__).parents[2] / "params.yaml"),
        "--key-file",
        str(tmp_path / "identity.key"),
    ]
    result = CliRunner().invoke(app, [*command, *params, "--out", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    record = read_ledger(tmp_path / "out/elsewhere")
    assert patient not in {entry.summary.patient for entry in record.entries if entry.scan is not None}
    assert sum(entry.code == "WITHDRAWN" for entry in record.entries) == 2
    assert not (tmp_path / "out/elsewhere" / patient).exists()


def test_withdrawing_twice_changes_nothing_and_the_first_decision_stands(project, patient):
    withdraw_patient(project, _withdrawal(patient))
    before = sha256_tree(project / COHORTS)
    again = withdraw_patient(project, Withdrawal(patient=patient, by="Somebody else", on="2027-01-01"))
    assert again.cohorts == ()
    assert sha256_tree(project / COHORTS) == before
    assert [entry.by for entry in read_withdrawals(project / COHORTS)] == ["Data manager"]


def test_who_is_in_no_cohort_is_refused_and_nothing_is_written(project):
    with pytest.raises(ScintiflowError, match="no cohort holds P-0000000000000000"):
        withdraw_patient(project, _withdrawal("P-0000000000000000"))
    assert not (project / COHORTS / LIST).exists()


def test_a_cohort_that_was_not_fetched_is_named_before_anything_is_changed(project, patient):
    clone = project.with_name("clone")
    git(project.parent, "clone", "--quiet", str(project), str(clone))
    with pytest.raises(ScintiflowError, match="has not been fetched") as refusal:
        withdraw_patient(clone, _withdrawal(patient))
    assert "dvc pull data/cohorts/first.dvc" in refusal.value.remedy
    assert not (clone / COHORTS / LIST).exists()


def test_the_command_asks_for_the_patient_id_and_never_shows_it(project, patient, monkeypatch, tmp_path):
    monkeypatch.chdir(project)
    (tmp_path / "identity.key").write_text(KEY.secret.hex())
    scan = dcmread(next((tmp_path / "exports/first").glob("child0-*.dcm")), stop_before_pixels=True)
    issuer, number = str(scan.get("IssuerOfPatientID", "")), str(scan.PatientID)
    command = ["cohort", "withdraw", "--by", "Data manager", "--key-file", str(tmp_path / "identity.key"), "--no-dvc"]
    result = CliRunner().invoke(app, command, input=f"{issuer}\n{number}\n")
    assert result.exit_code == 0
    assert f"{patient} is withdrawn: 4 objects from first, second" in result.output
    assert number not in result.output
    assert "dvc add data/cohorts/second" in result.output
    assert {patient} == {entry.patient for entry in read_withdrawals(project / COHORTS)}


def test_a_list_that_cannot_be_read_stops_every_delivery(project, tmp_path):
    (project / COHORTS / LIST).write_text("{broken")
    with pytest.raises(ScintiflowError, match="list of withdrawn patients"):
        _add(project, "first", tmp_path / "exports/first")


def test_erasing_removes_the_scans_from_cache_and_remote_and_nothing_that_is_used(project, patient):
    head = git(project, "rev-parse", "HEAD")
    old = {name: tracked_hashes(project, head, COHORTS / name) for name in ("first", "second")}
    with pytest.raises(ScintiflowError, match="is still in a cohort"):
        erase_past(project, patient)
    withdraw_patient(project, _withdrawal(patient))
    for name in ("first", "second"):
        commit_cohort(project, name, f"{name} without")
    stores = [project / ".dvc/cache/files/md5", project.with_name("project-remote") / "files/md5"]
    assert erase_past(project, patient) == 2 * (2 + 2), "two scans held by both cohorts and two pages, in two stores"
    for listed in old.values():
        for path, md5 in listed.items():
            gone = path.startswith(patient) or path == "cohort.html"
            assert [(store / md5[:2] / md5[2:]).exists() for store in stores] == [not gone] * 2
    assert erase_past(project, patient) == 0
    holding, unreadable = versions_holding(project, patient)
    assert sorted(version.name for _, version in holding) == ["first", "second"]
    assert unreadable == ()
    assert json.loads((project / COHORTS / LIST).read_text())[0]["patient"] == patient
