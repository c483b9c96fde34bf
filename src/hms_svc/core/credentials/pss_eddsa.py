"""Signatures that python-jose does not know, verified by `cryptography`, which it stands on: PS256 … PS512 and EdDSA.

Imported by `tokens` when the first token of these kinds comes. A key here is what one of jose's is there: an object
with ``verify(signing_input, signature)``.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_HASHES: Mapping[str, Callable[[], hashes.HashAlgorithm]] = {
    "PS256": hashes.SHA256,
    "PS384": hashes.SHA384,
    "PS512": hashes.SHA512,
}
ALGORITHMS = frozenset({*_HASHES, "EdDSA", "Ed25519", "Ed448"})


class PssKey:
    """An RSA key for RSASSA-PSS with a salt as long as the hash, and MGF1 over the same (RFC 7518, section 3.5)."""

    def __init__(self, numbers: Mapping[str, str], algorithm: str) -> None:
        """Raises `ValueError` for numbers that are no key."""
        self._key = RSAPublicNumbers(_number(numbers["e"]), _number(numbers["n"])).public_key()
        self._hash = _HASHES[algorithm]()
        self._padding = padding.PSS(padding.MGF1(self._hash), self._hash.digest_size)

    def verify(self, signing_input: bytes, signature: bytes) -> bool:
        """Whether the key's owner signed this."""
        try:
            self._key.verify(signature, signing_input, self._padding, self._hash)
        except InvalidSignature:
            return False
        return True


class EdKey:
    """A point of Curve25519 or Curve448 for EdDSA (RFC 8037, section 3.1)."""

    def __init__(self, numbers: Mapping[str, str]) -> None:
        """Raises `ValueError` for what is no point."""
        kind = Ed25519PublicKey if numbers["crv"] == "Ed25519" else Ed448PublicKey
        self._key = kind.from_public_bytes(_octets(numbers["x"]))

    def verify(self, signing_input: bytes, signature: bytes) -> bool:
        """Whether the key's owner signed this."""
        try:
            self._key.verify(signature, signing_input)
        except InvalidSignature:
            return False
        return True


def construct(numbers: Mapping[str, str], algorithm: str) -> PssKey | EdKey:
    """The key of these public numbers for one of `ALGORITHMS`. Raises `ValueError`."""
    return PssKey(numbers, algorithm) if algorithm in _HASHES else EdKey(numbers)


def _number(text: str) -> int:
    return int.from_bytes(_octets(text), "big")


def _octets(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
