from __future__ import annotations

import json
from typing import Any

import pytest
from fakes_credentials import b64
from hypothesis import given
from hypothesis import strategies as st

from hms_svc.core.credentials.bearer import MAX_TOKEN
from hms_svc.core.credentials.jws import TokenInvalid, parse, shown


def compact(header: Any, payload: bytes = b"{}", signature: bytes = b"x") -> str:
    text = header if isinstance(header, str) else json.dumps(header)
    return ".".join(map(b64, (text.encode(), payload, signature)))


def refusal_of(token: str) -> str:
    with pytest.raises(TokenInvalid) as refused:
        parse(token)
    return str(refused.value)


def test_a_token_is_taken_apart() -> None:
    jws = parse(compact({"alg": "RS256", "kid": "k", "typ": "at+jwt"}, b'{"sub":"a"}', b"sig"))
    assert (jws.algorithm, jws.kid, jws.signature, jws.claims()) == ("RS256", "k", b"sig", {"sub": "a"})


@pytest.mark.parametrize(
    "header",
    [
        "[]",
        "null",
        "x",
        '{"alg":"RS256","alg":"none"}',
        '{"alg":"RS256","x":' + "[" * 1500 + "]" * 1500 + "}",
        {},
        {"alg": None},
        {"alg": ["RS256"]},
        {"alg": "RS256", "kid": 1},
        {"alg": "RS256", "kid": "k" * 257},
        {"alg": "RS256", "crit": ["exp"], "exp": 1},
        {"alg": "RS256", "crit": []},
        {"alg": "RS256", "b64": False},
        {"alg": "RS256", "zip": "DEF"},
        {"alg": "RS256", "enc": "A128GCM"},
        {"alg": "RS256", "cty": "JWT"},
        {"alg": "RS256", "typ": None},
        {"alg": "RS256", "typ": 1},
    ],
    ids=lambda header: str(header)[:40],
)
def test_a_header_that_is_not_plain_is_refused(header: Any) -> None:
    assert refusal_of(compact(header))


@pytest.mark.parametrize(
    ("typ", "read"), [("JWT", "jwt"), ("AT+JWT", "at+jwt"), ("application/at+jwt", "at+jwt"), ("", ""), ("x", "x")]
)
def test_the_type_is_read_without_case_and_application(typ: str, read: str) -> None:
    assert parse(compact({"alg": "RS256", "typ": typ})).typ == read
    assert parse(compact({"alg": "RS256"})).typ is None


@pytest.mark.parametrize(
    "token",
    ["", ".", "..", "a", "a.b", "a.b.c.d", "a.b.c.d.e", "....", "é.é.é", "a b.c.d", "eyJ9.e30.", ".e30.eA", "eyJ9..eA"],
)
def test_what_has_not_three_full_parts_is_refused(token: str) -> None:
    assert refusal_of(token)


@pytest.mark.parametrize("change", [lambda part: part + "=", lambda part: part + "A", lambda part: part[:-1] + "\n"])
def test_base64_has_one_form_only(change: Any) -> None:
    header, payload, signature = compact({"alg": "RS256"}, b'{"a":123}', b"xyz").split(".")
    assert refusal_of(f"{change(header)}.{payload}.{signature}")
    assert refusal_of(f"{header}.{change(payload)}.{signature}")
    assert refusal_of(f"{header}.{payload}.{change(signature)}")


def test_unused_bits_in_the_last_character_are_refused() -> None:
    header, payload, _ = compact({"alg": "RS256"}).split(".")
    assert parse(f"{header}.{payload}.eA").signature == b"x"
    assert "canonical" in refusal_of(f"{header}.{payload}.eB")


def test_the_alphabet_of_ordinary_base64_is_refused() -> None:
    header, payload, _ = compact({"alg": "RS256"}).split(".")
    assert parse(f"{header}.{payload}.-_-_").signature == b"\xfb\xff\xbf"
    assert "canonical" in refusal_of(f"{header}.{payload}.+/+/")


def test_a_token_over_the_bound_is_not_even_split() -> None:
    assert refusal_of("." * (MAX_TOKEN + 1)) == "the token is longer than 8192 characters"


@pytest.mark.parametrize("payload", [b"", b"[]", b"foo", b'{"exp":Infinity}', b'{"a":1,"a":1}', b"[" * 3000])
def test_a_payload_that_is_no_plain_object_is_refused(payload: bytes) -> None:
    with pytest.raises(TokenInvalid):
        parse(compact({"alg": "RS256"}, payload)).claims()


@given(st.text(max_size=200))
def test_any_text_is_taken_apart_or_refused(text: str) -> None:
    with pytest.raises(TokenInvalid):
        parse(text)


@given(st.binary(max_size=120), st.binary(max_size=120), st.binary(max_size=20))
def test_any_bytes_in_the_parts_are_taken_apart_or_refused(header: bytes, payload: bytes, signature: bytes) -> None:
    try:
        parse(".".join(map(b64, (header, payload, signature)))).claims()
    except TokenInvalid as refused:
        assert header.decode("latin-1") not in str(refused) or len(header) < 5  # noqa: PT017  (most are refused, not all)


def test_names_are_shown_quoted_and_cut() -> None:
    assert shown("a\nb" + "x" * 100) == repr("a\nb" + "x" * 77)
