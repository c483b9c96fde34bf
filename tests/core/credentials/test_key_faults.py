from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from fakes_credentials import b64, ec_jwk, ec_key, rsa_jwk, rsa_key
from hypothesis import given
from hypothesis import strategies as st

from hms_svc.core.credentials.key_faults import faults
from hms_svc.core.credentials.token_keys import ALGORITHMS, usable

RSA = rsa_jwk(rsa_key())
EC = ec_jwk(ec_key())


def told(*members: dict[str, Any]) -> list[str]:
    return list(faults(members).texts)


@pytest.mark.parametrize(
    "key",
    [
        RSA,
        EC,
        RSA | {"alg": "RS512", "use": "sig", "key_ops": ["verify"]},
        ec_jwk(ec_key("384", ec.SECP384R1), "ec-384"),
        RSA | {"use": "enc"},
        RSA | {"alg": "RSA-OAEP"},
        {"kty": "RSA", "kid": "a", "n": "weak", "e": "AQAB", "use": "enc"},
        {"kty": "EC", "kid": "a", "crv": "X448", "alg": "ECDH-ES"},
        EC | {"key_ops": ["deriveKey"]},
    ],
    ids=lambda key: f"{key['kty']} {key.get('use')} {key.get('alg')}",
)
def test_a_good_key_and_one_for_encryption_are_no_reason_for_a_word(key: dict[str, Any]) -> None:
    assert told(key) == []


def weak_rsa(bits: int, exponent: int = 65_537) -> dict[str, Any]:
    numbers = rsa.generate_private_key(65_537, 2048).public_key().public_numbers()
    modulus = (numbers.n >> (2048 - bits)) | 1
    return RSA | {
        "n": b64(modulus.to_bytes((bits + 7) // 8, "big")),
        "e": b64(exponent.to_bytes(9, "big").lstrip(b"\0")),
    }


@pytest.mark.parametrize(
    ("key", "fault"),
    [
        ({"kty": "oct", "k": "c2VjcmV0"}, "it is symmetric, a secret that everybody can read"),
        ({"kty": "oct", "k": "c2VjcmV0", "use": "enc"}, "it is symmetric, a secret that everybody can read"),
        (RSA | {"k": "c2VjcmV0"}, "it is symmetric, a secret that everybody can read"),
        *(
            (
                key | {member: "c2VjcmV0"},
                "its private part is published, so whoever reads the set can sign",
            )
            for key, member in [(RSA, "d"), (RSA, "p"), (RSA, "dq"), (EC, "d"), (EC | {"use": "enc"}, "d")]
        ),
        (weak_rsa(1024), "it has 1024 bits, not 2048 to 8192"),
        (weak_rsa(2047), "it has 2047 bits, not 2048 to 8192"),
        (RSA | {"n": b64(b"\xff" * 1100)}, "it has 8800 bits, not 2048 to 8192"),
        (weak_rsa(2048, 3), "its exponent is not an odd number from 65537 up"),
        (weak_rsa(2048, 65_538), "its exponent is not an odd number from 65537 up"),
        (weak_rsa(2048, 2**64 + 1), "its exponent is not an odd number from 65537 up"),
        (RSA | {"n": "!"}, "its numbers are not those of a key"),
        (RSA | {"n": 1}, "its numbers are not those of a key"),
        (RSA | {"n": "A" * 9000}, "its numbers are not those of a key"),
        (RSA | {"n": b64(b"\xff" * 255 + b"\xfe")}, "its numbers are not those of a key"),
        (EC | {"x": "AA"}, "its numbers are not those of a key"),
        (EC | {"y": None}, "its numbers are not those of a key"),
        (EC | {"crv": "secp256k1"}, "its crv is not supported"),
        (EC | {"crv": ["P-256"]}, "its crv is not supported"),
        ({"kty": "AKP"}, "its kty is not supported"),
        ({"kty": ["RSA"]}, "its kty is not supported"),
        ({}, "its kty is not supported"),
        (RSA | {"alg": "ES256"}, "its alg is that of another kty"),
        (RSA | {"alg": "HS256"}, "its alg is not supported"),
        (EC | {"alg": "ES256K"}, "its alg is not supported"),
        (EC | {"alg": "ES384"}, "its alg is that of another crv"),
        (EC | {"alg": None}, "its alg is not supported"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_does_not_count_is_told_with_the_reason(key: dict[str, Any], fault: str) -> None:
    found = faults([RSA, key | {"kid": "bad"}])
    assert found.texts == (f"key 'bad' is skipped: {fault}",)
    assert found.skipped == {1}


def test_a_key_that_can_be_factored_is_told() -> None:
    prime_product = 1
    for prime in (11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157):
        prime_product *= prime
    modulus = (1 << 2047) // prime_product * prime_product + 1
    while modulus.bit_length() < 2048 or modulus % 2 == 0:
        modulus += prime_product
    key = RSA | {"kid": "roca", "n": b64(modulus.to_bytes(256, "big"))}
    assert told(key) == ["key 'roca' is skipped: it is of the kind that can be factored (CVE-2017-15361)"]


def test_a_kid_is_shown_bounded_and_in_one_line() -> None:
    (text,) = told({"kty": "oct", "kid": "a\n" * 500})
    assert "\n" not in text
    assert len(text) < 250


def test_a_key_without_a_kid_is_named_by_its_place() -> None:
    assert told(RSA, {"kty": "oct"}) == [
        "key 2 of its set is skipped: it is symmetric, a secret that everybody can read"
    ]


def test_a_kid_that_is_no_text_is_a_fault() -> None:
    assert told(RSA | {"kid": 7}) == ["key 1 of its set is skipped: its kid is not text"]


def test_two_keys_of_one_name_and_type_are_told_and_count() -> None:
    other = rsa_jwk(rsa_key("two"))
    found = faults([RSA, other, EC | {"kid": "rsa-1"}, RSA | {"use": "enc"}])
    assert found.texts == ("key 'rsa-1' is there more than once for RSA: each is tried (RFC 7517, section 4.5)",)
    assert found.skipped == frozenset()


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=4,
)
_MEMBERS = st.dictionaries(
    st.sampled_from(["kty", "crv", "alg", "use", "key_ops", "kid", "n", "e", "x", "y", "d", "k"]), _JSON, max_size=5
)


@given(st.lists(st.builds(lambda base, more: base | more, st.sampled_from([{}, RSA, EC]), _MEMBERS), max_size=4))
def test_whatever_a_set_holds_only_keys_that_could_not_be_used_or_that_are_public_secrets_are_skipped(
    members: list[dict[str, Any]],
) -> None:
    found = faults(members)
    for number in found.skipped:
        key = members[number]
        assert {"d", "k"} & set(key) or key.get("kty") == "oct" or not any(usable([key], name) for name in ALGORITHMS)
