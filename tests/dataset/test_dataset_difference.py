"""`scintiflow cohort diff`: what a delivery changes for training, read without scans, and no test patient leaks."""

import re
import shutil
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner
from versioned_project import commit_cohort, git, make_project, write_cohort

from scintiflow.cli import app
from scintiflow.cohorts.versions import COHORTS
from scintiflow.cohorts.withdrawals import Withdrawal, record_withdrawal
from scintiflow.dataset.difference import compare, difference_lines
from scintiflow.dataset.difference_page import difference_page
from scintiflow.dataset.snapshot import take_snapshot
from scintiflow.dataset.split import split_of
from scintiflow.errors import ScintiflowError
from scintiflow.params import load_params

PROJECT = Path(__file__).parents[2]
PATIENTS = [f"P-{number:04d}" for number in range(60)]


def _recipe(project, **split):
    recipe = yaml.safe_load((PROJECT / "params.yaml").read_text())
    recipe["ingest"]["cohorts"] = ["first", "second"]
    recipe["ingest"]["protocol"]["smallest_counts_per_view"] = 1
    recipe["ingest"]["split"] |= split
    (project / "params.yaml").write_text(yaml.safe_dump(recipe))
    git(project, "add", "params.yaml")


@pytest.fixture(scope="module")
def history(tmp_path_factory):
    """Two commits: 40 patients; then 10 leave, 5 have another study, 1 is altered, 20 come in a second cohort."""
    project = make_project(tmp_path_factory.mktemp("history") / "project")
    _recipe(project)
    write_cohort(project, "first", dict.fromkeys(PATIENTS[:40], 1), scanner="SIEMENS Symbia", age_years=3.2)
    one = commit_cohort(project, "first", "First")
    shutil.rmtree(project / "data/cohorts/first")
    later = dict.fromkeys(PATIENTS[10:40], 1) | {patient: [1, 1] for patient in PATIENTS[10:15]} | {PATIENTS[20]: 2}
    write_cohort(project, "first", later, scanner="SIEMENS Symbia", age_years=3.2)
    commit_cohort(project, "first", "First again")
    write_cohort(project, "second", dict.fromkeys(PATIENTS[40:], 1), scanner="GE Discovery", age_years=12.0)
    write_cohort(project, "unused", {"P-unused": 1})
    commit_cohort(project, "second", "Second")
    two = commit_cohort(project, "unused", "Unused")
    clone = project.with_name("clone")
    git(project.parent, "clone", "--quiet", str(project), str(clone))
    return clone, one, two


def test_patients_and_studies_are_told_apart_by_what_became_of_them(history):
    project, one, two = history
    difference = compare(take_snapshot(project, one), take_snapshot(project, two))
    assert difference.patients_removed == tuple(PATIENTS[:10])
    assert difference.patients_added == tuple(PATIENTS[40:])
    assert difference.patients_changed == (*PATIENTS[10:15], PATIENTS[20])
    assert len(difference.studies_removed) == 10 + 1, "other counts are another object, and so another study"
    assert len(difference.studies_added) == 20 + 5 + 1
    assert difference.scanners == {"GE Discovery": (0, 20), "SIEMENS Symbia": (40, 30)}
    assert {band: pair for band, pair in difference.ages.items() if any(pair)} == {
        "1 to 4": (40, 35),
        "10 to 14": (0, 20),
    }
    assert not list((project / "data/cohorts").glob("*/")), "no scan was fetched"


def test_the_splits_are_those_of_ingest(history):
    project, one, two = history
    difference = compare(take_snapshot(project, one), take_snapshot(project, two))
    split = load_params(project / "params.yaml").ingest.split
    for place, patients in enumerate((PATIENTS[:40], PATIENTS[10:])):
        expected = [split_of(patient, split) for patient in patients]
        for name, counts in difference.splits.items():
            assert counts[place] == expected.count(name)
    assert difference.leaked == difference.moved == ()
    stays = [patient for patient in PATIENTS[10:40] if split_of(patient, split) == "test"]
    assert difference.test_patients_kept == len(stays) > 0
    assert "No test patient becomes a training patient" in difference_lines(difference)[-1]


def test_a_cohort_that_the_recipe_does_not_name_trains_nothing(history):
    project, one, two = history
    lines = difference_lines(compare(take_snapshot(project, one), take_snapshot(project, two)))
    assert any(re.search(r"unused: new \(4 files.*not in ingest\.cohorts", line) for line in lines)
    assert not any("P-unused" in line for line in lines)


def test_the_same_revision_twice_is_no_difference(history):
    project, _, two = history
    difference = compare(take_snapshot(project, two), take_snapshot(project, None))
    assert difference.is_empty
    assert "The cohorts are the same." in difference_lines(difference)


def test_a_recipe_that_would_train_on_test_patients_fails_the_command(history, monkeypatch, tmp_path):
    project, one, _ = history
    own = tmp_path / "own"
    git(tmp_path, "clone", "--quiet", str(project), str(own))
    shutil.copyfile(project / ".dvc/config", own / ".dvc/config")
    _recipe(own, seed=2)
    git(own, "commit", "--quiet", "--message", "Another seed")
    monkeypatch.chdir(own)
    page = tmp_path / "diff.html"
    result = CliRunner().invoke(app, ["cohort", "diff", one, "HEAD", "--html", str(page)])
    assert result.exit_code == 1
    split = [load_params(root / "params.yaml").ingest.split for root in (project, own)]
    leaked = [
        patient
        for patient in PATIENTS[10:40]
        if split_of(patient, split[0]) == "test" and split_of(patient, split[1]) != "test"
    ]
    assert leaked
    assert f"LEAK: {len(leaked)} test patients" in result.output
    assert all(patient in page.read_text() for patient in leaked)


def test_a_branch_that_brings_a_withdrawn_patient_back_fails_the_command(history, monkeypatch, tmp_path):
    project, one, two = history
    own = tmp_path / "own"
    git(tmp_path, "clone", "--quiet", str(project), str(own))
    record_withdrawal(own / COHORTS, Withdrawal(patient=PATIENTS[3], by="Data manager", on="2026-11-22"))
    git(own, "add", "data/cohorts/withdrawn.json")
    git(own, "commit", "--quiet", "--message", "One withdraws")
    monkeypatch.chdir(own)
    assert CliRunner().invoke(app, ["cohort", "diff", two, "HEAD"]).exit_code == 0
    result = CliRunner().invoke(app, ["cohort", "diff", "HEAD", one])
    assert result.exit_code == 1
    assert f"WITHDRAWN: 1 patients of these cohorts have withdrawn: {PATIENTS[3]}" in result.output


def test_the_page_is_one_file_that_fetches_nothing_and_runs_nothing(history):
    project, one, two = history
    page = difference_page(compare(take_snapshot(project, one), take_snapshot(project, two)))
    assert not re.search(r"https?://|<script|<img|<link|@import|url\(", page)
    assert "default-src 'none'" in page
    assert page.count("<svg") == 3
    assert all(patient in page for patient in (*PATIENTS[:10], *PATIENTS[40:]))


def test_a_revision_without_a_recipe_is_refused(history):
    project, _, _ = history
    root = git(project, "rev-list", "--max-parents=0", "HEAD")
    with pytest.raises(ScintiflowError, match="git show refused"):
        take_snapshot(project, root)
