"""Certificate revocation lists (RFC 5280, section 5): read, verified, and asked.

A list counts only if an authority of the door's own bundle has signed it, for whoever can write the file could else
revoke everybody's revocation. The whole chain is asked for, from key to key: an authority that one above it has revoked
vouches for nobody. What is in doubt is `StoreUnavailable`, never "not revoked".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hms_svc.core.credentials.authorities import HASHES, read_bundle
from hms_svc.core.credentials.x509 import distinguished_name
from hms_svc.core.ports import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cryptography import x509

    from hms_svc.core.credentials.authorities import Authority, Bundle
    from hms_svc.core.model import ClientCertificate

MAX_BYTES = 8_000_000
"""Of all lists together; some 200,000 certificates."""
MAX_LISTS = 64
MAX_CHAIN = 8
CLOCKS_DIFFER_S = 60
"""How far ahead a list may have been made: an authority's clock and the door's are not the same."""
_PEM = re.compile(rb"-----BEGIN X509 CRL-----[^-]+-----END X509 CRL-----")
_KEY_USAGE, _DISTRIBUTION_POINT, _DELTA = "2.5.29.15", "2.5.29.28", "2.5.29.27"
_OF_ANOTHER_ISSUER = "2.5.29.29"
_KNOWN_OF_ENTRIES = frozenset({"2.5.29.21", "2.5.29.24"})
"""Reason and invalidity date: they change nothing, an entry revokes."""


@dataclass(frozen=True, slots=True)
class _List:
    """All lists of one authority for one kind of certificates, taken together."""

    serials: frozenset[int]
    since_s: int
    """When the last of them was made, seconds since 1970."""
    until_s: int
    """When the first of them is out of date."""

    def doubt(self, now_s: int) -> str:
        """Why it does not count now; empty when it does."""
        if now_s > self.until_s:
            return f"is {now_s - self.until_s} s out of date"
        if now_s < self.since_s - CLOCKS_DIFFER_S:
            return f"begins in {self.since_s - now_s} s"
        return ""


class RevocationLists:
    """The lists of some authorities. They do not change; a newer file makes a new object."""

    def __init__(self, lists: Mapping[tuple[Authority, bool], _List], bundle: Bundle) -> None:
        """See `read`."""
        self._lists = lists
        self._bundle = bundle

    def is_revoked(self, certificate: ClientCertificate, now_s: int) -> bool:
        """Whether the certificate is revoked, or any certificate of an authority above it.

        Raises `StoreUnavailable` when that cannot be told at ``now_s``.
        """
        doubts: list[str] = []
        signers = self._bundle.signers(certificate)
        asked = [(signer, int(certificate.serial, 16), 0) for signer in signers]
        if not signers:
            doubts.append(f"nobody in the bundle signed the certificate as {_shown(certificate.issuer)}")
        walked: set[Authority] = set()
        while asked:
            authority, serial, depth = asked.pop(0)
            found = self._lists.get((authority, depth > 0)) if depth <= MAX_CHAIN else None
            doubt = found.doubt(now_s) if found else ""
            if found is None:
                doubts.append(f"there is no revocation list of {_shown(authority.name)}")
            elif doubt:
                doubts.append(f"the revocation list of {_shown(authority.name)} {doubt}")
            elif serial in found.serials:
                return True
            if authority not in walked:
                walked.add(authority)
                for voucher in self._bundle.vouchers(authority):
                    asked += [(signer, voucher.serial, depth + 1) for signer in voucher.signers]
                    if not voucher.signers:
                        doubts.append(f"nobody in the bundle signed the certificate of {_shown(authority.name)}")
        if doubts:
            raise StoreUnavailable(doubts[0])
        return False


def read(data: bytes, bundle: bytes) -> RevocationLists:
    """The lists in ``data``: PEM, one or several, or the DER of one. ``bundle`` is the door's authorities in PEM.

    Raises `StoreUnavailable` if any list cannot be read, is of a kind that is not supported, or is not signed by an
    authority of the bundle.
    """
    if len(data) > MAX_BYTES:
        raise StoreUnavailable(f"the revocation lists have more than {MAX_BYTES} bytes")
    authorities = read_bundle(bundle)
    lists: dict[tuple[Authority, bool], _List] = {}
    for crl in _loaded(data):
        try:
            _take(crl, authorities, lists)
        except StoreUnavailable:
            raise
        except Exception as error:
            raise StoreUnavailable(f"a revocation list cannot be read ({type(error).__name__})") from error
    return RevocationLists(lists, authorities)


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


def _take(crl: x509.CertificateRevocationList, bundle: Bundle, lists: dict[tuple[Authority, bool], _List]) -> None:
    """Verify one list and put it to those of its authority."""
    issuer = distinguished_name(crl.issuer)
    of = f"the revocation list of {_shown(issuer)}"
    if crl.signature_hash_algorithm is not None and crl.signature_hash_algorithm.name not in HASHES:
        raise StoreUnavailable(f"{of} is signed with {crl.signature_hash_algorithm.name}")
    signers = [
        authority
        for authority in bundle.named(issuer)
        if any(_has_signed(one, crl) for one in bundle.certificates(authority))
    ]
    if not signers:
        raise StoreUnavailable(f"{of} is not signed by an authority of the bundle")
    if crl.next_update_utc is None:
        raise StoreUnavailable(f"{of} does not say when the next one is due")
    since_s, until_s = int(crl.last_update_utc.timestamp()), int(crl.next_update_utc.timestamp())
    kinds, serials = _kinds(crl, of), _serials(crl, of)
    for key in [(signer, is_authority) for signer in signers for is_authority in kinds]:
        before = lists.get(key, _List(frozenset(), since_s, until_s))
        together = before.serials | serials if before.serials else serials
        lists[key] = _List(together, max(before.since_s, since_s), min(before.until_s, until_s))


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


def _kinds(crl: x509.CertificateRevocationList, of: str) -> tuple[bool, ...]:
    """Whether the list is for certificates of authorities, of others, or both.

    Raises `StoreUnavailable` for one that is not complete: a delta, or one of several parts, of which another may be
    missing. What says so should be critical; where it is not, it says so all the same.
    """
    kinds: tuple[bool, ...] = (False, True)
    for extension in crl.extensions:
        oid, value = extension.oid.dotted_string, extension.value
        if oid == _DISTRIBUTION_POINT:
            kinds = _kinds_at(value)
        if oid == _DELTA or not kinds:
            raise StoreUnavailable(f"{of} is a delta, a part or indirect, so it is not complete")
        if extension.critical and oid != _DISTRIBUTION_POINT:
            raise StoreUnavailable(f"{of} has an extension that is not known, and critical: {oid}")
    return kinds


def _kinds_at(point: Any) -> tuple[bool, ...]:
    """The same by the issuing distribution point; nothing for one of a part (RFC 5280, section 5.2.5)."""
    only_users, only_authorities = point.only_contains_user_certs, point.only_contains_ca_certs
    is_part = (
        point.full_name
        or point.relative_name
        or point.indirect_crl
        or point.only_some_reasons
        or point.only_contains_attribute_certs
        or (only_users and only_authorities)
    )
    if is_part:
        return ()
    return (False,) if only_users else (True,) if only_authorities else (False, True)


def _serials(crl: x509.CertificateRevocationList, of: str) -> frozenset[int]:
    """Who is revoked.

    Raises `StoreUnavailable` where an entry says what is not understood: such a list must not be used to tell who is
    (RFC 5280, section 5.3).
    """
    serials: list[int] = []
    for entry in crl:
        for extension in entry.extensions:
            oid = extension.oid.dotted_string
            if oid == _OF_ANOTHER_ISSUER or (extension.critical and oid not in _KNOWN_OF_ENTRIES):
                raise StoreUnavailable(f"{of} has an entry that is not understood: it says {oid}")
        serials.append(entry.serial_number)
    return frozenset(serials)


def _shown(name: str) -> str:
    return name[:200]
