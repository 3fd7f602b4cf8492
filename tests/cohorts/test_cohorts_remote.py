"""`scintiflow remote`: what is wrong with a remote is said in words, and a check leaves nothing behind."""

import json
import os
import socket
import time
from datetime import timedelta

import boto3
import pytest
from s3_server import OTHER_SERVER, line_to, new_bucket, own_certificate, s3_server, server_that_says, surroundings
from typer.testing import CliRunner
from versioned_project import git, make_project, set_option

from scintiflow.cli import app
from scintiflow.cohorts.remote import check_remote, set_remote
from scintiflow.errors import ScintiflowError


@pytest.fixture(scope="module")
def endpoint():
    with s3_server() as running:
        yield running


@pytest.fixture
def project(tmp_path, endpoint, monkeypatch):
    """A project whose remote is a bucket of the server."""
    for name, value in surroundings(endpoint).items():
        monkeypatch.setenv(name, value)
    return make_project(tmp_path / "project", f"s3://{new_bucket(endpoint)}/cohorts")


def _bucket(project):
    config = (project / ".dvc/config").read_text()
    return config.split("s3://")[1].split("/")[0]


def _failure(project):
    (step,) = [step for step in check_remote(project) if step.error is not None]
    return step.title, step.error


@pytest.fixture
def distrust(monkeypatch):
    """moto's server believes everybody unless told otherwise; a server of one's own never does."""
    return lambda: monkeypatch.setattr("moto.settings.INITIAL_NO_AUTH_ACTION_COUNT", 0.0)


def _employ(name: str, endpoint: str, bucket: str, *actions: str) -> dict[str, str]:
    """A user of moto's server who may do `actions`; the environment that makes one that user."""
    users = boto3.client("iam", endpoint_url=endpoint, region_name="us-east-1")
    users.create_user(UserName=name)
    what = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": list(actions), "Resource": what}]}
    users.put_user_policy(UserName=name, PolicyName="may", PolicyDocument=json.dumps(policy))
    key = users.create_access_key(UserName=name)["AccessKey"]
    return {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}


def test_a_good_remote_passes_every_step_and_nothing_is_left_in_it(project, endpoint):
    steps = check_remote(project)
    assert [step.error for step in steps] == [None] * len(steps)
    assert [step.title for step in steps][1:6] == ["write", "read", "list", "write in parts (multipart)", "delete"]
    bucket = boto3.client("s3", endpoint_url=endpoint)
    assert "Contents" not in bucket.list_objects_v2(Bucket=_bucket(project))
    assert not bucket.list_multipart_uploads(Bucket=_bucket(project)).get("Uploads")


def test_a_folder_passes_the_same_steps(tmp_path):
    project = make_project(tmp_path / "project")
    assert all(step.error is None for step in check_remote(project))
    assert not list((tmp_path / "project-remote").iterdir())


def test_a_folder_that_is_a_file_is_named(tmp_path):
    project = make_project(tmp_path / "project")
    (tmp_path / "project-remote").write_text("in the way")
    title, error = _failure(project)
    assert title == "write"
    assert "file exists" in str(error)


def test_a_missing_bucket_is_named(project):
    set_option(project, "url", "s3://cohorts-nobody-made-this/cohorts")
    title, error = _failure(project)
    assert title == "write"
    assert "the bucket does not exist" in str(error)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"AWS_ACCESS_KEY_ID": "AKIANOBODY0000000000"}, "does not know this access key"),
        ({"AWS_SECRET_ACCESS_KEY": "a wrong secret"}, "the secret key does not belong to the access key"),
    ],
)
def test_wrong_credentials_are_told_apart(project, endpoint, monkeypatch, distrust, wrong, sentence):
    right = (
        {} if os.environ.get(OTHER_SERVER) else _employ(f"user-{len(sentence)}", endpoint, _bucket(project), "s3:*")
    )
    for name, value in (right | wrong).items():
        monkeypatch.setenv(name, value)
    distrust()
    title, error = _failure(project)
    assert title == "write"
    assert sentence in str(error)
    assert "a wrong secret" not in str(error)


on_motos_server = pytest.mark.skipif(
    "os.environ.get('SCINTIFLOW_TEST_S3')", reason="makes users on moto's server: unset SCINTIFLOW_TEST_S3"
)


@on_motos_server
def test_a_reader_who_may_not_write_is_told_so_and_passes_read_only(project, endpoint, monkeypatch, distrust):
    reader = _employ("reader", endpoint, _bucket(project), "s3:GetObject", "s3:ListBucket")
    for name, value in reader.items():
        monkeypatch.setenv(name, value)
    distrust()
    title, error = _failure(project)
    assert (title, "permission denied" in str(error)) == ("write", True)
    assert all(step.error is None for step in check_remote(project, read_only=True))


@on_motos_server
def test_who_may_write_but_not_delete_is_told_which_step_failed(project, endpoint, monkeypatch, distrust):
    writer = _employ("writer", endpoint, _bucket(project), "s3:GetObject", "s3:PutObject", "s3:ListBucket")
    for name, value in writer.items():
        monkeypatch.setenv(name, value)
    distrust()
    title, error = _failure(project)
    assert (title, "permission denied" in str(error)) == ("delete", True)


def test_no_credentials_at_all(project, monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    _, error = _failure(project)
    assert "there are no credentials" in str(error)
    assert "AWS_SECRET_ACCESS_KEY" in error.remedy


def test_a_host_that_nobody_answers_on_is_named_soon(project, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    started = time.monotonic()
    _, error = _failure(project)
    assert f"127.0.0.1:{port} cannot be reached" in str(error)
    assert time.monotonic() - started < 20


def test_a_certificate_of_the_hospital_is_refused_until_its_authority_is_named(
    project, endpoint, monkeypatch, tmp_path
):
    certificate = own_certificate(tmp_path)
    with line_to(endpoint, certificate) as line:
        monkeypatch.setenv("AWS_ENDPOINT_URL", line.endpoint)
        _, error = _failure(project)
        assert "is not trusted" in str(error)
        assert "AWS_CA_BUNDLE" in error.remedy
        monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "not-there.pem"))
        _, error = _failure(project)
        assert "AWS_CA_BUNDLE names" in str(error)
        monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate))
        assert all(step.error is None for step in check_remote(project))


def test_a_clock_that_is_wrong_is_named_with_its_offset(project, monkeypatch):
    with server_that_says("RequestTimeTooSkewed", 403, ahead=timedelta(minutes=20)) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server)
        title, error = _failure(project)
    assert title == "write"
    assert "this machine's clock is 20 minutes behind the server's" in str(error)


@pytest.mark.parametrize(
    ("code", "status", "sentence"),
    [
        ("AuthorizationHeaderMalformed", 400, "the region is wrong"),
        ("XMinioStorageFull", 507, "disks are full"),
        ("SomethingNew", 418, r"the server says SomethingNew (said by the server)"),
    ],
)
def test_other_refusals_keep_their_meaning(project, monkeypatch, code, status, sentence):
    with server_that_says(code, status) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server)
        assert sentence in str(_failure(project)[1])


def test_a_secret_in_a_file_that_git_tracks_is_refused_and_not_shown(project):
    for option, value in {"access_key_id": "team", "secret_access_key": "hunter2-hunter2"}.items():
        set_option(project, option, value)
    title, error = _failure(project)
    assert "secrets" in title
    assert "secret_access_key" in str(error)
    assert "hunter2" not in str(error)
    for option in ("access_key_id", "secret_access_key"):
        set_option(project, option, None)
    for option, value in {"access_key_id": "team", "secret_access_key": "a secret of the team"}.items():
        set_option(project, option, value, "local")
    assert all(step.error is None for step in check_remote(project))


def test_setting_a_bucket_keeps_keys_and_endpoint_out_of_git(project, monkeypatch):
    lines = set_remote(project, "s3://hospital-cohorts/scintiflow", "bucket")
    config = (project / ".dvc/config").read_text()
    assert "s3://hospital-cohorts/scintiflow" in config
    assert git(project, "status", "--short", ".dvc").endswith(".dvc/config")
    assert not any(word in config for word in ("key", "secret", "endpoint", "127.0.0.1"))
    assert any("AWS_ENDPOINT_URL" in line for line in lines)
    assert check_remote(project)[-1].error, "nobody made this bucket"


@pytest.mark.parametrize("url", ["s3://key:secret@bucket/a", "s3:///a", "s3://b/a?versionId=1", "ftp://host/a"])
def test_addresses_that_cannot_be_used_are_refused(project, url):
    before = (project / ".dvc/config").read_text()
    with pytest.raises(ScintiflowError) as refusal:
        set_remote(project, url)
    assert "secret" not in str(refusal.value)
    assert (project / ".dvc/config").read_text() == before


def test_the_command_exits_with_one_when_a_step_fails(project, monkeypatch):
    monkeypatch.chdir(project)
    assert CliRunner().invoke(app, ["remote", "check"]).exit_code == 0
    set_option(project, "url", "s3://cohorts-nobody-made-this/cohorts")
    failed = CliRunner().invoke(app, ["remote", "check"])
    assert failed.exit_code == 1
    assert "no   write\n     s3://cohorts-nobody-made-this/cohorts: cannot write: the bucket does" in failed.output
