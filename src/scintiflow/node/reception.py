"""Scans come in: a C-STORE and C-ECHO provider that answers success when the object is safe on the disk."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import cast

from pydicom.uid import (
    JPEG2000,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLossless,
    JPEGLosslessSV1,
    NuclearMedicineImageStorage,
    RLELossless,
    SecondaryCaptureImageStorage,
)
from pynetdicom import AE, evt
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]
from pynetdicom.transport import ThreadedAssociationServer

from scintiflow.errors import ScintiflowError
from scintiflow.node.counters import Counters
from scintiflow.node.security import listening_context
from scintiflow.node.spool import Spool
from scintiflow.params import NodeParams

SUCCESS, OUT_OF_RESOURCES = 0x0000, 0xA700  # PS3.4 B.2.3
# GE Millennium stores its scans as secondary captures. JPEG 2000 may have lost counts: reading decides.
SOP_CLASSES = (NuclearMedicineImageStorage, SecondaryCaptureImageStorage)
TRANSFER_SYNTAXES = [
    ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian,
    JPEGLossless, JPEGLosslessSV1, JPEG2000Lossless, JPEG2000, RLELossless,
]  # fmt: skip
log = logging.getLogger("scintiflow.node")


@contextmanager
def receiving(params: NodeParams, spool: Spool, counters: Counters, arrived: Callable[[], None]) -> Iterator[int]:
    """Listen while the block runs; yields the port. `arrived` is called after each new object is in the spool.

    Only callers whose AE title is allowed, and who call this node by its own, are let in (PS3.8 9.3.4). An AE
    title is no proof of who calls: TLS is. Raises ScintiflowError if nobody is allowed or the port is taken.
    """
    if not params.calling_ae_titles:
        raise ScintiflowError(
            "nobody may send to this node",
            where="node.calling_ae_titles",
            remedy="Name the AE titles of the cameras or workstations that send to it",
        )
    provider = AE(ae_title=params.ae_title)
    provider.require_called_aet = True
    provider.require_calling_aet = list(params.calling_ae_titles)
    provider.acse_timeout = provider.dimse_timeout = provider.network_timeout = params.timeout_seconds
    provider.add_supported_context(Verification)
    for sop_class in SOP_CLASSES:
        provider.add_supported_context(sop_class, TRANSFER_SYNTAXES)

    def store(event: evt.Event) -> int:
        return _store(event, params, spool, counters, arrived)

    try:
        server = cast(
            ThreadedAssociationServer,  # as it is where it does not block
            provider.start_server(
                (params.bind, params.port),
                block=False,
                ssl_context=listening_context(params.tls),
                evt_handlers=[(evt.EVT_C_STORE, store), (evt.EVT_REJECTED, lambda event: _rejected(counters))],
            ),
        )
    except OSError as error:
        raise ScintiflowError(
            f"cannot listen on {params.bind}:{params.port} ({error.strerror})",
            where="node.port",
            remedy="Free the port, or name another; ports below 1024 need privileges",
        ) from None
    try:
        yield int(server.server_address[1])
    finally:
        provider.shutdown()


def _store(
    event: evt.Event, params: NodeParams, spool: Spool, counters: Counters, arrived: Callable[[], None]
) -> int:
    if not spool.has_room(params.smallest_free_mb):
        counters.declined.inc()
        log.error("declined an object: the spool's disk is full")
        return OUT_OF_RESOURCES
    instance_uid = str(cast(C_STORE, event.request).AffectedSOPInstanceUID)
    dataset, part_10 = event.encoded_dataset(include_meta=False), event.encoded_dataset()
    try:
        key = spool.receive(instance_uid, dataset, part_10)
    except OSError as error:
        counters.declined.inc()
        log.error("declined an object: the spool cannot be written (%s)", error.strerror)
        return OUT_OF_RESOURCES
    if key is None:
        counters.repeated.inc()
        return SUCCESS
    counters.received.inc()
    log.info("%s received", key)
    arrived()
    return SUCCESS


def _rejected(counters: Counters) -> None:
    counters.strangers.inc()
    log.warning("turned a caller away: its AE title is not allowed, or it calls another node")
