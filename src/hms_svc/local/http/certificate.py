"""A client's certificate as TLS has verified it → the core's `ClientCertificate`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from hms_svc.core.model import ClientCertificate

if TYPE_CHECKING:
    import ssl

_SHORT = {
    "commonName": "CN", "countryName": "C", "domainComponent": "DC", "localityName": "L", "organizationName": "O",
    "organizationalUnitName": "OU", "stateOrProvinceName": "ST", "streetAddress": "STREET", "userId": "UID",
}  # fmt: skip
"""RFC 4514, section 3; other attributes keep the name OpenSSL gives them."""
_SPECIAL = re.compile(r'[,+"\\<>;=]|^[ #]| $')


def client_certificate(connection: ssl.SSLObject) -> ClientCertificate | None:
    """The certificate the client has proved to hold, or None if it presented none.

    The handshake has verified it: one that does not verify never gets this far.
    """
    certificate: Any = connection.getpeercert()
    if not certificate:
        return None
    return ClientCertificate(
        subject=distinguished_name(certificate.get("subject", ())),
        serial=str(certificate.get("serialNumber", "")).upper(),
        issuer=distinguished_name(certificate.get("issuer", ())),
        sans=tuple(f"{kind}:{value}" for kind, value, *_ in certificate.get("subjectAltName", ())),
    )


def distinguished_name(rdns: tuple[tuple[tuple[str, str], ...], ...]) -> str:
    """The string form of a name (RFC 4514): most significant part first, special characters escaped."""
    return ",".join(
        "+".join(f"{_SHORT.get(kind, kind)}={_SPECIAL.sub(_escape, value)}" for kind, value in rdn)
        for rdn in reversed(rdns)
    ).replace("\0", "\\00")


def _escape(special: re.Match[str]) -> str:
    return f"\\{special.group()}"
