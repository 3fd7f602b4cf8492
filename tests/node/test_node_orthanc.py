"""The node in front of a real archive: Orthanc gets the results and can be asked whether it has one."""

import json
import shutil
import subprocess
import urllib.request
from contextlib import contextmanager

import pytest
from dicom_peers import eventually, free_port, node_params
from dicom_samples import rapid_object
from toy_node import IDENTITY, restore

from scintiflow.dicom.whole_body import save_object
from scintiflow.node.counters import Counters
from scintiflow.node.delivery import Delivery
from scintiflow.node.sending import Sending
from scintiflow.node.service import running_node
from scintiflow.node.spool import RESTORED, SENT, Spool


@contextmanager
def orthanc(program: str, folder):
    """An empty archive; yields (DICOM port, a function that asks its REST interface)."""
    dicom, http = free_port(), free_port()
    settings = {
        "DicomAet": "ARCHIVE",
        "DicomPort": dicom,
        "HttpPort": http,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "index"),
        "DicomModalities": {"node": ["SCINTIFLOW", "127.0.0.1", 104]},
        "Plugins": [],
    }
    (folder / "orthanc.json").write_text(json.dumps(settings))
    with (folder / "orthanc.log").open("w") as log:
        server = subprocess.Popen([program, str(folder / "orthanc.json")], stdout=log, stderr=log)

    def ask(path: str):
        with urllib.request.urlopen(f"http://127.0.0.1:{http}/{path}", timeout=30) as reply:
            return json.loads(reply.read())

    def ready() -> bool:
        assert server.poll() is None, (folder / "orthanc.log").read_text()[-1000:]
        try:
            return bool(ask("system"))
        except OSError:
            return False

    try:
        eventually(ready)
        yield dicom, ask
    finally:
        server.terminate()
        server.wait()


def test_orthanc_gets_each_result_once(need, dcmtk, tmp_path):
    program, storescu = need("orthanc", shutil.which("Orthanc")), dcmtk("storescu")
    scan = tmp_path / "rapid.dcm"
    save_object(scan, rapid_object(1))
    with orthanc(program, tmp_path) as (port, ask):
        params = node_params(tmp_path / "spool", port)
        delivery = Delivery(params)
        assert delivery.echo()
        result = tmp_path / "result.dcm"
        restore(scan, result)
        assert delivery.has(result) is False

        with running_node(params, restore, IDENTITY):
            sent = subprocess.run(
                [storescu, "-aet", "CAMERA1", "-aec", "SCINTIFLOW", "127.0.0.1", str(params.port), str(scan)]
            )
            assert sent.returncode == 0
            eventually(lambda: list((tmp_path / "spool" / SENT).glob("*.json")))
        assert delivery.has(result) is True
        (instance,) = ask("instances")
        tags = ask(f"instances/{instance}/simplified-tags")
        assert tags["SeriesDescription"].startswith("RESTORED")

        # killed after the archive had answered and before that was marked: the archive is asked, nothing is sent
        with Spool.opened(tmp_path / "after a crash") as spool:
            key = spool.receive("1.2.3", b"object", scan.read_bytes())
            restore(scan, spool.path(RESTORED, key))
            spool.begin(key, "sending", in_doubt=True)
            counters = Counters()
            delivery.send = lambda path: pytest.fail("it was sent again")
            assert Sending(spool, delivery, params, counters).step()
            assert json.loads(spool.path(SENT, key).read_text())["outcome"] == "found at the peer"
        assert len(ask("instances")) == 1
