"""X.509 certificates (RFC 5280) → `ClientCertificate`: the same certificate reads the same through every door."""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import TYPE_CHECKING, Any

from hms_svc.core.credentials.distinguished_names import COMMON_NAME, written
from hms_svc.core.model import ClientCertificate

if TYPE_CHECKING:
    from cryptography import x509

MAX_PEM = 65_536
"""Characters of one certificate."""
_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
_SAN, _KEY_USAGE, _EXTENDED_KEY_USAGE = "2.5.29.17", "2.5.29.15", "2.5.29.37"
_CLIENT_AUTH = "1.3.6.1.5.5.7.3.2"
"""RFC 5280, section 4.2.1.12. anyExtendedKeyUsage is not enough: OpenSSL refuses it in the handshake, and a certificate
that is good at one door only is of no use."""
_KINDS = {"DNSName": "DNS", "RFC822Name": "email", "UniformResourceIdentifier": "URI", "IPAddress": "IP Address"}


def from_der(der: bytes) -> ClientCertificate:
    """What a certificate says; one with a `fault` if it cannot be read. Never raises."""
    from cryptography import x509

    try:
        return _read(x509.load_der_x509_certificate(der), der)
    except Exception as error:  # noqa: BLE001  (whatever a library makes of a certificate, it is a bad one)
        return unreadable(f"it cannot be read ({type(error).__name__})")


def from_pem(pem: str) -> ClientCertificate:
    """The same, of a text that holds one certificate (RFC 7468, section 5)."""
    text = pem.strip()
    if len(text) > MAX_PEM or not text.startswith(_BEGIN) or not text.endswith(_END):
        return unreadable("its text is no certificate")
    try:
        der = base64.b64decode("".join(text[len(_BEGIN) : -len(_END)].split()), validate=True)
    except (binascii.Error, ValueError):
        return unreadable("its text is no certificate")
    return from_der(der)


def unreadable(fault: str) -> ClientCertificate:
    """A certificate that identifies nobody, and why: for the record, so without anything of the certificate."""
    return ClientCertificate("", "", "", fault=fault)


def serial_text(number: int) -> str:
    """Upper-case hexadecimal, whole bytes, without a sign byte: ``0AF3``."""
    if number < 0:
        raise ValueError("a serial number is not negative")
    digits = f"{number:X}"
    return digits.zfill(len(digits) + len(digits) % 2)


def distinguished_name(name: x509.Name) -> str:
    """The text of a name, as `ClientCertificate` has it."""
    return written([(attribute.oid.dotted_string, _value(attribute.value)) for attribute in rdn] for rdn in name.rdns)


def _read(certificate: x509.Certificate, der: bytes) -> ClientCertificate:
    extensions: dict[str, Any] = {one.oid.dotted_string: one.value for one in certificate.extensions}
    subject = certificate.subject
    return ClientCertificate(
        subject=distinguished_name(subject),
        serial=serial_text(certificate.serial_number),
        issuer=distinguished_name(certificate.issuer),
        sans=tuple(
            f"{_KINDS[type(name).__name__]}:{name.value}"
            for name in extensions.get(_SAN, ())
            if type(name).__name__ in _KINDS
        ),
        thumbprint=base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode("ascii"),
        common_names=tuple(_value(one.value) for one in subject if one.oid.dotted_string == COMMON_NAME),
        not_before_s=int(certificate.not_valid_before_utc.timestamp()),
        not_after_s=int(certificate.not_valid_after_utc.timestamp()),
        for_clients=_is_for_clients(extensions),
        der=der,
    )


def _is_for_clients(extensions: dict[str, Any]) -> bool:
    usage, extended = extensions.get(_KEY_USAGE), extensions.get(_EXTENDED_KEY_USAGE)
    may_sign = usage is None or usage.digital_signature
    return may_sign and (extended is None or any(oid.dotted_string == _CLIENT_AUTH for oid in extended))


def _value(value: str | bytes) -> str:
    """An attribute's value; one that is no text (x500UniqueIdentifier) by its bytes."""
    return value if isinstance(value, str) else f"#{value.hex()}"
