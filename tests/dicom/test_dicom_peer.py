"""Derived objects sent to a real DICOM peer come out as they went in, to the bit."""

import numpy as np
import pytest
from dicom_samples import rapid_object
from pydicom.uid import ExplicitVRLittleEndian, NuclearMedicineImageStorage
from pynetdicom import AE, evt

from scintiflow.dicom.derived import ModelIdentity, restored_counts, restored_object
from scintiflow.dicom.opening import open_object
from scintiflow.dicom.reading import read_scan
from scintiflow.dicom.whole_body import save_object

MODEL = ModelIdentity("scintiflow", "7", "ab" * 32)


@pytest.fixture
def peer(tmp_path):
    """A storage provider on a free port; (port, folder of what it received)."""
    received = tmp_path / "received"
    received.mkdir()

    def store(event: evt.Event) -> int:
        path = received / f"{event.request.AffectedSOPInstanceUID}.dcm"
        path.write_bytes(event.encoded_dataset())
        return 0x0000

    provider = AE()
    provider.add_supported_context(NuclearMedicineImageStorage, ExplicitVRLittleEndian)
    server = provider.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, store)])
    yield server.socket.getsockname()[1], received
    server.shutdown()


def test_a_derived_object_survives_the_way_to_a_peer(peer, tmp_path):
    port, received = peer
    source, sent = tmp_path / "rapid.dcm", tmp_path / "restored.dcm"
    save_object(source, rapid_object())
    wanted = read_scan(source).counts * 1.987 + 0.0137
    save_object(sent, restored_object(source, wanted, MODEL, "Estimated standard scan"))
    sender = AE()
    sender.add_requested_context(NuclearMedicineImageStorage, ExplicitVRLittleEndian)
    association = sender.associate("127.0.0.1", port)
    assert association.is_established
    status = association.send_c_store(sent)
    association.release()
    assert status.Status == 0x0000
    (arrived,) = received.iterdir()
    there, here = open_object(arrived).dataset, open_object(sent).dataset
    assert there == here
    assert there.PixelData == here.PixelData
    assert np.array_equal(restored_counts(there), restored_counts(here))
    assert np.abs(restored_counts(there) - wanted).max() < 0.001
    headers = [path.read_bytes() for path in (arrived, sent)]
    start = [content.index(b"\x08\x00\x05\x00CS") for content in headers]  # after the file header
    assert headers[0][start[0] :] == headers[1][start[1] :]
