"""A certificate authority of the test's own, and the TLS contexts of both sides."""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

_DAY = dt.timedelta(days=1)


def key_usage(*used: str) -> x509.KeyUsage:
    """For these uses and no others."""
    kinds = "digital_signature content_commitment key_encipherment data_encipherment key_agreement key_cert_sign"
    every = [*kinds.split(), "crl_sign", "encipher_only", "decipher_only"]
    return x509.KeyUsage(**{kind: kind in used for kind in every})


_SIGNS_CERTIFICATES = key_usage("key_cert_sign", "crl_sign")


def name(common: str, organisation: str = "Agency") -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation),
            x509.NameAttribute(NameOID.COMMON_NAME, common),
        ]
    )


class Authority:
    """Signs certificates and revocation lists, and keeps certificates as files in ``folder``."""

    def __init__(
        self, folder: Path, common: str = "Test CA", *, above: Authority | None = None, serial: int = 77, **more: Any
    ) -> None:
        """``above`` is the authority that signs this one's certificate; without it, it signs its own.

        ``more`` is as `sign` takes it.
        """
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = name(common)
        self.file = folder / f"{common}.pem"
        signer = above or self
        self.certificate = signer.sign(self._name, self._key, serial, authority=True, **more)
        self.pem = self.certificate.public_bytes(serialization.Encoding.PEM)
        self.file.write_bytes(self.pem)

    def issue(
        self,
        common: str,
        *,
        serial: int = 4711,
        sans: list[x509.GeneralName] | None = None,
        subject: x509.Name | None = None,
        chain: bytes = b"",
        **more: Any,
    ) -> Path:
        """A file with a key, its certificate and, after it, ``chain``. ``more`` is as `sign` takes it."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self.sign(subject or name(common), key, serial, sans or [], authority=False, **more)
        file = self._folder / f"{common}.pem"
        pem = serialization.Encoding.PEM
        private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        file.write_bytes(private + certificate.public_bytes(pem) + chain)
        return file

    def renewed(self, by: Authority, *, serial: int) -> bytes:
        """Another certificate of this authority's key, signed by ``by``, in PEM."""
        certificate = by.sign(self._name, self._key, serial, authority=True)
        return certificate.public_bytes(serialization.Encoding.PEM)

    def crl(
        self,
        *serials: int,
        now: dt.datetime | None = None,
        ends: dt.timedelta = _DAY,
        extensions: Iterable[x509.ExtensionType] = (),
        of_entries: Iterable[x509.ExtensionType] = (),
        critical: bool = True,
        begins: dt.timedelta = -2 * _DAY,
        algorithm: hashes.SHA224 | hashes.SHA256 | None = None,
    ) -> bytes:
        """A CRL that revokes these, in PEM, whose next update is due ``ends`` from ``now``.

        All its extensions, and those of each entry, are ``critical`` or are not.
        """
        now = now or dt.datetime.now(dt.UTC)
        builder = x509.CertificateRevocationListBuilder().issuer_name(self._name).last_update(now + begins)
        builder = builder.next_update(now + ends)
        for serial in serials:
            revoked = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now - _DAY)
            for extension in of_entries:
                revoked = revoked.add_extension(extension, critical=critical)
            builder = builder.add_revoked_certificate(revoked.build())
        for extension in extensions:
            builder = builder.add_extension(extension, critical=critical)
        return builder.sign(self._key, algorithm or hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def sign(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        serial: int,
        sans: Sequence[x509.GeneralName] = (),
        *,
        authority: bool,
        starts: dt.timedelta = -_DAY,
        ends: dt.timedelta = _DAY,
        usages: Sequence[x509.ObjectIdentifier] = (),
        key_usage: x509.KeyUsage | None = None,
    ) -> x509.Certificate:
        now = dt.datetime.now(dt.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(serial)
            .not_valid_before(now + starts)
            .not_valid_after(now + ends)
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        key_usage = key_usage or (_SIGNS_CERTIFICATES if authority else None)
        if key_usage:
            builder = builder.add_extension(key_usage, critical=True)
        if usages:
            builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        if sans:
            builder = builder.add_extension(x509.SubjectAlternativeName(sans), critical=False)
        return builder.sign(self._key, hashes.SHA256())


def certificate_pem(file: Path) -> str:
    """The first certificate of a file, without the key beside it."""
    text = file.read_text()
    end = "-----END CERTIFICATE-----\n"
    return text[text.index("-----BEGIN CERTIFICATE-----") : text.index(end)] + end


def localhost() -> list[x509.GeneralName]:
    return [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]


def client_context(authority: Path, certificate: Path | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=authority)
    if certificate is not None:
        context.load_cert_chain(certificate)
    return context
