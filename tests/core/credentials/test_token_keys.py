from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from fakes_credentials import b64, ec_jwk, ec_key, ed_jwk, ed_key, rsa_jwk, rsa_key
from vectors import needed, read_json

from hms_svc.core.credentials.token_keys import signing, usable

RSA = rsa_jwk(rsa_key())
EC = ec_jwk(ec_key())
OKP = ed_jwk(ed_key())


def test_a_key_fits_the_algorithms_of_its_type_and_curve() -> None:
    keys = [RSA, EC, ec_jwk(ec_key("384", ec.SECP384R1), "ec-384"), ec_jwk(ec_key("521", ec.SECP521R1), "ec-521")]
    fitting = {name: [kid for kid, _ in usable(keys, name)] for name in ("RS256", "RS512", "ES256", "ES384", "ES512")}
    assert fitting == {
        "RS256": ["rsa-1"],
        "RS512": ["rsa-1"],
        "ES256": ["ec-1"],
        "ES384": ["ec-384"],
        "ES512": ["ec-521"],
    }


@pytest.mark.parametrize(
    "more",
    [{}, {"alg": "RS256"}, {"use": "sig"}, {"key_ops": ["verify"]}, {"x5c": ["junk"]}, {"anything": {"else": 1}}],
)
def test_what_a_key_says_of_itself_may_fit(more: dict[str, Any]) -> None:
    assert len(usable([RSA | more], "RS256")) == 1


@pytest.mark.parametrize(
    "more",
    [
        {"alg": "RS512"},
        {"alg": "PS256"},
        {"alg": "RSA-OAEP"},
        {"alg": None},
        {"use": "enc"},
        {"use": None},
        {"key_ops": ["encrypt"]},
        {"key_ops": []},
        {"key_ops": "verify"},
        {"kid": 7},
        {"kty": "oct", "k": "c2VjcmV0"},
        {"kty": ["RSA"]},
        {"n": 1},
        {"n": "!"},
        {"n": ""},
        {"n": "A" * 20_000},
        {"e": "Aw"},
        {"e": "AQAA"},
        {"e": "AQAAAAAAAAAB"},
        {"e": None},
    ],
    ids=str,
)
def test_what_a_key_says_of_itself_may_rule_it_out(more: dict[str, Any]) -> None:
    assert usable([RSA | more], "RS256") == []


@pytest.mark.parametrize(
    "more", [{"crv": "P-384"}, {"crv": "P-256K"}, {"crv": []}, {"x": "AA"}, {"y": None}, {"x": b64(b"\0" * 33)}]
)
def test_an_elliptic_key_must_be_on_the_curve_of_the_algorithm(more: dict[str, Any]) -> None:
    assert usable([EC | more], "ES256") == []


def test_an_rsa_key_of_1024_bits_is_too_weak() -> None:
    assert usable([rsa_jwk(rsa_key("weak", 1024))], "RS256") == []


def test_a_modulus_with_the_fingerprint_of_roca_is_ruled_out() -> None:
    primorial = 1
    for prime in (11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157):
        primorial *= prime
    modulus = pow(65_537, 4711, primorial) + primorial * (2**2047 // primorial)
    modulus += primorial * (1 - modulus % 2)
    assert modulus.bit_length() == 2048
    assert usable([RSA | {"n": b64(modulus.to_bytes(256, "big"))}], "RS256") == []


def test_nothing_but_public_numbers_is_left_of_a_key() -> None:
    chatty = {"p": "AA", "x5c": ["junk"], "x5u": "http://attacker.example/"}
    assert usable([RSA | chatty], "RS256") == [("rsa-1", {name: RSA[name] for name in ("kty", "n", "e")})]
    assert usable([EC | chatty], "ES256") == [("ec-1", {name: EC[name] for name in ("kty", "crv", "x", "y")})]
    assert usable([OKP | chatty], "EdDSA") == [("ed-1", {name: OKP[name] for name in ("kty", "crv", "x")})]


@pytest.mark.parametrize(("key", "algorithm"), [(RSA, "RS256"), (EC, "ES256"), (OKP, "EdDSA")])
def test_a_key_whose_private_half_is_public_is_no_key(key: dict[str, Any], algorithm: str) -> None:
    assert usable([key | {"d": "AAAA"}], algorithm) == []


def test_an_rsa_key_is_for_the_family_of_algorithms_it_names_or_for_both() -> None:
    assert len(usable([RSA], "PS256")) == len(usable([RSA], "RS256")) == 1
    assert usable([RSA | {"alg": "PS256"}], "RS256") == []
    assert usable([RSA | {"alg": "RS256"}], "PS256") == []


def test_a_point_of_one_curve_is_for_eddsa_and_for_the_algorithm_of_that_curve() -> None:
    fitting = {name: len(usable([OKP], name)) for name in ("EdDSA", "Ed25519", "Ed448", "ES256")}
    assert fitting == {"EdDSA": 1, "Ed25519": 1, "Ed448": 0, "ES256": 0}


@pytest.mark.parametrize("more", [{"crv": "X25519"}, {"crv": "Ed448"}, {"x": b64(b"\0" * 31)}, {"x": 1}, {"kty": "EC"}])
def test_a_point_of_another_kind_is_no_key_for_eddsa(more: dict[str, Any]) -> None:
    assert usable([OKP | more], "EdDSA") == []


def test_how_many_keys_of_a_set_may_sign_is_counted_over_all_algorithms() -> None:
    assert signing([RSA, EC, OKP]) == 3
    assert signing([RSA, EC | {"use": "enc"}, {"kty": "oct", "k": "c2VjcmV0"}]) == 1


@needed
def test_the_vector_of_a_roca_key_is_ruled_out() -> None:
    groups = read_json("wycheproof/json_web_crypto_test.json")["testGroups"]
    [key] = [group["public"] for group in groups if group["comment"] == "jws_rsa_roca_key"]
    assert usable([key], "RS256") == []
