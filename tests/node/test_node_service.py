"""The node among real DICOM programs: DCMTK's storescu and echoscu call it, DCMTK's storescp gets the results."""

import json
import logging
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_peers import eventually, free_port, node_params, storescp
from dicom_samples import rapid_counts, rapid_object
from toy_node import IDENTITY, restore

from scintiflow.dicom.derived import restored_counts
from scintiflow.dicom.whole_body import save_object
from scintiflow.errors import ScintiflowError
from scintiflow.node.service import running_node
from scintiflow.node.spool import SENT
from scintiflow.params import PeerParams, TlsParams

TOY = Path(__file__).parent / "toy_node.py"


def storescu(program: str, port: int, *paths: Path, caller: str = "CAMERA1", options: tuple[str, ...] = ()) -> int:
    command = [program, *options, "-aet", caller, "-aec", "SCINTIFLOW", "127.0.0.1", str(port), *map(str, paths)]
    return subprocess.run(command, capture_output=True, timeout=120).returncode


def saved(folder: Path, number: int) -> Path:
    path = folder / f"scan{number}.dcm"
    save_object(path, rapid_object(number))
    return path


def arrived(folder: Path) -> list[pydicom.Dataset]:
    return [pydicom.dcmread(path) for path in sorted(folder.iterdir())]


def answer(port: int, page: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{page}", timeout=30) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest.fixture
def words(caplog):
    """Everything that the node says."""
    caplog.set_level(logging.INFO)
    return caplog


def test_a_scan_goes_through_and_what_is_no_scan_is_set_aside(dcmtk, tmp_path, words):
    scu, echo, scp = (dcmtk(name) for name in ("storescu", "echoscu", "storescp"))
    params = node_params(tmp_path / "spool", free_port())
    rapid = saved(tmp_path, 1)
    with storescp(scp, tmp_path / "archive", params.peer.port) as archive, running_node(params, restore, IDENTITY):
        assert (
            subprocess.run([echo, "-aet", "CAMERA1", "-aec", "SCINTIFLOW", "127.0.0.1", str(params.port)]).returncode
            == 0
        )
        assert storescu(scu, params.port, rapid) == 0
        eventually(lambda: list((tmp_path / "spool" / SENT).glob("*.json")))
        (result,) = arrived(archive)
        np.testing.assert_allclose(restored_counts(result), rapid_counts(1) * 2.0, atol=0.001)
        assert result.ImageType[0] == "DERIVED"

        assert storescu(scu, params.port, rapid) == 0  # the operator presses the button again
        assert storescu(scu, params.port, rapid, caller="STRANGER") != 0
        derived = tmp_path / "derived.dcm"
        result.save_as(derived)
        assert storescu(scu, params.port, derived) == 0
        refused = 'scintiflow_node_refused_total{code="DERIVED_INPUT"}'
        eventually(lambda: refused in answer(params.health_port, "metrics")[1])
        assert len(arrived(archive)) == 1

        status, page = answer(params.health_port, "healthz")
        assert (status, json.loads(page)["items"]) == (200, {"received": 0, "restored": 0, "refused": 1})
        numbers = dict(
            line.rsplit(" ", 1) for line in answer(params.health_port, "metrics")[1].splitlines() if line[0] != "#"
        )
        for name, value in {
            "received_total": 2, "repeated_total": 1, "restored_total": 1, "sent_total": 1, "turned_away_total": 1,
            'refused_total{code="DERIVED_INPUT"}': 1, "peer_up": 1,
            f'model{{name="toy",sha256="{IDENTITY.checkpoint_sha256}",version="7"}}': 1,
        }.items():  # fmt: skip
            assert float(numbers[f"scintiflow_node_{name}"]) == value, name
        assert answer(params.health_port, "else")[0] == 404

    assert "toy, version 7" in words.text
    assert "DERIVED_INPUT" in words.text
    kept = "".join(path.read_text() for path in (tmp_path / "spool").rglob("*.json"))
    named = [str(path) for path in (tmp_path / "spool").rglob("*")]
    for said in (words.text, kept, *named):
        for identity in ("Berra", "MRN4711", "1.2.826.0.1.3680043"):
            assert identity not in said
    assert (tmp_path / "spool").stat().st_mode & 0o077 == 0


def test_a_peer_that_is_away_gets_everything_when_it_is_back(dcmtk, tmp_path):
    scu, scp = dcmtk("storescu"), dcmtk("storescp")
    params = node_params(tmp_path / "spool", free_port())
    with running_node(params, restore, IDENTITY) as node:
        assert storescu(scu, params.port, saved(tmp_path, 1), saved(tmp_path, 2)) == 0
        eventually(lambda: node.counters.failures._value.get() >= 2)
        assert answer(node.health_port, "healthz")[0] == 200  # waiting is no illness
        with storescp(scp, tmp_path / "archive", params.peer.port) as archive:
            eventually(lambda: len(list((tmp_path / "spool" / SENT).glob("*.json"))) == 2)
            assert len(arrived(archive)) == 2


def test_killed_again_and_again_every_scan_arrives(dcmtk, tmp_path):
    """SIGKILL at random moments while scans come in; the camera repeats what was not acknowledged."""
    scu, scp = dcmtk("storescu"), dcmtk("storescp")
    scans = [saved(tmp_path, number) for number in range(6)]
    params = node_params(tmp_path / "spool", free_port())
    settings = tmp_path / "params.json"
    settings.write_text(params.model_dump_json())
    moments = np.random.default_rng(4).uniform(0.05, 0.9, 3)

    def start(slowness: float) -> subprocess.Popen:
        command = [sys.executable, str(TOY), str(settings), str(slowness)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout.readline() == "ready\n"
        return process

    sent = tmp_path / "spool" / SENT
    with storescp(scp, tmp_path / "archive", params.peer.port) as archive:
        waiting = list(scans)
        for moment in moments:
            process = start(slowness=0.2)
            try:
                acknowledged = [path for path in waiting[:2] if storescu(scu, params.port, path) == 0]
                waiting = [path for path in waiting if path not in acknowledged]
                with pytest.raises(subprocess.TimeoutExpired):
                    process.wait(moment)
            finally:
                process.kill()
                process.wait()
        assert not waiting  # all were acknowledged by a process that is dead now
        process = start(slowness=0.0)
        try:
            eventually(lambda: len(list(sent.glob("*.json"))) == len(scans))
        finally:
            process.terminate()
            process.wait()
        results = arrived(archive)
    by_uid = {result.SOPInstanceUID: result for result in results}
    assert sorted(result.SourceImageSequence[0].ReferencedSOPInstanceUID for result in by_uid.values()) == sorted(
        pydicom.dcmread(path).SOPInstanceUID for path in scans
    )
    # what came twice, because its first arrival could not be marked, is the same object to the bit
    assert all(result.PixelData == by_uid[result.SOPInstanceUID].PixelData for result in results)


def certificates(folder: Path) -> TlsParams:
    """An authority, and one certificate of it for everybody on this machine."""
    from ipaddress import ip_address

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.x509.oid import NameOID

    def named(name: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])

    keys = {name: rsa.generate_private_key(65537, 2048) for name in ("authority", "machine")}
    start = datetime.now(UTC) - timedelta(hours=1)
    for name, key in keys.items():
        builder = (
            x509.CertificateBuilder()
            .subject_name(named(name))
            .issuer_name(named("authority"))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(start + timedelta(days=2))
            .add_extension(x509.BasicConstraints(ca=name == "authority", path_length=None), critical=True)
        )
        if name == "machine":
            here = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
            builder = builder.add_extension(here, critical=False)
        signed = builder.sign(keys["authority"], hashes.SHA256())
        (folder / f"{name}.pem").write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    content = keys["machine"].private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, plain
    )
    (folder / "key.pem").write_bytes(content)
    return TlsParams(
        certificate=str(folder / "machine.pem"),
        key=str(folder / "key.pem"),
        authorities=str(folder / "authority.pem"),
    )


def test_with_tls_only_those_with_a_certificate_get_in_and_out(dcmtk, tmp_path):
    scu, scp = dcmtk("storescu"), dcmtk("storescp")
    tls = certificates(tmp_path)
    params = node_params(tmp_path / "spool", free_port(), tls)
    shown = ("+tls", tls.key, tls.certificate, "+cf", tls.authorities)
    rapid = saved(tmp_path, 1)
    with (
        storescp(scp, tmp_path / "archive", params.peer.port, *shown) as archive,
        running_node(params, restore, IDENTITY),
    ):
        assert storescu(scu, params.port, rapid) != 0  # no TLS
        assert storescu(scu, params.port, rapid, options=("+tla", "-ic")) != 0  # TLS without a certificate
        assert storescu(scu, params.port, rapid, options=shown) == 0
        eventually(lambda: list((tmp_path / "spool" / SENT).glob("*.json")))
        assert len(arrived(archive)) == 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"calling_ae_titles": []}, "nobody may send"),
        ({"peer": PeerParams()}, "node.peer"),
        ({"tls": TlsParams(certificate="no.pem", key="no.pem", authorities="no.pem")}, "no such file"),
    ],
)
def test_what_keeps_a_node_from_starting_is_said(tmp_path, changes, words):
    with (
        pytest.raises(ScintiflowError, match=words),
        running_node(node_params(tmp_path / "spool", 104, **changes), restore, IDENTITY),
    ):
        pass


def test_a_full_disk_declines_and_keeps_nothing(dcmtk, tmp_path):
    params = node_params(tmp_path / "spool", free_port(), smallest_free_mb=10**9)
    with running_node(params, restore, IDENTITY) as node:
        assert storescu(dcmtk("storescu"), params.port, saved(tmp_path, 1)) != 0
        assert answer(node.health_port, "healthz")[0] == 503
        assert answer(node.health_port, "livez")[0] == 200  # a restart makes no room
    assert not list((tmp_path / "spool" / "received").iterdir())


def test_a_scan_that_hangs_asks_for_a_restart(dcmtk, tmp_path, monkeypatch):
    go_on = threading.Event()

    def hang(source, target):
        go_on.wait(60)
        return restore(source, target)

    monkeypatch.setattr("scintiflow.node.service.HANGS_AFTER_SECONDS", 0.2)
    params = node_params(tmp_path / "spool", free_port())
    with running_node(params, hang, IDENTITY) as node:
        assert answer(node.health_port, "livez")[0] == 200
        assert storescu(dcmtk("storescu"), params.port, saved(tmp_path, 1)) == 0
        eventually(lambda: answer(node.health_port, "livez")[0] == 503)
        assert json.loads(answer(node.health_port, "livez")[1])["problems"] == ["restoring hangs"]
        go_on.set()
        eventually(lambda: answer(node.health_port, "livez")[0] == 200)


def test_malformed_values_go_through_in_silence(dcmtk, tmp_path, capsys, words):
    """pydicom would warn of them and quote them."""
    save_object(tmp_path / "strange.dcm", rapid_object(3, patient_name="Bär^Yógi", age="9 years"))
    params = node_params(tmp_path / "spool", free_port())
    with running_node(params, restore, IDENTITY):
        assert storescu(dcmtk("storescu"), params.port, tmp_path / "strange.dcm") == 0
        words.clear()
        eventually(lambda: list((tmp_path / "spool" / "restored").glob("*.dcm")))
    said = words.text + "".join(capsys.readouterr())
    assert "9 years" not in said
    assert "Yógi" not in said
