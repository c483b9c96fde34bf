"""The TLS side of the local door: its certificate, and the authority whose client certificates it believes."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def server_context(certificate: Path, key: Path | None, client_ca: Path | None) -> ssl.SSLContext:
    """A context for TLS 1.2 and newer.

    With ``client_ca`` a client may present a certificate, and one that does not verify against it is refused in the
    handshake; none at all is let through, since whether a route needs one is for the route to say. Raises `OSError`
    (of which `ssl.SSLError` is one) when a file cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION  # a connection has one certificate from its beginning to its end
    context.set_alpn_protocols(["http/1.1"])
    context.load_cert_chain(certificate, key)
    if client_ca is not None:
        context.load_verify_locations(client_ca)
        context.verify_mode = ssl.CERT_OPTIONAL
    return context
