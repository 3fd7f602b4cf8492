"""`/livez` for whoever restarts the node, `/healthz` for whoever sends to it, `/metrics` for whoever watches it."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from scintiflow.errors import ScintiflowError


@dataclass(frozen=True)
class Condition:
    """Of the node, now.

    Attributes:
        stuck: what a restart would mend, in words.
        unable: what it would not.
        facts: for whoever looks, beside these.
    """

    stuck: list[str] = field(default_factory=list)
    unable: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)


@contextmanager
def answering(bind: str, port: int, condition: Callable[[], Condition], registry: CollectorRegistry) -> Iterator[int]:
    """Answer over HTTP while the block runs; yields the port.

    `/healthz` is 503 if anything is wrong, `/livez` only if a restart would mend it; both show why, as JSON.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path in ("/healthz", "/livez"):
                found = condition()
                problems = found.stuck if self.path == "/livez" else [*found.stuck, *found.unable]
                page = {"well": not problems, "problems": problems, **found.facts}
                self._answer(503 if problems else 200, "application/json", json.dumps(page, indent=2).encode())
            elif self.path == "/metrics":
                condition()  # brings the gauges up to date
                self._answer(200, CONTENT_TYPE_LATEST, generate_latest(registry))
            else:
                self._answer(404, "text/plain", b"/healthz, /livez and /metrics are here\n")

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
