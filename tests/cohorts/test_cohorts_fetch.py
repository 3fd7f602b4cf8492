"""Pods fetch a pinned cohort: once, whole or in part, read-only, many at the same time, over a line that breaks."""

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
from s3_server import line_to, new_bucket, s3_server, surroundings
from versioned_project import commit_cohort, git, make_project, write_cohort

from scintiflow.cohorts.fetch import cohorts_at, fetch_cohort
from scintiflow.cohorts.ledger import read_ledger
from scintiflow.errors import ScintiflowError
from scintiflow.files import sha256_file, sha256_tree

LARGE = 200_000


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Two commits of a cohort; the first, which is to be fetched, has six patients."""
    project = make_project(tmp_path_factory.mktemp("pods") / "project")
    write_cohort(project, "first", {f"P-{number}": number for number in range(6)})
    pinned = commit_cohort(project, "first", "First")
    delivered = sha256_tree(project / "data/cohorts/first")
    write_cohort(project, "first", {"P-later": 9})
    commit_cohort(project, "first", "Later")
    return project, pinned, delivered


def test_the_pinned_commit_is_fetched_whole_and_the_project_is_only_read(project, tmp_path):
    source, pinned, delivered = project
    before = sha256_tree(source)
    done = fetch_cohort(str(source), pinned, "first", tmp_path)
    assert sha256_tree(tmp_path / "first") == delivered
    assert (done.patients, done.files, done.fetched) == (6, 14, 14)
    assert sha256_tree(source) == before
    assert not [path for path in (tmp_path / "first").rglob("*.dcm") if path.stat().st_mode & 0o222]
    assert [path.name for path in tmp_path.iterdir()] == ["first"], "nothing half-fetched is left"


def test_a_clone_by_its_url_needs_nothing_but_reading(project, tmp_path):
    source, pinned, delivered = project
    done = fetch_cohort(f"file://{source}", pinned, "first", tmp_path)
    assert done.fetched == 14
    assert sha256_tree(tmp_path / "first") == delivered


def test_a_second_fetch_transfers_nothing_and_another_version_is_refused(project, tmp_path):
    source, pinned, delivered = project
    fetch_cohort(str(source), pinned, "first", tmp_path)
    assert fetch_cohort(str(source), pinned, "first", tmp_path).fetched == 0
    with pytest.raises(ScintiflowError, match="holds something else"):
        fetch_cohort(str(source), "HEAD", "first", tmp_path)
    assert sha256_tree(tmp_path / "first") == delivered
    altered = next((tmp_path / "first").rglob("*.dcm"))
    altered.chmod(0o644)
    altered.write_bytes(b"altered")
    with pytest.raises(ScintiflowError, match="holds something else"):
        fetch_cohort(str(source), pinned, "first", tmp_path)


def test_only_the_patients_that_are_needed(project, tmp_path):
    source, pinned, _ = project
    done = fetch_cohort(str(source), pinned, "first", tmp_path, {"P-1", "P-4"})
    record = read_ledger(done.folder)
    assert {entry.summary.patient for entry in record.entries} == {"P-1", "P-4"}
    assert (record.pairs, done.fetched) == (2, 4)
    objects = {path.relative_to(done.folder).as_posix(): path for path in done.folder.rglob("*.dcm")}
    assert {entry.path: entry.object_sha256 for entry in record.entries} == {
        name: sha256_file(path) for name, path in objects.items()
    }
    assert fetch_cohort(str(source), pinned, "first", tmp_path, {"P-4", "P-1"}).fetched == 0
    with pytest.raises(ScintiflowError, match="holds something else"):
        fetch_cohort(str(source), pinned, "first", tmp_path, {"P-4"})


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"name": "second"}, "there is no cohort 'second'"),
        ({"patients": {"P-later"}}, "holds no scan of P-later"),
        ({"revision": "0" * 40}, "cannot be listed"),
        ({"revision": "main", "source": "https://git.example.org/project"}, "is not the full SHA of a commit"),
    ],
)
def test_what_is_not_there_is_named(project, tmp_path, arguments, sentence):
    source, pinned, _ = project
    asked = {"source": str(source), "revision": pinned, "name": "first", "target": tmp_path} | arguments
    with pytest.raises(ScintiflowError, match=sentence):
        fetch_cohort(**asked)
    assert not list(tmp_path.iterdir())


def test_bytes_that_were_altered_in_the_remote_are_refused(tmp_path):
    project = make_project(tmp_path / "project")
    write_cohort(project, "first", {"P-1": 1})
    commit_cohort(project, "first", "First")
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", str(project), str(clone))
    digest = hashlib.md5((project / "data/cohorts/first/cohort.html").read_bytes()).hexdigest()
    stored = tmp_path / "project-remote/files/md5" / digest[:2] / digest[2:]
    stored.chmod(0o644)
    stored.write_bytes(stored.read_bytes()[:-1] + b"!")
    with pytest.raises(
        ScintiflowError, match=r"cohort\.html: cannot be fetched: its content is not what its hash says"
    ):
        fetch_cohort(str(clone), "HEAD", "first", tmp_path / "pod")
    assert not list((tmp_path / "pod").iterdir())


def test_pods_that_start_together_share_one_folder(project, tmp_path):
    source, pinned, delivered = project
    command = [sys.executable, "-m", "scintiflow.cli", "cohort", "fetch", "--cohort", "first", "--rev", pinned]
    pods = [subprocess.Popen([*command, "--to", str(tmp_path)], cwd=source) for _ in range(3)]
    assert [pod.wait() for pod in pods] == [0, 0, 0]
    assert sha256_tree(tmp_path / "first") == delivered
    assert [path.name for path in tmp_path.iterdir()] == ["first"]


def test_a_stage_is_given_a_plain_folder_as_it_is_and_a_pinned_one_fetched(project, monkeypatch, tmp_path):
    source, pinned, delivered = project
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    assert cohorts_at("data/cohorts", ["first"]) == Path("data/cohorts")
    folder = cohorts_at(f"{source}@{pinned}", ["first"])
    assert folder.is_relative_to(tmp_path)
    assert sha256_tree(folder / "first") == delivered


def test_a_line_that_is_cut_leaves_nothing_and_a_retry_completes(tmp_path, monkeypatch):
    with s3_server() as endpoint, line_to(endpoint) as line:
        for name, value in surroundings(line.endpoint).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        project = make_project(tmp_path / "project", f"s3://{new_bucket(endpoint)}/cohorts")
        cohort = write_cohort(project, "first", {f"P-{number}": number for number in range(6)}, padding=LARGE)
        commit_cohort(project, "first", "First")
        clone = tmp_path / "clone"
        git(tmp_path, "clone", "--quiet", str(project), str(clone))
        line.cut_after(3 * LARGE)
        with pytest.raises(ScintiflowError, match="cannot be fetched"):
            fetch_cohort(str(clone), "HEAD", "first", tmp_path / "pod")
        assert line.is_cut
        assert not list((tmp_path / "pod").iterdir())
        line.mend()
        fetch_cohort(str(clone), "HEAD", "first", tmp_path / "pod")
        assert sha256_tree(tmp_path / "pod/first") == sha256_tree(cohort)
