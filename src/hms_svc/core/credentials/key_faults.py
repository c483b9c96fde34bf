"""What is wrong with the members of an issuer's JWK Set, in words for whoever runs the gateway.

A member that is there for another purpose (``use: enc``, an encryption's ``alg``) is no fault. One that tells its
private part is never used, whatever else it says: whoever reads the set can sign with it. Nothing of a key is shown but
its ``kid``, bounded.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hms_svc.core.credentials.jws import shown
from hms_svc.core.credentials.token_keys import (
    ALGORITHMS,
    MAX_RSA_BITS,
    MAX_RSA_EXPONENT,
    MIN_RSA_BITS,
    MIN_RSA_EXPONENT,
    usable,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_PRIVATE = ("d", "p", "q", "dp", "dq", "qi", "oth")
"""RFC 7518, sections 6.2.2 and 6.3.2; RFC 8037, section 2."""
_OF_SIGNATURES = re.compile(r"(?:HS|RS|ES|PS)(?:256|384|512)|ES256K|EdDSA|Ed25519|Ed448|none")
"""What ``alg`` says of a key for signatures; other names are those of encryptions (RFC 7518, section 4.1)."""


@dataclass(frozen=True, slots=True)
class Faults:
    """What was found in one set."""

    texts: tuple[str, ...]
    """One sentence a fault, in the set's order."""
    skipped: frozenset[int]
    """Members that do not count, by their place in the set."""


def faults(members: Sequence[Mapping[str, Any]]) -> Faults:
    """The faults of a set. Keys that share a ``kid`` and a type are told, and count all the same."""
    texts: list[str] = []
    skipped: set[int] = set()
    seen: set[tuple[str, str]] = set()
    for number, key in enumerate(members):
        kid = key.get("kid")
        named = f"key {shown(kid)}" if isinstance(kid, str) else f"key {number + 1} of its set"
        fault = _fault(key)
        if fault is not None:
            skipped.add(number)
            texts.append(f"{named} is skipped: {fault}")
        elif isinstance(kid, str) and _is_for_signatures(key):
            same = (kid, str(key.get("kty")))
            if same in seen:
                texts.append(f"{named} is there more than once for {same[1]}: each is tried (RFC 7517, section 4.5)")
            seen.add(same)
    return Faults(tuple(texts), frozenset(skipped))


def _fault(key: Mapping[str, Any]) -> str | None:
    """Why the key does not count; None if it does, or is there for something else."""
    kty = key.get("kty")
    if kty == "oct" or "k" in key:
        return "it is symmetric, a secret that everybody can read"
    if any(member in key for member in _PRIVATE):
        return "its private part is published, so whoever reads the set can sign"
    if any(usable([key], algorithm) for algorithm in ALGORITHMS) or not _is_for_signatures(key):
        return None
    return _fault_of_numbers(key) or _fault_of_words(key) or "its numbers are not those of a key"


def _is_for_signatures(key: Mapping[str, Any]) -> bool:
    operations = key.get("key_ops", ["verify"])
    alg = key.get("alg")
    return (
        key.get("use", "sig") == "sig"
        and (not isinstance(operations, list) or "verify" in operations)
        and (not isinstance(alg, str) or _OF_SIGNATURES.fullmatch(alg) is not None)
    )


def _fault_of_words(key: Mapping[str, Any]) -> str | None:
    kty, crv, alg = key.get("kty"), key.get("crv"), key.get("alg")
    curves = [curves for of, curves in ALGORITHMS.values() if of == kty]
    if not curves:
        return "its kty is not supported"
    if kty != "RSA" and not any(crv in named for named in curves if isinstance(crv, str)):
        return "its crv is not supported"
    if "alg" in key:
        if not isinstance(alg, str) or alg not in ALGORITHMS:
            return "its alg is not supported"
        if ALGORITHMS[alg][0] != kty:
            return "its alg is that of another kty"
        if kty != "RSA" and crv not in ALGORITHMS[alg][1]:
            return "its alg is that of another crv"
    return None if isinstance(key.get("kid", ""), str) else "its kid is not text"


def _fault_of_numbers(key: Mapping[str, Any]) -> str | None:
    """What is weak about an RSA key."""
    if key.get("kty") != "RSA":
        return None
    modulus, exponent = _number(key.get("n")), _number(key.get("e"))
    if modulus is None or exponent is None:
        return "its numbers are not those of a key"
    if not MIN_RSA_BITS <= modulus.bit_length() <= MAX_RSA_BITS:
        return f"it has {modulus.bit_length()} bits, not {MIN_RSA_BITS} to {MAX_RSA_BITS}"
    if not MIN_RSA_EXPONENT <= exponent < MAX_RSA_EXPONENT or exponent % 2 == 0:
        return f"its exponent is not an odd number from {MIN_RSA_EXPONENT} up"
    plain = {"kty": "RSA", "n": key["n"], "e": key["e"]}
    if modulus % 2 and not any(usable([plain], algorithm) for algorithm in ALGORITHMS if algorithm.startswith("RS")):
        return "it is of the kind that can be factored (CVE-2017-15361)"
    return None


def _number(text: object) -> int | None:
    if not isinstance(text, str) or len(text) > MAX_RSA_BITS:
        return None
    try:
        return int.from_bytes(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True), "big")
    except ValueError:
        return None
