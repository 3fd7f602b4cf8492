"""`scintiflow node` as people start it: the model that comes along, a recipe of their own, SIGTERM at the end."""

import signal
import subprocess
import sys
from pathlib import Path

import yaml
from dicom_peers import eventually, free_port, node_params, storescp
from dicom_samples import rapid_object

from scintiflow.dicom.derived import restored_counts
from scintiflow.dicom.reading import read_scan
from scintiflow.dicom.whole_body import save_object
from scintiflow.drift.store import Journal
from scintiflow.restoration.model_folder import REFERENCE_FOLDER, checkpoint_sha256

ROOT = Path(__file__).parents[2]


def test_the_command_restores_with_the_reference_model_and_keeps_statistics(dcmtk, tmp_path):
    import pydicom

    scu, scp = dcmtk("storescu"), dcmtk("storescp")
    params = node_params(tmp_path / "spool", free_port())
    profile = tmp_path / "clinic.yaml"
    profile.write_text(yaml.safe_dump({"node": params.model_dump(), "watch": {"folder": str(tmp_path / "watch")}}))
    scan = tmp_path / "rapid.dcm"
    save_object(scan, rapid_object(1))
    command = [sys.executable, "-m", "scintiflow.cli", "node", "--model", "reference", "--profile", str(profile)]
    with storescp(scp, tmp_path / "archive", params.peer.port) as archive, (tmp_path / "log").open("w+") as log:
        node = subprocess.Popen([*command, "--params", str(ROOT / "params.yaml")], stderr=log, cwd=ROOT)
        try:
            send = [scu, "-aet", "CAMERA1", "-aec", "SCINTIFLOW", "127.0.0.1", str(params.port), str(scan)]
            eventually(
                lambda: node.poll() is not None or not subprocess.run(send, capture_output=True).returncode, 400
            )
            eventually(lambda: list((tmp_path / "spool" / "sent").glob("*.json")))
            node.send_signal(signal.SIGTERM)
            assert node.wait(60) == 0
        finally:
            node.kill()
            node.wait()
        (result,) = [pydicom.dcmread(path) for path in archive.iterdir()]
        said = (tmp_path / "log").read_text()
    sha256 = checkpoint_sha256(REFERENCE_FOLDER)
    assert f"model scintiflow-reference, version {sha256[:12]}, SHA-256 {sha256}" in said
    assert "Berra" not in said
    rapid = read_scan(scan).counts
    assert 1.8 < restored_counts(result).sum() / rapid.sum() < 2.2
    (row,) = Journal(tmp_path / "watch").rows()
    assert row.model_sha256 == sha256
    assert 0.5 < row.consistency_deviance < 1.5
