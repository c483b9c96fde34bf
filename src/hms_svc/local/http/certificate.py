"""A client's certificate as TLS has verified it → the core's `ClientCertificate`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl

    from hms_svc.core.model import ClientCertificate


def client_certificate(connection: ssl.SSLObject) -> ClientCertificate | None:
    """The certificate the client has proved to hold, or None if it presented none.

    The handshake has verified it: one that does not verify never gets this far. A resumed session keeps the
    certificate of the handshake that began it.
    """
    der = connection.getpeercert(binary_form=True)
    if not der:
        return None
    from hms_svc.core.credentials.x509 import from_der

    return from_der(der)
