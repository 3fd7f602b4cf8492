"""Cohorts through S3 with the real DVC: whole, or not there, also when the network breaks in the middle."""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import boto3
import pytest
from s3_server import line_to, new_bucket, s3_server, surroundings
from versioned_project import commit_cohort, git, make_project, set_option, write_cohort

from scintiflow.cohorts.tracking import push_cohort, track_cohort
from scintiflow.cohorts.versions import cohort_record
from scintiflow.errors import ScintiflowError
from scintiflow.files import sha256_tree

POINTER = Path("data/cohorts/first.dvc")
LARGE = 300_000  # bytes of padding in each object, so that there is a middle to break in


@pytest.fixture(scope="module")
def endpoint():
    with s3_server() as running:
        yield running


@pytest.fixture
def line(endpoint, monkeypatch):
    """A line to the server that can be cut; everybody in the test goes over it."""
    with line_to(endpoint) as line:
        for name, value in surroundings(line.endpoint).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        yield line


@pytest.fixture
def project(tmp_path, endpoint, line, monkeypatch):
    """A project with one cohort of twelve objects, committed and not pushed."""
    project = make_project(tmp_path / "project", f"s3://{new_bucket(endpoint)}/cohorts")
    set_option(project, "verify", True)
    cohort = write_cohort(project, "first", {f"P-{number}": number for number in range(6)}, padding=LARGE)
    assert len(list(cohort.rglob("*.dcm"))) == 12
    git(project, "add", ".dvc")
    commit_cohort(project, "first", "First", push=False)
    monkeypatch.chdir(project)
    return project


def _clone(project):
    clone = project.with_name("clone")
    git(project.parent, "clone", "--quiet", str(project), str(clone))
    return clone


def _pull(project):
    return subprocess.run(
        [sys.executable, "-m", "dvc", "pull", "--jobs", "2", str(POINTER)],
        cwd=project,
        capture_output=True,
        text=True,
    )


def _broken_in_the_bucket(endpoint, project):
    """Names of objects in the bucket whose bytes are not what their name says."""
    bucket = (project / ".dvc/config").read_text().split("s3://")[1].split("/")[0]
    client = boto3.client("s3", endpoint_url=endpoint)
    listed = client.list_objects_v2(Bucket=bucket).get("Contents", [])
    contents = {entry["Key"]: client.get_object(Bucket=bucket, Key=entry["Key"])["Body"].read() for entry in listed}
    return [key for key, content in contents.items() if not _is_named_rightly(key, content)], len(listed)


def _is_named_rightly(path: str, content: bytes) -> bool:
    return "".join(path.split("/")[-2:]).removesuffix(".dir") == hashlib.md5(content).hexdigest()


def test_what_one_pushes_another_pulls_byte_for_byte(project, endpoint):
    push_cohort(POINTER)
    clone = _clone(project)
    assert len(cohort_record(clone, "first", "HEAD").entries) == 12, "read over S3, before anything is pulled"
    assert _pull(clone).returncode == 0
    assert sha256_tree(clone / "data/cohorts/first") == sha256_tree(project / "data/cohorts/first")
    assert _broken_in_the_bucket(endpoint, project) == ([], 15), "twelve objects, record, page, DVC's listing"


def test_a_push_that_is_cut_says_so_and_leaves_nothing_broken_and_a_retry_completes(project, endpoint, line):
    line.cut_after(line.bytes_carried + 4 * LARGE)
    with pytest.raises(ScintiflowError) as refusal:
        push_cohort(POINTER)
    assert line.is_cut
    assert "cannot" in str(refusal.value)
    assert "Run the same command again" in refusal.value.remedy
    broken, there = _broken_in_the_bucket(endpoint, project)
    assert not broken
    assert there < 15
    line.mend()
    push_cohort(POINTER)
    assert _broken_in_the_bucket(endpoint, project) == ([], 15)
    clone = _clone(project)
    assert _pull(clone).returncode == 0
    assert sha256_tree(clone / "data/cohorts/first") == sha256_tree(project / "data/cohorts/first")


def test_a_pull_that_is_cut_leaves_nothing_broken_and_a_retry_completes(project, line):
    push_cohort(POINTER)
    clone = _clone(project)
    line.cut_after(4 * LARGE)
    assert _pull(clone).returncode != 0
    assert line.is_cut
    cached = [path for path in (clone / ".dvc/cache/files/md5").glob("??/*") if path.is_file()]
    assert all(_is_named_rightly(path.as_posix(), path.read_bytes()) for path in cached if "." not in path.stem)
    there = clone / "data/cohorts/first"
    for path in there.rglob("*.dcm"):
        assert path.read_bytes() == (project / "data/cohorts/first" / path.relative_to(there)).read_bytes()
    line.mend()
    assert _pull(clone).returncode == 0
    assert sha256_tree(there) == sha256_tree(project / "data/cohorts/first")


def test_an_object_that_was_altered_in_the_bucket_is_not_pulled(project, endpoint):
    push_cohort(POINTER)
    bucket = (project / ".dvc/config").read_text().split("s3://")[1].split("/")[0]
    digest = hashlib.md5((project / "data/cohorts/first/cohort.html").read_bytes()).hexdigest()
    name = f"cohorts/files/md5/{digest[:2]}/{digest[2:]}"
    boto3.client("s3", endpoint_url=endpoint).put_object(Bucket=bucket, Key=name, Body=b"<p>fir!t</p>")
    clone = _clone(project)
    assert _pull(clone).returncode != 0
    assert not (clone / "data/cohorts/first/cohort.html").exists()


def test_versioning_a_cohort_without_a_bucket_names_the_bucket_and_keeps_what_was_done(project):
    set_option(project, "url", "s3://cohorts-nobody-made-this/cohorts")
    with pytest.raises(ScintiflowError, match="the bucket does not exist"):
        track_cohort(Path("data/cohorts/first"))
    assert POINTER.is_file()


def test_one_team_adds_a_cohort_without_fetching_the_others(project):
    push_cohort(POINTER)
    clone = _clone(project)
    write_cohort(clone, "second", {"P-9": 9})
    commit_cohort(clone, "second", "Second")
    assert not (clone / "data/cohorts/first").exists()
    git(project, "pull", "--quiet", str(clone), "main")
    shutil.rmtree(clone)
    assert [entry.summary.patient for entry in cohort_record(project, "second", "HEAD").entries] == ["P-9", "P-9"]
