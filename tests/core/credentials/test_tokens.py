from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from fakes_credentials import (
    AGENCY,
    KeySet,
    b64,
    ec_jwk,
    ec_key,
    ed448_key,
    ed_jwk,
    ed_key,
    rsa_jwk,
    rsa_key,
    signed,
    token,
)
from vectors import needed, read_json
from worlds import drive

from hms_svc.core.config import Issuer
from hms_svc.core.credentials.jws import TokenInvalid, parse
from hms_svc.core.credentials.token_keys import ALGORITHMS as SUPPORTED
from hms_svc.core.credentials.tokens import SignatureVerifier, sign
from hms_svc.core.routes.shared import ALGORITHMS

if TYPE_CHECKING:
    from collections.abc import Mapping

ALL = Issuer("all", AGENCY.issuer, ("hms-api",), ALGORITHMS)


def verify(text: str, source: KeySet, issuer: Issuer = ALL) -> None:
    drive(SignatureVerifier(source).verify(parse(text), issuer))


def refusal_of(text: str, *members: Mapping[str, Any], issuer: Issuer = ALL) -> str:
    with pytest.raises(TokenInvalid) as refused:
        verify(text, KeySet(list(members)), issuer)
    return str(refused.value)


def test_what_a_routes_file_may_name_is_what_is_supported() -> None:
    assert set(ALGORITHMS) == set(SUPPORTED)


@pytest.mark.parametrize("algorithm", ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"])
def test_rsa_signatures_are_verified(algorithm: str) -> None:
    verify(token(algorithm=algorithm), KeySet([rsa_jwk(rsa_key())]))
    assert refusal_of(token(algorithm=algorithm, key=rsa_key("other")), rsa_jwk(rsa_key())) == "the signature is wrong"


@pytest.mark.parametrize(
    ("algorithm", "curve"), [("ES256", ec.SECP256R1), ("ES384", ec.SECP384R1), ("ES512", ec.SECP521R1)]
)
def test_elliptic_signatures_are_verified(algorithm: str, curve: type[ec.EllipticCurve]) -> None:
    jwk = ec_jwk(ec_key("one", curve))
    verify(token(algorithm=algorithm, key=ec_key("one", curve)), KeySet([jwk]))
    assert refusal_of(token(algorithm=algorithm, key=ec_key("other", curve)), jwk) == "the signature is wrong"


@pytest.mark.parametrize(
    ("algorithm", "key", "other"),
    [
        ("EdDSA", ed_key(), ed_key("other")),
        ("Ed25519", ed_key(), ed_key("other")),
        ("EdDSA", ed448_key(), ed448_key("other")),
        ("Ed448", ed448_key(), ed448_key("other")),
    ],
    ids=["EdDSA with Ed25519", "Ed25519", "EdDSA with Ed448", "Ed448"],
)
def test_edwards_signatures_are_verified(algorithm: str, key: Any, other: Any) -> None:
    verify(token(algorithm=algorithm, key=key), KeySet([ed_jwk(key)]))
    assert refusal_of(token(algorithm=algorithm, key=other), ed_jwk(key)) == "the signature is wrong"


def test_a_salt_of_another_length_is_not_that_of_the_algorithm() -> None:
    """RFC 7518, section 3.5: the salt is as long as the hash."""
    signing_input, _, _ = token(algorithm="PS256").rpartition(".")
    digest = hashes.SHA256()
    odd = rsa_key().sign(signing_input.encode(), padding.PSS(padding.MGF1(digest), 20), digest)
    assert refusal_of(f"{signing_input}.{b64(odd)}", rsa_jwk(rsa_key())) == "the signature is wrong"


@pytest.mark.parametrize(("signed_as", "claimed"), [("RS256", "PS256"), ("PS256", "RS256"), ("PS384", "PS256")])
def test_a_signature_is_good_for_the_algorithm_it_was_made_with_only(signed_as: str, claimed: str) -> None:
    forged = token(algorithm=signed_as, header={"alg": claimed})
    assert refusal_of(forged, rsa_jwk(rsa_key())) == "the signature is wrong"


@pytest.mark.parametrize(
    "algorithm", ["none", "None", "NONE", "HS256", "HS512", "ES256K", "RS1", "", "rs256", "A128KW", "ed25519"]
)
def test_algorithms_that_are_not_supported_are_refused(algorithm: str) -> None:
    text = token(header={"alg": algorithm})
    generous = Issuer("generous", AGENCY.issuer, ("hms-api",), (algorithm, "RS256"))
    assert "is not one of the issuer's" in refusal_of(text, rsa_jwk(rsa_key()), issuer=generous)


def test_an_algorithm_the_issuer_does_not_use_is_refused() -> None:
    only_es = Issuer("es", AGENCY.issuer, ("hms-api",), ("ES256",))
    refusal = refusal_of(token(), rsa_jwk(rsa_key()), issuer=only_es)
    assert refusal == "the algorithm RS256 is not one of the issuer's"


def test_a_made_up_algorithm_is_not_quoted() -> None:
    refusal = refusal_of(token(header={"alg": "s3cret"}), rsa_jwk(rsa_key()))
    assert refusal == "the algorithm of the token is not one of the issuer's"


def test_a_public_key_is_no_secret_to_sign_with() -> None:
    """CVE-2024-33663 and its kind: HMAC with the public key as the secret."""
    import hashlib
    import hmac

    from cryptography.hazmat.primitives import serialization

    public = rsa_key().public_key()
    forms = [
        public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH),
        json.dumps(rsa_jwk(rsa_key())).encode(),
        b"",
    ]
    for secret in forms:
        signing_input = ".".join((b64(json.dumps({"alg": "HS256", "kid": "rsa-1"}).encode()), b64(b"{}")))
        forged = f"{signing_input}.{b64(hmac.new(secret, signing_input.encode(), hashlib.sha256).digest())}"
        assert "HS256" in refusal_of(forged, rsa_jwk(rsa_key()))


def test_keys_in_the_header_are_never_used() -> None:
    attacker = rsa_key("attacker")
    header = {
        "jwk": rsa_jwk(attacker, "rsa-1"),
        "jku": "https://attacker.example/jwks",
        "x5u": "https://attacker.example/cert",
        "x5c": ["MIIB"],
    }
    assert refusal_of(token(key=attacker, header=header), rsa_jwk(rsa_key())) == "the signature is wrong"
    verify(token(header=header), KeySet([rsa_jwk(rsa_key())]))


def test_a_key_of_another_type_with_the_same_kid_is_not_taken() -> None:
    both = [ec_jwk(ec_key(), "same"), rsa_jwk(rsa_key(), "same")]
    verify(token(header={"kid": "same"}), KeySet(list(both)))
    verify(token(algorithm="ES256", header={"kid": "same"}), KeySet(list(both)))


def test_an_unknown_kid_asks_the_source_once_more() -> None:
    source = KeySet(
        [rsa_jwk(rsa_key(), "old")], next_members=[rsa_jwk(rsa_key(), "old"), rsa_jwk(rsa_key("new"), "new")]
    )
    verify(token(key=rsa_key("new"), header={"kid": "new"}), source)
    assert source.asked_again == 1


def test_a_kid_that_stays_unknown_is_refused_and_named() -> None:
    refusal = refusal_of(token(header={"kid": "gone"}), rsa_jwk(rsa_key()))
    assert refusal == "unknown kid 'gone': no key of the issuer's 1 can be used with RS256"


@pytest.mark.parametrize("kid", ["rsa-1", None])
def test_a_wrong_signature_asks_the_source_once_more_and_another_key_may_have_made_it(kid: str | None) -> None:
    members: list[Mapping[str, Any]] = [rsa_jwk(rsa_key(), kid)]
    bare = token(key=rsa_key("new"), header={"kid": kid})
    source = KeySet(list(members), next_members=[rsa_jwk(rsa_key("new"), kid)])
    verify(bare, source)
    assert source.asked_again == 1
    unchanged = KeySet(list(members))
    with pytest.raises(TokenInvalid, match="the signature is wrong"):
        verify(bare, unchanged)
    assert unchanged.asked_again == 1


def test_without_a_kid_the_set_must_leave_no_doubt() -> None:
    bare = token(header={"kid": None})
    verify(bare, KeySet([rsa_jwk(rsa_key()), ec_jwk(ec_key(), use="enc"), {"kty": "oct", "k": "AA"}]))
    for second in (rsa_jwk(rsa_key("other"), "b"), ec_jwk(ec_key())):
        refusal = refusal_of(bare, rsa_jwk(rsa_key(), "a"), second)
        assert refusal == "the token names no kid and the issuer has 2 keys"


def test_a_single_key_without_a_kid_takes_tokens_with_one() -> None:
    verify(token(header={"kid": "x"}), KeySet([rsa_jwk(rsa_key(), None)]))
    assert "unknown kid" in refusal_of(
        token(header={"kid": "x"}), rsa_jwk(rsa_key(), None), rsa_jwk(rsa_key("other"), None)
    )


def test_a_point_that_is_not_on_the_curve_is_no_key() -> None:
    broken = ec_jwk(ec_key()) | {"y": b64(b"\1" * 32)}
    assert "no key of the issuer's 1" in refusal_of(token(algorithm="ES256"), broken)


@pytest.mark.parametrize("part", [b"\0" * 64, b"\0" * 63, b"\xff" * 64, b"\0", b"0\6\2\1\1\2\1\1"])
def test_odd_elliptic_signatures_are_wrong(part: bytes) -> None:
    header, payload, _ = token(algorithm="ES256").split(".")
    assert refusal_of(f"{header}.{payload}.{b64(part)}", ec_jwk(ec_key())) == "the signature is wrong"


def test_a_new_set_of_keys_is_seen_at_once() -> None:
    source = KeySet([rsa_jwk(rsa_key())])
    verifier = SignatureVerifier(source)
    drive(verifier.verify(parse(token()), ALL))
    source.members = [rsa_jwk(rsa_key("other"))]
    with pytest.raises(TokenInvalid):
        drive(verifier.verify(parse(token()), ALL))


def test_a_signed_token_is_one_that_verifies() -> None:
    numbers = ec_key().private_numbers()
    private = ec_jwk(ec_key(), alg="ES256", d=b64(numbers.private_value.to_bytes(32, "big")))
    text = sign({"sub": "alice"}, private)
    verify(text, KeySet([ec_jwk(ec_key())]))
    assert parse(text).claims() == {"sub": "alice"}


def vector_groups() -> list[Any]:
    return list(read_json("wycheproof/json_web_crypto_test.json").get("testGroups", []))


def vectors() -> list[Any]:
    return [
        pytest.param(
            group.get("public") or group["private"], case, id=f"{case['tcId']}-{group['comment']}-{case['comment']}"
        )
        for group in vector_groups()
        for case in group["tests"]
    ]


@needed
@pytest.mark.parametrize(("key", "case"), vectors())
def test_wycheproof(key: dict[str, Any], case: dict[str, Any]) -> None:
    """Signatures with RS and ES hold; HMAC and encryption are not supported, so valid ones of those are refused too."""
    text = case.get("jws", case.get("jwe"))
    if not isinstance(text, str):
        text = json.dumps(text)
    try:
        verify(text, KeySet(list(key.get("keys", [key]))))
        accepted = True
    except TokenInvalid:
        accepted = False
    supported = "jws" in case and str(key.get("alg")) in ALL.algorithms
    assert accepted is (case["result"] == "valid" and supported)


def test_the_helper_that_forges_makes_genuine_tokens_too() -> None:
    verify(signed('{"alg":"RS256","kid":"rsa-1"}', "{}", rsa_key(), "RS256"), KeySet())


def test_keys_of_former_configurations_are_not_kept_ready_for_ever() -> None:
    source = KeySet()
    verifier = SignatureVerifier(source)
    for number in range(200):
        drive(verifier.verify(parse(token()), Issuer(f"issuer-{number}", AGENCY.issuer, ("hms-api",))))
    assert len(verifier._ready) <= 65  # noqa: SLF001  (a bound on memory is not seen from outside)
