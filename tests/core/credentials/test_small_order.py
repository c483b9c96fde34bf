from __future__ import annotations

import itertools
import json

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from fakes_credentials import GOOD_CLAIMS, b64, ed448_key, ed_key
from guarded import Guarded

from hms_svc.core.credentials.small_order import has_small_order

P25519, P448 = 2**255 - 19, 2**448 - 2**224 - 1
ORDER_8 = int.from_bytes(bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little")
ED25519 = [
    (y | sign << 255).to_bytes(32, "little")
    for y in (0, 1, P25519 - 1, P25519, P25519 + 1, ORDER_8, P25519 - ORDER_8)
    for sign in (0, 1)
]
ED448 = [y.to_bytes(56, "little") + bytes([sign]) for y in (0, 1, P448 - 1) for sign in (0, 128)]


def anybodys_signature(point: bytes, signing_input: bytes) -> bytes | None:
    """A signature by this point that was made without a secret, if there is one."""
    for first in ED25519 if len(point) == 32 else ED448:
        for kind in (Ed25519PublicKey,) if len(point) == 32 else (Ed448PublicKey,):
            try:
                kind.from_public_bytes(point).verify(first + bytes(len(point)), signing_input)
            except (InvalidSignature, ValueError):
                continue
            return first + bytes(len(point))
    return None


@pytest.mark.parametrize("point", [*ED25519, *ED448], ids=lambda point: point.hex())
def test_a_point_that_anybody_can_sign_for_is_no_key(point: bytes) -> None:
    curve = "Ed25519" if len(point) == 32 else "Ed448"
    assert has_small_order(curve, point)
    key = {"kty": "OKP", "crv": curve, "x": b64(point), "kid": "weak"}
    forged = (
        f"{b64(json.dumps({'alg': 'EdDSA', 'kid': 'weak'}).encode())}.{b64(json.dumps(dict(GOOD_CLAIMS)).encode())}"
    )
    signature = anybodys_signature(point, forged.encode()) or bytes(2 * len(point))
    assert "no key of the issuer's" in Guarded(key).refuses(f"{forged}.{b64(signature)}")


def test_the_library_alone_does_take_such_a_signature() -> None:
    """The guard of the test above: the attack is a real one."""
    taken = [point for point, n in itertools.product(ED25519, range(8)) if anybodys_signature(point, b"%d" % n)]
    assert ORDER_8.to_bytes(32, "little") in taken
    assert (1).to_bytes(32, "little") in taken


def test_a_key_that_somebody_made_has_none() -> None:
    for name in map(str, range(20)):
        assert not has_small_order("Ed25519", ed_key(name).public_key().public_bytes_raw())
        assert not has_small_order("Ed448", ed448_key(name).public_key().public_bytes_raw())
