"""Versions of cohorts and their records are read from git and DVC without fetching scans."""

import shutil

import pytest
from versioned_project import commit_cohort, git, make_project, write_cohort

from scintiflow.cohorts.versions import cohort_record, cohort_version, cohort_versions, unversioned_changes
from scintiflow.errors import ScintiflowError


@pytest.fixture(scope="module")
def history(tmp_path_factory):
    """A project with two deliveries in two commits, as a clone that has fetched nothing."""
    source = make_project(tmp_path_factory.mktemp("history") / "project")
    write_cohort(source, "first", {"P-a": 1, "P-b": 1})
    one = commit_cohort(source, "first", "First")
    write_cohort(source, "first", {"P-c": 1})
    write_cohort(source, "second", {"P-d": 1})
    commit_cohort(source, "first", "First again")
    two = commit_cohort(source, "second", "Second")
    clone = source.with_name("clone")
    git(source.parent, "clone", "--quiet", str(source), str(clone))
    return clone, one, two


def _patients(project, name, revision):
    return sorted({entry.summary.patient for entry in cohort_record(project, name, revision).entries})


def test_each_revision_has_its_own_versions(history):
    project, one, two = history
    before, now = cohort_versions(project, one), cohort_versions(project, two)
    assert list(before) == ["first"]
    assert list(now) == ["first", "second"]
    assert before["first"].md5 != now["first"].md5
    assert before["first"].md5.endswith(".dir")
    assert before["first"].files == 6, "four objects, the record and its page"
    assert cohort_versions(project) == cohort_versions(project, "HEAD") == now


def test_the_record_of_any_revision_comes_without_the_scans(history):
    project, one, two = history
    assert _patients(project, "first", one) == ["P-a", "P-b"]
    assert _patients(project, "first", two) == ["P-c"]
    assert _patients(project, "second", None) == ["P-d"]
    assert not list((project / "data/cohorts").glob("*/"))
    fetched = [path for path in (project / ".dvc").rglob("cache/files/md5/*/*") if path.stat().st_size < 200]
    assert not fetched, "a scan was fetched into the cache"


@pytest.mark.parametrize("revision", ["no-such-branch", "--help", "HEAD:data"])
def test_a_revision_that_is_no_commit_is_refused(history, revision):
    with pytest.raises(ScintiflowError, match="git knows no commit"):
        cohort_versions(history[0], revision)


def test_a_cohort_of_another_revision_is_refused_with_those_that_exist(history):
    project, one, _ = history
    with pytest.raises(ScintiflowError, match=r"no cohort 'second' at .*\. Cohorts there: first\."):
        cohort_version(project, "second", one)


def test_a_record_that_was_never_pushed_is_a_clear_error(tmp_path):
    project = make_project(tmp_path / "project")
    write_cohort(project, "local", {"P-a": 1})
    revision = commit_cohort(project, "local", "Not pushed", push=False)
    shutil.rmtree(project / ".dvc/cache")
    with pytest.raises(ScintiflowError, match="cannot be fetched") as refusal:
        cohort_record(project, "local", revision)
    assert "dvc push" in refusal.value.remedy


def test_changes_that_no_pointer_knows_are_named(tmp_path):
    project = make_project(tmp_path / "project")
    write_cohort(project, "kept", {"P-a": 1})
    write_cohort(project, "altered", {"P-b": 1})
    for name in ("kept", "altered"):
        commit_cohort(project, name, name)
    assert unversioned_changes(project) == []
    write_cohort(project, "altered", {"P-b": 2})
    write_cohort(project, "never-versioned", {"P-c": 1})
    assert unversioned_changes(project) == ["altered", "never-versioned"]
    shutil.rmtree(project / "data/cohorts/altered")
    assert unversioned_changes(project) == ["never-versioned"], "what was not fetched has not changed"
