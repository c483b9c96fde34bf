"""What is known against python-jose, tried at the gateway's door: its CVEs, and its issues that are open.

Where jose alone falls for it, the test shows that first: the attack is a real one. The numbers are those of the issues
of mpdavis/python-jose.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import inspect
import json
import sys
import zlib
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from fakes_credentials import (
    GOOD_CLAIMS,
    NOW_S,
    b64,
    ec_jwk,
    ec_key,
    rsa_jwk,
    rsa_key,
    signed,
    token,
)
from guarded import Guarded
from jose import jwe, jwk, jws, jwt
from jose.exceptions import JOSEError
from wires import ask, patiently

from hms_svc.core.config import Issuer
from hms_svc.local.http.server import Server

if TYPE_CHECKING:
    from collections.abc import Callable

_PUBLIC = serialization.PublicFormat.SubjectPublicKeyInfo
PEM, DER, SSH = serialization.Encoding.PEM, serialization.Encoding.DER, serialization.Encoding.OpenSSH
CLAIMS = json.dumps(dict(GOOD_CLAIMS))


def public_bytes(key: Any, form: serialization.Encoding) -> bytes:
    what = serialization.PublicFormat.OpenSSH if form is SSH else _PUBLIC
    return bytes(key.public_key().public_bytes(form, what))


def by_hmac(secret: bytes, *, claims: str = CLAIMS, **header: Any) -> str:
    """A token signed with HS256, which needs no more than ``secret``."""
    signing_input = f"{b64(json.dumps({'alg': 'HS256', **header}).encode())}.{b64(claims.encode())}"
    return f"{signing_input}.{b64(hmac.new(secret, signing_input.encode(), hashlib.sha256).digest())}"


def believed_by_jose(text: str, key: Any, **more: Any) -> bool:
    """Whether jose accepts the signature, as it is called when nobody names algorithms."""
    try:
        jws.verify(text, key, more.get("algorithms"))
    except JOSEError:
        return False
    return True


def naming(algorithm: str) -> Issuer:
    """An issuer that somebody has configured with this algorithm besides RS256."""
    return Issuer("careless", GOOD_CLAIMS["iss"], ("hms-api",), ("RS256", algorithm))


# CVE-2024-33663, #398 (findings 1 and 2), #419: the public key as a secret


@pytest.mark.parametrize("key", [rsa_key(), ec_key()], ids=["RSA", "EC"])
@pytest.mark.parametrize("form", [PEM, DER, SSH], ids=["PEM", "DER", "OpenSSH"])
def test_cve_2024_33663_a_public_key_is_no_secret(key: Any, form: serialization.Encoding) -> None:
    """jose up to 3.3 takes a public key in a form it does not know as an HMAC secret; the door knows no HMAC at all."""
    secret = public_bytes(key, form)
    kid = "rsa-1" if isinstance(key, rsa.RSAPrivateKey) else "ec-1"
    for forged in (by_hmac(secret), by_hmac(secret, kid=kid), by_hmac(secret + b"\n", kid=kid)):
        assert Guarded().refuses(forged) == "the algorithm HS256 is not one of the issuer's"
        assert "HS256 is not one" in Guarded(issuer=naming("HS256")).refuses(forged)


def test_398_the_public_key_in_der_is_no_secret() -> None:
    """jose 3.5 takes DER as an HMAC secret (CVE-2026-85394, a rest of CVE-2024-33663); the door knows no HMAC."""
    secret = public_bytes(rsa_key(), DER)
    forged = by_hmac(secret, kid="rsa-1")
    assert believed_by_jose(forged, secret)
    assert "HS256" in Guarded().refuses(forged)


def test_398_an_empty_secret_opens_nothing() -> None:
    """jose signs and verifies with an empty HMAC key; a set with such a key gives the door no key at all."""
    forged = by_hmac(b"", kid="empty")
    assert believed_by_jose(forged, "")
    empty = {"kty": "oct", "k": "", "kid": "empty", "alg": "HS256"}
    assert "HS256" in Guarded(empty).refuses(forged)
    assert "HS256" in Guarded(empty, rsa_jwk(rsa_key()), issuer=naming("HS256")).refuses(forged)
    assert "no key" in Guarded(empty).refuses(token(header={"kid": "empty"}))


def test_398_secrets_are_compared_in_constant_time() -> None:
    """jose compares some hashes with ``==``; the door compares the hash of an API key with `hmac.compare_digest`.

    Time cannot be measured reliably in a test, so this one reads the source.
    """
    from hms_svc.core.credentials import by_api_key

    assert "hmac.compare_digest(" in inspect.getsource(by_api_key.ByApiKey.identify)


@pytest.mark.parametrize("algorithm", ["HS256", "none", "None", ""])
def test_419_the_token_does_not_choose_the_algorithm(algorithm: str) -> None:
    """jose takes the algorithm from the token when nobody names any; an issuer names its own, and no HS*."""
    secret = public_bytes(rsa_key(), DER)
    assert believed_by_jose(by_hmac(secret), secret)
    assert not believed_by_jose(by_hmac(secret), secret, algorithms=["RS256"])
    header, payload, signature = by_hmac(secret, alg=algorithm, kid="rsa-1").split(".")
    for forged in (f"{header}.{payload}.{signature}", f"{header}.{payload}.AA"):
        assert "is not one of the issuer's" in Guarded().refuses(forged)
    assert "empty" in Guarded().refuses(f"{header}.{payload}.")


# CVE-2024-33664, #408: encrypted tokens


def test_cve_2024_33664_a_bomb_is_never_unpacked() -> None:
    """jose up to 3.3 unpacks a compressed JWE to any size, 3.5 up to 250 kB; the door reads no JWE, packed or not."""
    key = b"0" * 16
    bomb = jwe.encrypt(b"u" * 250_000, key, algorithm="A128KW", encryption="A128GCM", zip="DEF").decode()
    assert len(bomb) < 1_000
    assert len(jwe.decrypt(bomb, key) or b"") == 250_000
    secret = {"kty": "oct", "k": b64(key), "kid": "enc"}
    assert Guarded(secret, rsa_jwk(rsa_key())).refuses(bomb) == "it is no signed token: it has 5 parts, not 3"


@pytest.mark.parametrize("zip_", ["DEF", "GZ", None])
def test_cve_2024_33664_nor_in_a_signed_token(zip_: str | None) -> None:
    """A signed token whose header speaks of compression is refused before anything is unpacked."""
    packed = zlib.compress(b"u" * 1_000_000)[2:-4].hex()[:4000]
    header = json.dumps({"alg": "RS256", "kid": "rsa-1", "zip": zip_})
    assert "zip" in Guarded().refuses(signed(header, json.dumps({**GOOD_CLAIMS, "p": packed}), rsa_key(), "RS256"))


def test_408_there_is_no_oracle_for_encrypted_keys() -> None:
    """jose tells a wrong length of an RSA1_5 key from other faults (Bleichenbacher); the door has one answer to all.

    The issuer's key may be published for encryption too: what is encrypted with it is not even looked at.
    """
    private = rsa_key().private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    good = jwe.encrypt(CLAIMS, public_bytes(rsa_key(), PEM), algorithm="RSA1_5", encryption="A128CBC-HS256").decode()
    assert jwe.decrypt(good, private) == CLAIMS.encode()
    header, wrapped, *rest = good.split(".")
    guarded = Guarded(rsa_jwk(rsa_key(), use="enc"), rsa_jwk(rsa_key()))
    others = [b64(bytes(256)), b64(bytes(255)), "", b64(b"\x02" * 256), wrapped[:-4] + "AAAA"]
    answers = {guarded.refuses(".".join([header, other, *rest])) for other in [wrapped, *others]}
    assert answers == {"it is no signed token: it has 5 parts, not 3"}


# #413: crit


@pytest.mark.parametrize("crit", [["myparam"], ["exp"], ["b64"], [], "myparam", None, {}, 1, [["x"]]])
def test_413_what_the_header_calls_critical_is_not_passed_over(crit: Any) -> None:
    """jose ignores ``crit``; the door understands no extension, so it refuses a token that has it in any form."""
    text = token(header={"myparam": 1}) if crit is None else token(header={"crit": crit, "myparam": 1})
    if crit is None:
        text = signed('{"alg":"RS256","kid":"rsa-1","crit":null}', CLAIMS, rsa_key(), "RS256")
    assert believed_by_jose(text, rsa_jwk(rsa_key()))
    assert Guarded().refuses(text) == "the header has crit, which is not supported"


# #417: RSA keys that are none


@functools.cache
def weak_rsa(bits: int, exponent: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(exponent, bits)


@pytest.mark.parametrize(
    ("bits", "exponent"), [(1024, 65_537), (2040, 65_537), (2048, 3)], ids=["1024 bits", "2040 bits", "e is 3"]
)
@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
def test_417_weak_rsa_keys_are_no_keys(bits: int, exponent: int) -> None:
    """jose verifies with RSA keys of any size and exponent; the door wants 2048 to 8192 bits and e from 65537 up."""
    key = weak_rsa(bits, exponent)
    text = token(key=key)
    assert believed_by_jose(text, rsa_jwk(key), algorithms=["RS256"])
    assert "no key of the issuer's 1 can be used" in Guarded(rsa_jwk(key)).refuses(text)


@pytest.mark.parametrize(
    "change",
    [
        {"e": None},
        {"n": None},
        {"e": ""},
        {"n": ""},
        {"e": "AA"},
        {"e": "AQ"},
        {"e": "AQAA"},
        {"e": "!!"},
        {"n": "é"},
        {"n": 5},
        {"e": ["AQAB"]},
        {"n": {}},
        {"n": "A" * 9000},
        {"e": "_" * 400},
        {"kty": "oct", "k": "AA"},
        {"kty": None},
    ],
    ids=str,
)
def test_417_numbers_that_are_none_are_no_key(change: dict[str, Any]) -> None:
    """jose takes 256 for a missing ``e`` and raises what its backend raises; the door leaves such a key out."""
    broken = {name: value for name, value in (rsa_jwk(rsa_key()) | change).items() if value is not None}
    assert "no key of the issuer's 1 can be used" in Guarded(broken).refuses(token())
    assert Guarded(broken, rsa_jwk(rsa_key())).bearer(token()).status == 200


def test_417_jose_does_fail_on_them() -> None:
    """The guard of the test above: without the door's own check, jose raises what no caller of it expects."""
    broken = {name: value for name, value in rsa_jwk(rsa_key()).items() if name != "e"}
    with pytest.raises((TypeError, ValueError)):
        jwk.construct(broken, "RS256")


def test_417_a_token_has_a_size() -> None:
    """jose has no bound on a token; the door has 8192 characters, and refuses without reading further."""
    assert believed_by_jose(token(filling="x" * 100_000), rsa_jwk(rsa_key()))
    assert "longer than 8192" in Guarded().refuses(token(filling="x" * 100_000))


# #420: claims that crash


@pytest.mark.parametrize("claim", ["exp", "nbf", "iat"])
@pytest.mark.parametrize(
    "value", ["Infinity", "-Infinity", "NaN", "1e999", "-1e999", "[1]", "{}", "null", '"9999999999"']
)
def test_420_no_moment_crashes_the_door(claim: str, value: str) -> None:
    """jose raises OverflowError and TypeError for such claims of a genuine issuer: a 500; here it is a 401."""
    rest = json.dumps({name: other for name, other in GOOD_CLAIMS.items() if name != claim})
    text = signed('{"alg":"RS256","kid":"rsa-1"}', f'{rest[:-1]},"{claim}":{value}}}', rsa_key(), "RS256")
    assert Guarded().refuses(text)


@pytest.mark.parametrize(
    ("value", "error"), [("Infinity", OverflowError), ("1e999", OverflowError), ("[1]", TypeError)]
)
def test_420_jose_does_crash_on_them(value: str, error: type[Exception]) -> None:
    """The guard of the test above: none of these is a JWTError."""
    text = signed('{"alg":"RS256","kid":"rsa-1"}', f'{{"exp":{value}}}', rsa_key(), "RS256")
    with pytest.raises(error):
        jwt.decode(text, rsa_jwk(rsa_key()), algorithms=["RS256"])


# Their kin: #407, #274, nesting


@pytest.mark.parametrize("missing", ["aud", "exp", "iss"])
def test_407_what_is_asked_for_has_to_be_there(missing: str) -> None:
    """jose accepts a token without ``aud`` although an audience is given, and one without ``exp``; the door neither."""
    changed: Any = {missing: None}
    text = token(**changed)
    if missing == "aud":
        options = {"verify_exp": False}
        claims = jwt.decode(text, rsa_jwk(rsa_key()), algorithms=["RS256"], audience="hms-api", options=options)
        assert "aud" not in claims
    assert missing in Guarded().refuses(text)


@pytest.mark.parametrize(
    "key",
    [
        rsa_jwk(rsa_key(), use="enc"),
        rsa_jwk(rsa_key(), alg="RS512"),
        rsa_jwk(rsa_key(), key_ops=["encrypt"]),
        rsa_jwk(rsa_key(), kid="another"),
    ],
    ids=["use", "alg", "key_ops", "kid"],
)
def test_274_a_key_is_used_for_what_it_says_only(key: dict[str, Any]) -> None:
    """jose looks at neither ``use``, ``alg``, ``key_ops`` nor ``kid`` of a set's keys; the door goes by all of them."""
    assert believed_by_jose(token(), {"keys": [key]}, algorithms=["RS256"])
    assert "no key of the issuer's 1" in Guarded(key).refuses(token())


def test_nesting_without_end_is_refused() -> None:
    """jose hands any depth to the JSON parser, which ends in RecursionError; the door counts brackets first."""
    deep = "[" * 3000 + "]" * 3000
    text = signed('{"alg":"RS256","kid":"rsa-1"}', f'{{"a":{deep}}}', rsa_key(), "RS256")
    assert len(text) > 8192
    assert "longer than" in Guarded().refuses(text)
    shorter = signed('{"alg":"RS256","kid":"rsa-1"}', f'{{"a":{"[" * 2000 + "]" * 2000}}}', rsa_key(), "RS256")
    assert len(shorter) < 8192
    if sys.version_info < (3, 12):  # newer ones have a parser that goes deeper
        with pytest.raises(RecursionError):
            jwt.decode(shorter, rsa_jwk(rsa_key()), algorithms=["RS256"])
    assert "nested deeper" in Guarded().refuses(shorter)


# The same over a real socket


ATTACKS: dict[str, Callable[[], str]] = {
    "CVE-2024-33663": lambda: by_hmac(public_bytes(ec_key(), SSH), kid="ec-1"),
    "CVE-2024-33664": lambda: jwe.encrypt(b"u" * 250_000, b"0" * 16, "A128GCM", "A128KW", zip="DEF").decode(),
    "#398": lambda: by_hmac(public_bytes(rsa_key(), DER), kid="rsa-1"),
    "#408": lambda: jwe.encrypt(CLAIMS, public_bytes(rsa_key(), PEM), "A128CBC-HS256", "RSA1_5").decode(),
    "#413": lambda: token(header={"crit": ["myparam"], "myparam": 1}),
    "#417": lambda: token(key=weak_rsa(1024, 65_537), header={"kid": "weak"}),
    "#419": lambda: by_hmac(b"", kid="rsa-1"),
    "#420": lambda: signed('{"alg":"RS256","kid":"rsa-1"}', '{"exp":Infinity}', rsa_key(), "RS256"),
}


def test_over_http_each_of_them_is_a_401_and_the_next_genuine_call_is_served() -> None:
    guarded = Guarded(rsa_jwk(rsa_key()), ec_jwk(ec_key()), rsa_jwk(weak_rsa(1024, 65_537), "weak"))

    async def main() -> None:
        server = Server(guarded.door.gateway)
        _, port = await server.start("127.0.0.1", 0)
        statuses = {}
        for name, attack in ATTACKS.items():
            line = f"Authorization: Bearer {attack()}"
            statuses[name] = (await ask(port, f"GET /any HTTP/1.1\r\nHost: a\r\n{line}\r\n\r\n".encode())).status
        good = f"GET /oauth HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token()}\r\n\r\n"
        last = await ask(port, good.encode())
        await server.drain(0.1)
        assert statuses == dict.fromkeys(ATTACKS, 401)
        assert last.status == 200

    patiently(main())
    assert len(guarded.door.upstream.seen) == 1


def test_the_tokens_that_are_forged_here_would_be_good_without_the_forgery() -> None:
    """The guard of the whole file: same claims, same time, signed by the issuer."""
    outcome = Guarded().bearer(signed('{"alg":"RS256","kid":"rsa-1"}', CLAIMS, rsa_key(), "RS256"))
    assert (outcome.status, outcome.caller) == (200, "alice")
    assert json.loads(CLAIMS)["exp"] > NOW_S
