"""An S3 server over HTTP, and what can go wrong between a team and it.

moto's server unless SCINTIFLOW_TEST_S3 names the endpoint of another (MinIO, Ceph, AWS); then AWS_ACCESS_KEY_ID and
AWS_SECRET_ACCESS_KEY must be those of somebody who may make buckets there.
"""

import os
import socket
import ssl
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import boto3

OTHER_SERVER = "SCINTIFLOW_TEST_S3"


@contextmanager
def s3_server() -> Iterator[str]:
    """The endpoint's URL."""
    if os.environ.get(OTHER_SERVER):
        yield os.environ[OTHER_SERVER]
        return
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        yield "http://{}:{}".format(*server.get_host_and_port())
    finally:
        server.stop()


def surroundings(endpoint: str) -> dict[str, str]:
    """What a member of the team has in the environment."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": os.environ.get("AWS_ACCESS_KEY_ID", "team"),
        "AWS_SECRET_ACCESS_KEY": os.environ.get("AWS_SECRET_ACCESS_KEY", "a secret of the team"),
        "AWS_DEFAULT_REGION": os.environ.get("AWS_DEFAULT_REGION", "us-east-1"),
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def new_bucket(endpoint: str) -> str:
    name = f"cohorts-{uuid.uuid4().hex[:12]}"
    boto3.client("s3", endpoint_url=endpoint).create_bucket(Bucket=name)
    return name


class Line:
    """A TCP line to the server that can be cut: after so many bytes it drops every connection and takes no other.

    With a certificate (PEM with key) the near end speaks TLS.
    """

    def __init__(self, endpoint: str, certificate: Path | None = None) -> None:
        parts = urlsplit(endpoint)
        self._upstream = (parts.hostname, parts.port or 80)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._tls = None
        if certificate is not None:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(certificate)
        self.endpoint = f"{'https' if self._tls else 'http'}://127.0.0.1:{self._listener.getsockname()[1]}"
        self.bytes_carried = 0
        self._left: int | None = None
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut_after(self, carried: int) -> None:
        self._left = carried

    @property
    def is_cut(self) -> bool:
        return self._left is not None and self._left <= 0

    def mend(self) -> None:
        self._left = None

    def close(self) -> None:
        self._listener.close()
        self._drop_all()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near: socket.socket) -> None:
        if self.is_cut:
            near.close()
            return
        try:
            if self._tls:
                near = self._tls.wrap_socket(near, server_side=True)
            far = socket.create_connection(self._upstream)
        except OSError:
            near.close()
            return
        with self._lock:
            self._open |= {near, far}
        if self.is_cut:  # meanwhile
            self._drop_all()
            return
        for source, target in ((near, far), (far, near)):
            threading.Thread(target=self._carry, args=(source, target), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(16384):
                self.bytes_carried += len(data)
                if self._left is not None:
                    self._left -= len(data)
                    if self._left <= 0:
                        self._drop_all()
                        return
                target.sendall(data)
        self._drop({source, target})

    def _drop_all(self) -> None:
        with self._lock:
            ends = set(self._open)
        self._drop(ends)

    def _drop(self, ends: set[socket.socket]) -> None:
        with self._lock:
            self._open -= ends
        for end in ends:
            with suppress(OSError):  # first, for close alone neither wakes the thread that reads nor tells the peer
                end.shutdown(socket.SHUT_RDWR)
            end.close()


@contextmanager
def line_to(endpoint: str, certificate: Path | None = None) -> Iterator[Line]:
    line = Line(endpoint, certificate)
    try:
        yield line
    finally:
        line.close()


@contextmanager
def server_that_says(code: str, status: int, ahead: timedelta = timedelta()) -> Iterator[str]:
    """A server that answers every request with one of S3's refusals; its clock is `ahead` of this machine's."""

    class Handler(BaseHTTPRequestHandler):
        def _refuse(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = f"<Error><Code>{code}</Code><Message>said by the server</Message></Error>".encode()
            self.send_response_only(status)
            self.send_header("Date", format_datetime(datetime.now(UTC) + ahead, usegmt=True))
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _refuse  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def own_certificate(folder: Path) -> Path:
    """A self-signed certificate for 127.0.0.1 with its key, as PEM."""
    from ipaddress import ip_address

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "hospital")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = folder / "hospital.pem"
    pem.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return pem
