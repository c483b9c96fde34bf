"""The authorities that a door believes, and which of them has signed a certificate: told by the key, not by the name.

An authority can write any name into a certificate below its own, another authority's too, and the chain still verifies.
So a certificate is of the authority that it names only if one of that name in the door's own bundle has signed it. The
chain that a handshake verified would not do: a resumed session has none, and API Gateway shows none.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any, NamedTuple

from hms_svc.core.credentials.x509 import distinguished_name
from hms_svc.core.ports import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cryptography import x509

    from hms_svc.core.model import ClientCertificate

MAX_REMEMBERED = 4_096
"""Client certificates whose signers are known without a signature check."""
HASHES = frozenset({"sha256", "sha384", "sha512", "sha3-256", "sha3-384", "sha3-512"})
"""What a signature may be over, where it has a hash of its own choice."""


class Authority(NamedTuple):
    """Who signs. Two of one name are two, and one that has several certificates is one."""

    name: str
    """Distinguished name, as `ClientCertificate` has it."""
    key: bytes
    """Its public key (SubjectPublicKeyInfo, DER)."""


class Voucher(NamedTuple):
    """A certificate in the bundle by which others vouch for an authority."""

    serial: int
    signers: tuple[Authority, ...]
    """The authorities of the bundle that have signed it."""


class Bundle:
    """The authorities of one bundle. They do not change; a newer file makes a new object."""

    def __init__(self, certificates: Iterable[x509.Certificate]) -> None:
        """See `read_bundle`."""
        self._certificates: dict[Authority, list[x509.Certificate]] = {}
        self._named: dict[str, list[Authority]] = {}
        self._signers: OrderedDict[str, tuple[Authority, ...]] = OrderedDict()
        self._vouchers: dict[Authority, tuple[Voucher, ...]] = {}
        for one in certificates:
            authority = Authority(distinguished_name(one.subject), _key_of(one))
            if not authority.key:
                continue
            if authority not in self._certificates:
                self._certificates[authority] = []
                self._named.setdefault(authority.name, []).append(authority)
            self._certificates[authority].append(one)

    def named(self, name: str) -> tuple[Authority, ...]:
        """All who have this name."""
        return tuple(self._named.get(name, ()))

    def certificates(self, authority: Authority) -> tuple[x509.Certificate, ...]:
        """What the bundle has of an authority."""
        return tuple(self._certificates.get(authority, ()))

    def signers(self, certificate: ClientCertificate) -> tuple[Authority, ...]:
        """Those that have the name of the certificate's issuer and have signed it: one, or none."""
        if not certificate.thumbprint or certificate.issuer not in self._named:
            return ()
        found = self._signers.get(certificate.thumbprint)
        if found is None:
            found = self._signers[certificate.thumbprint] = self._signers_of(certificate.der)
            if len(self._signers) > MAX_REMEMBERED:
                self._signers.popitem(last=False)
        return found

    def vouchers(self, authority: Authority) -> tuple[Voucher, ...]:
        """How others vouch for an authority of the bundle. Nothing for one that stands at the top by its own word.

        A voucher without signers is of somebody who is not in the bundle. That does not matter to one who is at the
        top besides.
        """
        found = self._vouchers.get(authority)
        if found is None:
            made = [Voucher(one.serial_number, self._signers_among(one)) for one in self.certificates(authority)]
            is_top = any(authority in voucher.signers for voucher in made)
            found = self._vouchers[authority] = tuple(
                voucher for voucher in made if authority not in voucher.signers and (voucher.signers or not is_top)
            )
        return found

    def _signers_of(self, der: bytes) -> tuple[Authority, ...]:
        from cryptography import x509

        try:
            return self._signers_among(x509.load_der_x509_certificate(der))
        except Exception:  # noqa: BLE001  (what cannot be read, nobody has signed)
            return ()

    def _signers_among(self, certificate: x509.Certificate) -> tuple[Authority, ...]:
        return tuple(
            authority
            for authority in self.named(distinguished_name(certificate.issuer))
            if has_signed(self._certificates[authority][0].public_key(), certificate)
        )


def read_bundle(pem: bytes) -> Bundle:
    """The authorities whose certificates stand in ``pem``. Raises `StoreUnavailable` when it cannot be read."""
    from cryptography import x509

    try:
        return Bundle(x509.load_pem_x509_certificates(pem))
    except Exception as error:
        raise StoreUnavailable(f"the authorities cannot be read ({type(error).__name__})") from error


def has_signed(key: Any, certificate: x509.Certificate) -> bool:
    """Whether the signature is this key's. Names are not compared: they may be written in several encodings."""
    from cryptography.hazmat.primitives.asymmetric import ec

    signature, content = certificate.signature, certificate.tbs_certificate_bytes
    try:
        algorithm = certificate.signature_hash_algorithm
        parameters: Any = certificate.signature_algorithm_parameters
        if algorithm is None:
            key.verify(signature, content)  # Ed25519, Ed448
        elif algorithm.name not in HASHES:
            return False
        elif isinstance(parameters, ec.ECDSA):
            key.verify(signature, content, parameters)
        else:
            key.verify(signature, content, parameters, algorithm)  # RSA, of either padding
    except Exception:  # noqa: BLE001  (whatever a library makes of a signature, only no error is yes)
        return False
    return True


def _key_of(certificate: x509.Certificate) -> bytes:
    """Nothing for a key of a kind that cannot be used: who has such a one vouches for nobody."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    try:
        return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except Exception:  # noqa: BLE001  (the library has several errors for that)
        return b""
