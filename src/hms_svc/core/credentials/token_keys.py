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

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MIN_RSA_BITS, MAX_RSA_BITS = 2048, 8192
MIN_RSA_EXPONENT, MAX_RSA_EXPONENT = 65_537, 2**64
"""FIPS 186-5 has exponents above 2^16; larger ones than this only cost time."""
ALGORITHMS: Mapping[str, tuple[str, str, int]] = {
    "RS256": ("RSA", "", 0),
    "RS384": ("RSA", "", 0),
    "RS512": ("RSA", "", 0),
    "ES256": ("EC", "P-256", 32),
    "ES384": ("EC", "P-384", 48),
    "ES512": ("EC", "P-521", 66),
}
"""What is supported: key type, curve and length of a coordinate in bytes (RFC 7518, section 3.1)."""
_ROCA_PRIMES = (11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157)


def usable(keys: Iterable[Mapping[str, Any]], algorithm: str) -> list[tuple[str | None, dict[str, str]]]:
    """The keys that fit ``algorithm``, each with its ``kid`` and as a JWK of nothing but its public numbers."""
    return [(key.get("kid"), numbers) for key in keys if (numbers := _public_numbers(key, algorithm)) is not None]


def _public_numbers(key: Mapping[str, Any], algorithm: str) -> dict[str, str] | None:
    kty, curve, size = ALGORITHMS[algorithm]
    if key.get("kty") != kty or not _is_for(key, algorithm):
        return None
    try:
        if kty == "EC":
            return _ec_numbers(key, curve, size)
        return _rsa_numbers(key)
    except (binascii.Error, ValueError):
        return None


def _is_for(key: Mapping[str, Any], algorithm: str) -> bool:
    """Whether what the key says of its use allows verifying signatures with this algorithm."""
    operations = key.get("key_ops", ["verify"])
    return (
        key.get("alg", algorithm) == algorithm
        and key.get("use", "sig") == "sig"
        and isinstance(operations, list)
        and "verify" in operations
        and isinstance(key.get("kid", ""), str)
    )


def _ec_numbers(key: Mapping[str, Any], curve: str, size: int) -> dict[str, str] | None:
    x, y = _octets(key.get("x")), _octets(key.get("y"))
    if key.get("crv") != curve or len(x) != size or len(y) != size:
        return None
    return {"kty": "EC", "crv": curve, "x": key["x"], "y": key["y"]}


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
