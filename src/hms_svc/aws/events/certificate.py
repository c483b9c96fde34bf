"""The client certificate that API Gateway has verified, from the event's context → the core's `ClientCertificate`.

Never from a header: whoever calls can write any. ALB and VPC Lattice say nothing of it in the context, so behind them
nobody is identified by certificate.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from hms_svc.aws.events.members import part, text
from hms_svc.core.model import ClientCertificate

if TYPE_CHECKING:
    from hms_svc.aws.events.members import Event

_SPACE_AFTER_COMMA = re.compile(r"(?<!\\),\s+")
_KINDS = {"DNSName": "DNS", "RFC822Name": "email", "UniformResourceIdentifier": "URI", "IPAddress": "IP Address"}


def client_certificate(identity: Event) -> ClientCertificate | None:
    """What ``clientCert`` of ``identity`` says, written as the laptop's server writes it."""
    given = part(identity, "clientCert")
    subject = text(given, "subjectDN")
    if not subject:
        return None
    return ClientCertificate(
        subject=_SPACE_AFTER_COMMA.sub(",", subject),
        serial=_serial(text(given, "serialNumber")),
        issuer=_SPACE_AFTER_COMMA.sub(",", text(given, "issuerDN")),
        sans=_alternative_names(text(given, "clientCertPem")),
    )


def _serial(number: str) -> str:
    """``0a:1b`` → ``0A1B``: whole bytes, without a sign byte."""
    digits = number.replace(":", "").upper().lstrip("0")
    return digits.zfill(len(digits) + len(digits) % 2) if digits else "00"


def _alternative_names(pem: str) -> tuple[str, ...]:
    """The names with their kind; none for a text that is no certificate."""
    if not pem.startswith("-----BEGIN CERTIFICATE-----"):
        return ()
    from cryptography import x509

    try:
        certificate = x509.load_pem_x509_certificate(pem.encode("ascii"))
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound):
        return ()
    return tuple(f"{_KINDS[type(name).__name__]}:{name.value}" for name in names if type(name).__name__ in _KINDS)
