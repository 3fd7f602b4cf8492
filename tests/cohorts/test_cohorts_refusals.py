"""What goes wrong between a team and its bucket is said in the same words whoever meets it: push, pull or a pod."""

from datetime import timedelta
from pathlib import Path

import pytest
from s3_server import server_that_says, surroundings
from versioned_project import commit_cohort, git, make_project, write_cohort

from scintiflow.cohorts.fetch import fetch_cohort
from scintiflow.cohorts.tracking import pull_cohorts, push_cohort
from scintiflow.errors import ScintiflowError
from scintiflow.files import sha256_tree

POINTER = Path("data/cohorts/first.dvc")
REFUSALS = {
    "InvalidAccessKeyId": (403, timedelta(), "the server does not know this access key"),
    "SignatureDoesNotMatch": (403, timedelta(), "the secret key does not belong to the access key"),
    "NoSuchBucket": (404, timedelta(), "the bucket does not exist"),
    "RequestTimeTooSkewed": (403, timedelta(minutes=20), "this machine's clock is 20 minutes behind the server's"),
}


@pytest.fixture(params=REFUSALS)
def refusing(request, monkeypatch):
    """A server that refuses everything, and the sentence that a user shall read."""
    status, ahead, sentence = REFUSALS[request.param]
    with server_that_says(request.param, status, ahead) as endpoint:
        for name, value in surroundings(endpoint).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        yield sentence


@pytest.fixture
def project(tmp_path, monkeypatch):
    project = make_project(tmp_path / "project", "s3://cohorts-of-the-hospital/cohorts")
    write_cohort(project, "first", {"P-1": 1})
    commit_cohort(project, "first", "First", push=False)
    monkeypatch.chdir(project)
    return project


def test_push_pull_and_fetch_say_what_is_wrong_and_leave_everything_as_it_was(project, refusing, tmp_path):
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", str(project), str(clone))
    before = sha256_tree(clone / "data")
    attempts = {
        "push": lambda: push_cohort(POINTER),
        "pull": lambda: pull_cohorts(clone, [POINTER]),
        "a pod with a checkout": lambda: fetch_cohort(str(clone), "HEAD", "first", tmp_path / "pod"),
        "a pod with a URL": lambda: fetch_cohort(
            f"file://{clone}", git(clone, "rev-parse", "HEAD"), "first", tmp_path / "pod"
        ),
    }
    for who, attempt in attempts.items():
        with pytest.raises(ScintiflowError) as refusal:
            attempt()
        assert refusing in refusal.value.reason, f"{who}: {refusal.value}"
        assert refusal.value.remedy
        assert "a secret of the team" not in str(refusal.value)
    assert sha256_tree(clone / "data") == before, "nothing half-pulled"
    assert not (tmp_path / "pod").exists()
