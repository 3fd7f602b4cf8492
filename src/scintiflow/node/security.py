"""TLS for both directions: each side shows a certificate that the configured authorities signed (PS3.15 B.12)."""

import ssl
from pathlib import Path

from scintiflow.errors import ScintiflowError
from scintiflow.params import TlsParams


def listening_context(tls: TlsParams) -> ssl.SSLContext | None:
    """For those who send to the node; they must show a certificate. None: no TLS."""
    if not tls.wanted:
        return None
    context = _filled(ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), tls)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def calling_context(tls: TlsParams) -> ssl.SSLContext | None:
    """For the peer; its certificate must name the host that the recipe names. None: no TLS."""
    if not tls.wanted:
        return None
    return _filled(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), tls)


def _filled(context: ssl.SSLContext, tls: TlsParams) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    for key, path in (("certificate", tls.certificate), ("key", tls.key), ("authorities", tls.authorities)):
        if not Path(path).is_file():
            raise ScintiflowError("no such file", where=f"node.tls.{key}", remedy="Give the path of a PEM file")
    try:
        context.load_cert_chain(tls.certificate, tls.key, password="")  # never ask a terminal
        context.load_verify_locations(tls.authorities)
    except (ssl.SSLError, ValueError) as error:
        raise ScintiflowError(
            f"cannot be used ({getattr(error, 'reason', None) or type(error).__name__})",
            where="node.tls",
            remedy="Give PEM files: a certificate, the key that belongs to it without a passphrase, and authorities",
        ) from None
    return context
