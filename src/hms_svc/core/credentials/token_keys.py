"""Which of an issuer's public keys may have signed a token: the key is bound to the algorithm, never the other way.

A member of a JWK Set (RFC 7517) counts only if everything it says of itself fits: ``kty``, ``crv``, ``alg``, ``use``,
``key_ops``, ``kid``. Symmetric keys never count, weak RSA keys neither. What is left is reduced to its public numbers,
so nothing else in a set ever reaches a library.
"""

from __future__ import annotations

import base64
import binascii
import math
from typing import TYPE_CHECKING, Any

from hms_svc.core.credentials.small_order import has_small_order

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

MIN_RSA_BITS, MAX_RSA_BITS = 2048, 8192
MIN_RSA_EXPONENT, MAX_RSA_EXPONENT = 65_537, 2**64
"""FIPS 186-5 has exponents above 2^16; larger ones than this only cost time."""
ED25519, ED448 = {"Ed25519": 32}, {"Ed448": 57}
ALGORITHMS: Mapping[str, tuple[str, Mapping[str, int]]] = {
    **{name: ("RSA", {}) for name in ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")},
    "ES256": ("EC", {"P-256": 32}),
    "ES384": ("EC", {"P-384": 48}),
    "ES512": ("EC", {"P-521": 66}),
    "EdDSA": ("OKP", ED25519 | ED448),
    "Ed25519": ("OKP", ED25519),
    "Ed448": ("OKP", ED448),
}
"""What is supported: key type, and its curves with the length of a coordinate in bytes (RFC 7518, section 3.1; RFC
8037, section 3.1; RFC 9864, section 2.2)."""
_ROCA_PRIMES = (11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157)


def signing(keys: Sequence[Mapping[str, Any]]) -> int:
    """How many of the keys may verify a signature with any supported algorithm."""
    return sum(any(_public_numbers(key, algorithm) is not None for algorithm in ALGORITHMS) for key in keys)


def usable(keys: Iterable[Mapping[str, Any]], algorithm: str) -> list[tuple[str | None, dict[str, str]]]:
    """The keys that fit ``algorithm``, each with its ``kid`` and as a JWK of nothing but its public numbers."""
    return [(key.get("kid"), numbers) for key in keys if (numbers := _public_numbers(key, algorithm)) is not None]


def _public_numbers(key: Mapping[str, Any], algorithm: str) -> dict[str, str] | None:
    kty, curves = ALGORITHMS[algorithm]
    if key.get("kty") != kty or not _is_for(key, algorithm):
        return None
    try:
        return _rsa_numbers(key) if kty == "RSA" else _point(key, kty, curves)
    except (binascii.Error, ValueError):
        return None


def _is_for(key: Mapping[str, Any], algorithm: str) -> bool:
    """Whether what the key says of its use allows verifying signatures with this algorithm."""
    operations = key.get("key_ops", ["verify"])
    return (
        "d" not in key  # whoever reads the set can sign with it
        and key.get("alg", algorithm) == algorithm
        and key.get("use", "sig") == "sig"
        and isinstance(operations, list)
        and "verify" in operations
        and isinstance(key.get("kid", ""), str)
    )


def _point(key: Mapping[str, Any], kty: str, curves: Mapping[str, int]) -> dict[str, str] | None:
    """A point of an EC key; of an OKP key, whose points are one number, in ``x`` (RFC 8037, section 2)."""
    curve, names = key.get("crv"), ("x", "y") if kty == "EC" else ("x",)
    if not isinstance(curve, str) or curve not in curves:
        return None
    if any(len(_octets(key.get(name))) != curves[curve] for name in names):
        return None
    if kty == "OKP" and has_small_order(curve, _octets(key["x"])):
        return None
    return {"kty": kty, "crv": curve, **{name: key[name] for name in names}}


def _rsa_numbers(key: Mapping[str, Any]) -> dict[str, str] | None:
    modulus = int.from_bytes(_octets(key.get("n")), "big")
    exponent = int.from_bytes(_octets(key.get("e")), "big")
    strong = (
        MIN_RSA_BITS <= modulus.bit_length() <= MAX_RSA_BITS
        and MIN_RSA_EXPONENT <= exponent < MAX_RSA_EXPONENT
        and exponent % 2 == 1
        and modulus % 2 == 1
        and not _is_roca(modulus)
    )
    return {"kty": "RSA", "n": key["n"], "e": key["e"]} if strong else None


def _octets(text: object) -> bytes:
    """A number of a JWK: base64url without padding (RFC 7518, section 2). Raises `ValueError`."""
    if not isinstance(text, str) or len(text) > MAX_RSA_BITS:
        raise ValueError("it is no number")
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def _is_roca(modulus: int) -> bool:
    """Whether the modulus has the fingerprint of keys that can be factored (CVE-2017-15361).

    Primes of that library are powers of 65537 modulo many small primes, and so is their product. Other moduli pass
    all seventeen tests once in some hundred millions.
    """
    return all(_is_power_of_65537(modulus % prime, prime) for prime in _ROCA_PRIMES)


def _is_power_of_65537(residue: int, prime: int) -> bool:
    power = 65_537 % prime
    order, reached = 1, power
    while reached != 1:
        reached = reached * power % prime
        order += 1
    return math.gcd(residue, prime) == 1 and pow(residue, order, prime) == 1
