"""DICOM's other side for tests: ports, DCMTK's storage provider, a node's settings."""

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from scintiflow.params import NodeParams, PeerParams, TlsParams


def free_port() -> int:
    with contextlib.closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def eventually(condition: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait until the condition holds; fail if it never does."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def node_params(spool: Path, peer_port: int, tls: TlsParams | None = None, **changes) -> NodeParams:
    """A node on free ports that CAMERA1 may call, and that tries again soon."""
    values = {
        "port": free_port(),
        "health_port": free_port(),
        "calling_ae_titles": ["CAMERA1"],
        "peer": PeerParams(ae_title="ARCHIVE", host="127.0.0.1", port=peer_port),
        "tls": tls or TlsParams(),
        "spool": str(spool),
        "smallest_free_mb": 1,
        "timeout_seconds": 10.0,
        "retry_after_seconds": 0.2,
        "retry_at_most_seconds": 0.5,
    }
    return NodeParams(**{**values, **changes})


@contextmanager
def storescp(program: str, folder: Path, port: int, *options: str) -> Iterator[Path]:
    """DCMTK's storage provider; every object that arrives is a new file of its folder, repeated ones too."""
    folder.mkdir(exist_ok=True)
    command = [program, "+uf", "--fork", "-aet", "ARCHIVE", "-od", str(folder), *options, str(port)]
    server = subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: _listens(port))
        yield folder
    finally:
        os.killpg(server.pid, 9)
        server.wait()


def _listens(port: int) -> bool:
    with contextlib.closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
