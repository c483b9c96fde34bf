from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import pytest
from fakes_introspection import ACTIVE, LEGACY, NOW_S
from hypothesis import example, given
from hypothesis import strategies as st

from hms_svc.core.credentials.introspected import caller_introspected
from hms_svc.core.credentials.jws import TokenInvalid
from hms_svc.core.ports import StoreUnavailable

if TYPE_CHECKING:
    from hms_svc.core.model import Caller


def said(**changed: Any) -> bytes:
    """A good answer with these members; a change to None takes one out."""
    return json.dumps({name: value for name, value in {**ACTIVE, **changed}.items() if value is not None}).encode()


def read(answer: bytes) -> tuple[Caller, float]:
    return caller_introspected(answer, LEGACY, NOW_S, "k")


def test_an_active_token_names_its_caller() -> None:
    caller, expires_s = read(said(cnf={"x5t#S256": "abc"}, department="claims"))
    assert (caller.name, caller.via, caller.credential_id, caller.issuer) == ("alice", "oauth", "t-1", LEGACY.issuer)
    assert caller.scopes == {"claims:read", "claims:write"}
    assert caller.token_key == "k"
    assert caller.claims["department"] == "claims"
    assert caller.claims["cnf"] == {"x5t#S256": "abc"}
    assert expires_s == NOW_S + 600


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"username": "al", "client_id": "app"}, "alice"),
        ({"sub": None, "username": "al", "client_id": "app"}, "al"),
        ({"sub": None, "client_id": "app"}, "app"),
    ],
)
def test_the_name_is_sub_else_username_else_client_id(changed: dict[str, Any], name: str) -> None:
    assert read(said(**changed))[0].name == name


def test_a_token_without_exp_is_good_as_long_as_the_issuer_says_so() -> None:
    assert read(said(exp=None))[1] == math.inf


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"active": False}, "the token is not active"),
        ({"exp": NOW_S - 72}, "token expired 72 s ago"),
        ({"exp": "soon"}, "the exp is no moment"),
        ({"exp": -1}, "the exp is no moment"),
        ({"nbf": NOW_S + 100}, "token is valid only in 100 s"),
        ({"iat": NOW_S + 100}, "token was issued 100 s in the future"),
        ({"iss": "https://other.example/"}, "the iss is another issuer's"),
        ({"aud": None}, "the token has no aud"),
        ({"aud": "others"}, "the aud is for others"),
        ({"aud": ["others", 1]}, "the aud is neither text nor a list of texts"),
        ({"sub": None}, "the token has neither sub nor username nor client_id"),
        ({"sub": "a\nb"}, "the sub is no text of 1 to 255 printable characters"),
        ({"sub": ""}, "the sub is no text of 1 to 255 printable characters"),
        ({"scope": 1}, "the scope is no text of scopes"),
        ({"token_type": "refresh_token"}, "the token_type is not that of a token for access"),
        ({"token_type": "DPoP"}, "the token_type is not that of a token for access"),
        ({"token_use": "refresh_token"}, "the token_use is not that of a token for access"),
        ({"typ": "Refresh"}, "the typ is not that of a token for access"),
        ({"token_type": 1}, "the token_type is not that of a token for access"),
    ],
    ids=str,
)
def test_an_answer_that_does_not_let_the_caller_in_says_why(changed: dict[str, Any], why: str) -> None:
    with pytest.raises(TokenInvalid) as refusal:
        read(said(**changed))
    assert str(refusal.value) == why


@pytest.mark.parametrize(
    "changed", [{"token_type": "Bearer"}, {"token_use": "access_token"}, {"typ": "at+JWT"}], ids=str
)
def test_a_token_for_access_may_say_so(changed: dict[str, Any]) -> None:
    assert read(said(**changed))[0].name == "alice"


def test_a_clock_may_be_a_minute_behind() -> None:
    assert read(said(exp=NOW_S - 59))[1] == NOW_S - 59


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"not json",
        b"[]",
        b"true",
        b"null",
        b"\xff",
        b"{}",
        b'{"active":"true"}',
        b'{"active":1}',
        b'{"active":null}',
        b'{"active":true,"active":true,"sub":"a"}',
        b'{"active":true,"exp":Infinity}',
        b'{"active":true,"a":' + b"[" * 5000,
        b'{"active":true,"sub":"\\ud800"}',
    ],
    ids=lambda answer: answer[:30].decode("latin-1"),
)
def test_an_answer_that_is_none_is_the_issuers_fault(answer: bytes) -> None:
    with pytest.raises(StoreUnavailable, match="the introspection by issuer legacy"):
        read(answer)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)
MEMBERS = [*ACTIVE, "iss", "nbf", "iat", "username", "client_id", "scp", "token_type", "typ", "cnf"]


@given(st.dictionaries(st.sampled_from(MEMBERS), JSON))
@example({"exp": 10**30})
@example({"sub": "\ud800"})
def test_any_answer_is_a_caller_a_refusal_or_the_issuers_fault(changed: dict[str, Any]) -> None:
    try:
        caller, expires_s = read(json.dumps({**ACTIVE, **changed}).encode())
    except (TokenInvalid, StoreUnavailable):
        return
    assert changed.get("active", True) is True
    assert caller.name
    assert expires_s > NOW_S - 60


@given(st.binary(max_size=200))
def test_any_bytes_are_the_issuers_fault_unless_they_say_no(answer: bytes) -> None:
    with pytest.raises((TokenInvalid, StoreUnavailable)):
        read(answer)
