"""Results go out: one C-STORE to the peer, and the question whether the peer has an object already."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, NuclearMedicineImageStorage
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind, Verification  # type: ignore[attr-defined]

from scintiflow.node.security import calling_context
from scintiflow.params import NodeParams

PENDING = (0xFF00, 0xFF01)
NAMES = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")


class Answer(Enum):
    """What became of an attempt."""

    STORED = "the peer has it"
    AWAY = "the peer does not answer"
    CUT = "the line was cut before the peer answered"
    BUSY = "the peer is out of resources"
    DECLINED = "the peer does not accept this object"


class Delivery:
    """The way to `params.peer`. Not for use by several threads."""

    def __init__(self, params: NodeParams) -> None:
        self._params = params
        self._tls = calling_context(params.tls)

    def send(self, path: Path) -> Answer:
        """One attempt. Only CUT leaves open whether the object arrived."""
        with self._association((NuclearMedicineImageStorage,)) as peer:
            if not peer.is_established:
                return Answer.AWAY
            status = peer.send_c_store(path).get("Status")
        if status is None:
            return Answer.CUT
        if status == 0x0000 or status & 0xF000 == 0xB000:  # warnings: stored, with remarks (PS3.4 B.2.3)
            return Answer.STORED
        return Answer.BUSY if status & 0xFF00 == 0xA700 else Answer.DECLINED

    def has(self, path: Path) -> bool | None:
        """Whether the peer has the object of this file, by C-FIND (PS3.4 C.4.1); None if it cannot say."""
        wanted = dcmread(path, stop_before_pixels=True)
        query = Dataset()
        query.QueryRetrieveLevel = "IMAGE"
        for name in NAMES:
            setattr(query, name, wanted.get(name))
        with self._association((StudyRootQueryRetrieveInformationModelFind,)) as peer:
            if not peer.is_established:
                return None
            answers = list(peer.send_c_find(query, StudyRootQueryRetrieveInformationModelFind))
        found = [found for status, found in answers if status.get("Status") in PENDING and found is not None]
        if answers and answers[-1][0].get("Status") == 0x0000:
            return any(each.get("SOPInstanceUID") == wanted.SOPInstanceUID for each in found)
        return None

    def echo(self) -> bool:
        """Whether the peer answers a C-ECHO."""
        with self._association((Verification,)) as peer:
            return bool(peer.is_established and peer.send_c_echo().get("Status") == 0x0000)

    @contextmanager
    def _association(self, sop_classes: tuple[str, ...]) -> Iterator[Association]:
        caller = AE(ae_title=self._params.ae_title)
        caller.acse_timeout = caller.dimse_timeout = caller.network_timeout = self._params.timeout_seconds
        caller.connection_timeout = self._params.timeout_seconds
        for sop_class in sop_classes:
            caller.add_requested_context(sop_class, [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
        peer = self._params.peer
        tls = None if self._tls is None else (self._tls, peer.host)
        association = caller.associate(peer.host, peer.port, ae_title=peer.ae_title, tls_args=tls)
        try:
            yield association
        finally:
            if association.is_established:
                association.release()
