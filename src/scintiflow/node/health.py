"""`/healthz` for whoever restarts the node, `/metrics` for whoever watches it."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from scintiflow.errors import ScintiflowError

Health = Callable[[], tuple[bool, dict[str, Any]]]


@contextmanager
def answering(bind: str, port: int, health: Health, registry: CollectorRegistry) -> Iterator[int]:
    """Answer over HTTP while the block runs; yields the port.

    `health` says whether the node can do its work, and the facts that are shown as JSON, with 200 or 503.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/healthz":
                well, facts = health()
                self._answer(200 if well else 503, "application/json", json.dumps(facts, indent=2).encode())
            elif self.path == "/metrics":
                health()  # brings the gauges up to date
                self._answer(200, CONTENT_TYPE_LATEST, generate_latest(registry))
            else:
                self._answer(404, "text/plain", b"/healthz and /metrics are here\n")

        def _answer(self, status: int, kind: str, content: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """A probe every few seconds is no news."""

    try:
        server = ThreadingHTTPServer((bind, port), Handler)
    except OSError as error:
        raise ScintiflowError(
            f"cannot listen on {bind}:{port} ({error.strerror})",
            where="node.health_port",
            remedy="Free the port, or name another",
        ) from None
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, name="health", daemon=True)
    thread.start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
