"""Certificate revocation lists (RFC 5280, section 5): read, verified, and asked.

A list counts only if an authority of the door's own bundle has signed it, for whoever can write the file could else
revoke everybody's revocation. The whole chain is asked for: an authority that the one above has revoked vouches for
nobody. What is in doubt is `StoreUnavailable`, never "not revoked".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hms_svc.core.credentials.x509 import distinguished_name
from hms_svc.core.ports import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cryptography import x509

    from hms_svc.core.model import ClientCertificate

MAX_BYTES = 8_000_000
"""Of all lists together; some 200,000 certificates."""
MAX_LISTS = 64
MAX_CHAIN = 8
_PEM = re.compile(rb"-----BEGIN X509 CRL-----[^-]+-----END X509 CRL-----")
_KEY_USAGE, _DISTRIBUTION_POINT = "2.5.29.15", "2.5.29.28"
_HASHES = frozenset({"sha256", "sha384", "sha512", "sha3-256", "sha3-384", "sha3-512"})


@dataclass(frozen=True, slots=True)
class _List:
    """All lists of one authority for one kind of certificates, taken together."""

    serials: frozenset[int]
    until_s: int
    """When the first of them is out of date, seconds since 1970."""


@dataclass(frozen=True, slots=True)
class _Authority:
    """What the bundle says of an authority."""

    issuer: str
    serial: int


class RevocationLists:
    """The lists of some authorities. They do not change; a newer file makes a new object."""

    def __init__(
        self, lists: Mapping[tuple[str, bool], _List], authorities: Mapping[str, tuple[_Authority, ...]]
    ) -> None:
        """See `read`."""
        self._lists = lists
        self._authorities = authorities

    def is_revoked(self, certificate: ClientCertificate, now_s: int) -> bool:
        """Whether the certificate is revoked, or each certificate of the authority that signed it.

        Raises `StoreUnavailable` when that cannot be told at ``now_s``.
        """
        serial = int(certificate.serial, 16)
        return self._revoked(certificate.issuer, serial, now_s, is_authority=False, depth=0)

    def _revoked(self, issuer: str, serial: int, now_s: int, *, is_authority: bool, depth: int) -> bool:
        found = self._lists.get((issuer, is_authority))
        if found is None or depth > MAX_CHAIN:
            raise StoreUnavailable(f"there is no revocation list of {issuer[:200]}")
        if now_s > found.until_s:
            raise StoreUnavailable(f"the revocation list of {issuer[:200]} is {now_s - found.until_s} s out of date")
        if serial in found.serials:
            return True
        own = self._authorities.get(issuer, ())
        if any(one.issuer == issuer or one.issuer not in self._authorities for one in own):
            return False  # nobody of the bundle stands above
        return all(self._revoked(one.issuer, one.serial, now_s, is_authority=True, depth=depth + 1) for one in own)


def read(data: bytes, bundle: bytes) -> RevocationLists:
    """The lists in ``data``: PEM, one or several, or the DER of one. ``bundle`` is the door's authorities in PEM.

    Raises `StoreUnavailable` if any list cannot be read, is of a kind that is not supported, or is not signed by an
    authority of the bundle.
    """
    from cryptography import x509

    if len(data) > MAX_BYTES:
        raise StoreUnavailable(f"the revocation lists have more than {MAX_BYTES} bytes")
    try:
        authorities = _by_subject(x509.load_pem_x509_certificates(bundle))
    except Exception as error:
        raise StoreUnavailable(f"the authorities cannot be read ({type(error).__name__})") from error
    lists: dict[tuple[str, bool], _List] = {}
    for crl in _loaded(data):
        try:
            _take(crl, authorities, lists)
        except StoreUnavailable:
            raise
        except Exception as error:
            raise StoreUnavailable(f"a revocation list cannot be read ({type(error).__name__})") from error
    return RevocationLists(
        lists,
        {
            name: tuple(_Authority(distinguished_name(one.issuer), one.serial_number) for one in same)
            for name, same in authorities.items()
        },
    )


def _by_subject(certificates: list[x509.Certificate]) -> dict[str, list[x509.Certificate]]:
    found: dict[str, list[x509.Certificate]] = {}
    for one in certificates:
        found.setdefault(distinguished_name(one.subject), []).append(one)
    return found


def _loaded(data: bytes) -> list[x509.CertificateRevocationList]:
    from cryptography import x509

    try:
        if b"-----BEGIN" not in data:
            return [x509.load_der_x509_crl(data)]
        texts = _PEM.findall(data)
        if 0 < len(texts) <= MAX_LISTS and len(texts) == data.count(b"-----BEGIN X509 CRL"):
            return [x509.load_pem_x509_crl(text) for text in texts]
    except Exception as error:
        raise StoreUnavailable(f"a revocation list cannot be read ({type(error).__name__})") from error
    raise StoreUnavailable(f"there are no revocation lists, or more than {MAX_LISTS}, or one is cut off")


def _take(
    crl: x509.CertificateRevocationList,
    authorities: Mapping[str, list[x509.Certificate]],
    lists: dict[tuple[str, bool], _List],
) -> None:
    """Verify one list and put it to those of its authority."""
    issuer = distinguished_name(crl.issuer)
    shown = issuer[:200]
    if crl.signature_hash_algorithm is not None and crl.signature_hash_algorithm.name not in _HASHES:
        raise StoreUnavailable(f"the revocation list of {shown} is signed with {crl.signature_hash_algorithm.name}")
    if not any(_has_signed(one, crl) for one in authorities.get(issuer, ())):
        raise StoreUnavailable(f"the revocation list of {shown} is not signed by an authority of the bundle")
    if crl.next_update_utc is None:
        raise StoreUnavailable(f"the revocation list of {shown} does not say when the next one is due")
    until_s = int(crl.next_update_utc.timestamp())
    serials = frozenset([one.serial_number for one in crl])
    for is_authority in _kinds(crl, shown):
        before = lists.get((issuer, is_authority), _List(frozenset(), until_s))
        together = before.serials | serials if before.serials else serials
        lists[issuer, is_authority] = _List(together, min(before.until_s, until_s))


def _has_signed(authority: x509.Certificate, crl: x509.CertificateRevocationList) -> bool:
    """Whether this authority may sign lists (RFC 5280, section 6.3.3, step f) and has signed this one."""
    for extension in authority.extensions:
        usage: Any = extension.value
        if extension.oid.dotted_string == _KEY_USAGE and not usage.crl_sign:
            return False
    key: Any = authority.public_key()
    try:
        return crl.is_signature_valid(key)
    except Exception:  # noqa: BLE001  (whatever a library makes of a signature, only True is yes)
        return False


def _kinds(crl: x509.CertificateRevocationList, shown: str) -> tuple[bool, ...]:
    """Whether the list is for certificates of authorities, of others, or both.

    Raises `StoreUnavailable` for one that is not complete: a delta, or one of several parts, of which another may be
    missing.
    """
    kinds: tuple[bool, ...] = (False, True)
    for extension in crl.extensions:
        value: Any = extension.value
        if extension.oid.dotted_string == _DISTRIBUTION_POINT and not (
            value.full_name
            or value.relative_name
            or value.indirect_crl
            or value.only_some_reasons
            or value.only_contains_attribute_certs
        ):
            kinds = (False,) if value.only_contains_user_certs else kinds
            kinds = (True,) if value.only_contains_ca_certs else kinds
        elif extension.critical:
            raise StoreUnavailable(
                f"the revocation list of {shown} is a delta, a part or indirect, so it is not complete"
            )
    return kinds
