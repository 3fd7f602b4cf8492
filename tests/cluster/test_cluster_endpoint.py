"""Who asks where: options, environment and pod; and what each refusal of the API tells a person."""

import socket
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from kfp_api_server import KfpApiServer

from scintiflow.cluster.connection import Connection
from scintiflow.cluster.endpoint import IN_CLUSTER_HOST, find_endpoint
from scintiflow.cluster.remote_runs import find_experiment, newest_run, state_of, submit
from scintiflow.errors import ScintiflowError


def refused(call, *arguments, **options) -> str:
    with pytest.raises(ScintiflowError) as refusal:
        call(*arguments, **options)
    return str(refusal.value)


@pytest.fixture
def profiles(server):
    """A server for several users, two of whom it knows."""
    server.multi_user = True
    server.tokens = {"fresh-token": {"imaging"}}
    server.cookies = {"authservice_session=abc": {"imaging"}}
    return server


def test_the_environment_names_host_identity_and_namespace(profiles, monkeypatch):
    monkeypatch.setenv("KF_PIPELINES_ENDPOINT", profiles.url + "/")
    monkeypatch.setenv("SCINTIFLOW_KFP_TOKEN", "fresh-token\n")
    monkeypatch.setenv("SCINTIFLOW_KFP_NAMESPACE", "imaging")
    created = find_experiment(Connection(find_endpoint()), "scintiflow", create=True)
    assert profiles.experiments[created]["namespace"] == "imaging"


def test_a_session_cookie_identifies(profiles, monkeypatch):
    monkeypatch.setenv("SCINTIFLOW_KFP_COOKIE", "authservice_session=abc")
    connection = Connection(find_endpoint(host=profiles.url, namespace="imaging"))
    assert find_experiment(connection, "scintiflow", create=True) in profiles.experiments


def test_in_a_pod_the_projected_token_identifies_and_is_read_again_when_it_is_renewed(
    profiles, monkeypatch, tmp_path
):
    token = tmp_path / "token"
    token.write_text("stale")
    monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", str(token))
    connection = Connection(find_endpoint(host=profiles.url, namespace="imaging"))
    assert "has expired" in refused(find_experiment, connection, "scintiflow")
    token.write_text("fresh-token\n")
    assert find_experiment(connection, "scintiflow", create=True) in profiles.experiments


def test_in_a_pod_the_host_is_the_clusters_own(monkeypatch):
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    assert find_endpoint().host == IN_CLUSTER_HOST


def test_a_token_file_of_an_option_comes_before_the_environment(profiles, monkeypatch, tmp_path):
    monkeypatch.setenv("SCINTIFLOW_KFP_TOKEN", "stale")
    (tmp_path / "token").write_text("fresh-token")
    connection = Connection(find_endpoint(host=profiles.url, namespace="imaging", token_file=tmp_path / "token"))
    assert find_experiment(connection, "scintiflow", create=True)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({}, "no Kubeflow Pipelines host is known"),
        ({"host": "kubeflow.example"}, "is no URL"),
        ({"host": "https://me:secret@kubeflow.example"}, "carries a password"),
        ({"host": "https://kubeflow.example", "token_file": "absent"}, "no such file"),
        ({"host": "https://kubeflow.example", "cookie_file": "empty"}, "is empty"),
        ({"host": "https://kubeflow.example", "ca": "absent"}, "no such file"),
        ({"host": "http://kubeflow.example", "token_file": "token"}, "unencrypted"),
    ],
)
def test_an_endpoint_that_cannot_work_is_refused_before_anything_is_sent(options, sentence, tmp_path):
    (tmp_path / "token").write_text("t")
    (tmp_path / "empty").write_text("\n")
    given = {name: value if name == "host" else tmp_path / value for name, value in options.items()}
    said = refused(find_endpoint, **given)
    assert sentence in said
    assert "secret" not in said


def test_an_expired_token_says_where_the_token_came_from(profiles, monkeypatch):
    monkeypatch.setenv("SCINTIFLOW_KFP_TOKEN", "stale-token")
    said = refused(find_experiment, Connection(find_endpoint(host=profiles.url, namespace="imaging")), "scintiflow")
    assert "expired" in said
    assert "SCINTIFLOW_KFP_TOKEN" in said
    assert "stale-token" not in said


def test_a_foreign_namespace_is_forbidden_and_the_remedy_names_role_and_namespace(profiles, monkeypatch):
    monkeypatch.setenv("SCINTIFLOW_KFP_TOKEN", "fresh-token")
    said = refused(
        find_experiment, Connection(find_endpoint(host=profiles.url, namespace="cardiology")), "scintiflow"
    )
    assert "you may not do this" in said
    assert "kubeflow-edit" in said
    assert "'cardiology'" in said


def test_a_missing_namespace_is_told_in_the_servers_words(profiles, monkeypatch):
    monkeypatch.setenv("SCINTIFLOW_KFP_TOKEN", "fresh-token")
    said = refused(find_experiment, Connection(find_endpoint(host=profiles.url)), "scintiflow")
    assert "must name a namespace" in said


def test_a_login_page_instead_of_the_api_is_recognised(server, connection):
    server.login_page = True
    assert "login has expired" in refused(find_experiment, connection, "scintiflow", create=True)
    assert "login has expired" in refused(state_of, connection, "1234")


def test_a_missing_experiment_is_refused_with_those_that_exist(connection):
    find_experiment(connection, "scintiflow", create=True)
    said = refused(find_experiment, connection, "scintiflo")
    assert "no experiment 'scintiflo'" in said
    assert "There are: scintiflow" in said


def test_an_experiment_without_runs_says_how_to_start_one(connection):
    experiment = find_experiment(connection, "scintiflow", create=True)
    assert "pipeline submit" in refused(newest_run, connection, experiment)


def test_an_unknown_run_is_named(connection):
    assert "there is no run 'f00'" in refused(state_of, connection, "f00")


def test_a_used_up_quota_is_told_with_its_numbers(server, connection, package, arguments):
    numbers = "exceeded quota: gpus, requested: requests.nvidia.com/gpu=1, used: 4, limited: 4"
    server.quota = f'pods "retrain" is forbidden: {numbers}'
    experiment = find_experiment(connection, "scintiflow", create=True)
    said = refused(submit, connection, package, arguments, experiment, "retrain")
    assert "the quota is used up" in said
    assert "limited: 4" in said


def test_a_host_that_does_not_listen(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    said = refused(find_experiment, Connection(find_endpoint(host=url)), "scintiflow")
    assert url in said
    assert "cannot be reached" in said


def test_a_host_whose_name_nobody_knows():
    connection = Connection(find_endpoint(host="https://kubeflow.invalid/pipeline"))
    assert "no machine of that name is known" in refused(find_experiment, connection, "scintiflow")


@pytest.fixture
def certificate(tmp_path):
    """A certificate for 127.0.0.1 that is its own authority."""
    import ipaddress

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(address, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    (tmp_path / "server.pem").write_bytes(signed.public_bytes(encoding))
    private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (tmp_path / "server.key").write_bytes(private)
    return tmp_path / "server.pem", tmp_path / "server.key"


def test_a_certificate_is_trusted_only_through_its_authority(certificate):
    with KfpApiServer(certificate) as server:
        assert "certificate is not trusted" in refused(
            find_experiment, Connection(find_endpoint(host=server.url)), "scintiflow"
        )
        trusting = Connection(find_endpoint(host=server.url, ca=certificate[0]))
        assert find_experiment(trusting, "scintiflow", create=True) in server.experiments
