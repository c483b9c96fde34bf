from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from fakes_credentials import AGENCY, GOOD_CLAIMS, NOW_S
from hypothesis import given
from hypothesis import strategies as st

from hms_svc.core.config import Issuer
from hms_svc.core.credentials.claims import caller_of, check, check_type, issuer_named_by
from hms_svc.core.credentials.jws import TokenInvalid

LEEWAY_S = 60
OTHER = Issuer("other", "https://other.example", ("hms-api",))


def claims(**changed: Any) -> dict[str, Any]:
    """The good claims with changes; None takes one out."""
    return {name: value for name, value in {**GOOD_CLAIMS, **changed}.items() if value is not None}


def refusal_of(now_s: float = NOW_S, issuer: Issuer = AGENCY, **changed: Any) -> str:
    found = claims(**changed)
    try:
        check(found, issuer, now_s)
        caller_of(found, issuer, "")
    except TokenInvalid as refused:
        return str(refused)
    raise AssertionError("the claims were believed")


def test_good_claims_are_believed_until_they_expire() -> None:
    assert check(claims(), AGENCY, NOW_S) == NOW_S + 600


@pytest.mark.parametrize("audience", ["hms-api", ["hms-api"], ["x", "hms-api"]])
def test_the_audience_may_be_one_or_several(audience: Any) -> None:
    assert check(claims(aud=audience), AGENCY, NOW_S)


@pytest.mark.parametrize(
    "audience", ["hms", "hms-api ", "HMS-API", "", [], ["x"], [["hms-api"]], {"hms-api": 1}, 1, True, ["hms-api", 1]]
)
def test_a_token_for_another_audience_is_refused(audience: Any) -> None:
    assert "aud" in refusal_of(aud=audience)


def test_a_token_without_audience_is_refused() -> None:
    assert refusal_of(aud=None) == "the token has no aud"


def test_a_token_without_expiry_is_refused() -> None:
    assert refusal_of(exp=None) == "the token has no exp"


def test_a_token_expires_to_the_second_after_the_leeway() -> None:
    assert check(claims(), AGENCY, NOW_S + 600 + LEEWAY_S - 0.001)
    assert refusal_of(now_s=NOW_S + 600 + LEEWAY_S) == "token expired 60 s ago"
    assert refusal_of(now_s=NOW_S + 612 + LEEWAY_S) == "token expired 72 s ago"


def test_the_leeway_is_the_issuers() -> None:
    strict = replace(AGENCY, leeway_s=0)
    assert check(claims(), strict, NOW_S + 599.999)
    assert refusal_of(issuer=strict, now_s=NOW_S + 600) == "token expired 0 s ago"
    assert refusal_of(issuer=strict, nbf=NOW_S + 1) == "token is valid only in 1 s"
    assert refusal_of(issuer=strict, iat=NOW_S + 1) == "token was issued 1 s in the future"
    assert check(claims(iat=NOW_S + 300), replace(AGENCY, leeway_s=300), NOW_S)


def test_a_token_that_lives_too_long_is_refused() -> None:
    short = replace(AGENCY, max_lifetime_s=600)
    assert check(claims(), short, NOW_S)
    assert refusal_of(issuer=short, exp=NOW_S + 601) == "the token lives longer than 600 s"
    assert refusal_of(issuer=short, iat=None) == "the token has no iat, so how long it lives is not known"


def test_another_claim_may_say_whom_a_token_is_for() -> None:
    cognito = replace(AGENCY, audience=("app-1", "app-2"), audience_claim="client_id")
    assert check(claims(aud=None, client_id="app-2"), cognito, NOW_S)
    assert refusal_of(issuer=cognito, aud="app-1") == "the token has no client_id"
    assert refusal_of(issuer=cognito, client_id="app-3", aud="app-1") == "the client_id is for others"
    assert refusal_of(issuer=cognito, client_id=1) == "the client_id is neither text nor a list of texts"


@pytest.mark.parametrize("typ", [None, "jwt", "at+jwt"])
def test_a_token_for_access_may_name_its_type(typ: str | None) -> None:
    check_type(typ, AGENCY)


@pytest.mark.parametrize("typ", ["logout+jwt", "dpop+jwt", "secevent+jwt", "id+jwt", "jwe", ""])
def test_a_token_of_another_type_is_refused(typ: str) -> None:
    with pytest.raises(TokenInvalid, match="not that of a token for access"):
        check_type(typ, AGENCY)


def test_an_issuer_may_be_held_to_one_type() -> None:
    strict = replace(AGENCY, typ=("at+jwt",))
    check_type("at+jwt", strict)
    for typ in (None, "jwt"):
        with pytest.raises(TokenInvalid):
            check_type(typ, strict)


def test_a_token_is_not_good_before_its_time() -> None:
    assert check(claims(nbf=NOW_S + LEEWAY_S), AGENCY, NOW_S)
    assert refusal_of(nbf=NOW_S + LEEWAY_S + 1) == "token is valid only in 61 s"


def test_a_token_from_the_future_is_refused() -> None:
    assert check(claims(iat=NOW_S + LEEWAY_S), AGENCY, NOW_S)
    assert refusal_of(iat=NOW_S + LEEWAY_S + 1) == "token was issued 61 s in the future"
    assert check(claims(iat=None), AGENCY, NOW_S)


@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
@pytest.mark.parametrize("value", ["1800000600", True, [], {}, -1, 1e30, 10**19, math.inf, math.nan, 253_402_300_800])
def test_a_moment_that_is_none_is_refused(name: str, value: Any) -> None:
    assert refusal_of(**{name: value}) == f"the {name} is no moment"


def test_moments_may_have_fractions() -> None:
    assert check(claims(exp=NOW_S + 0.5, nbf=NOW_S - 0.5), AGENCY, NOW_S) == NOW_S + 0.5


@pytest.mark.parametrize("issuer", ["https://login.agency.example", "HTTPS://LOGIN.AGENCY.EXAMPLE/", "", 1, None])
def test_the_issuer_is_compared_to_the_letter(issuer: Any) -> None:
    assert refusal_of(iss=issuer) == "the iss is another issuer's"
    with pytest.raises(TokenInvalid):
        issuer_named_by(claims(iss=issuer), (AGENCY, OTHER))


def test_the_issuer_named_is_found_among_several() -> None:
    assert issuer_named_by(claims(), (OTHER, AGENCY)) is AGENCY


def test_an_unknown_issuer_is_named_up_to_80_characters() -> None:
    with pytest.raises(TokenInvalid) as refused:
        issuer_named_by({"iss": "https://evil.example/" + "x" * 100}, (AGENCY,))
    assert str(refused.value) == "unknown issuer " + repr(("https://evil.example/" + "x" * 100)[:80])


def test_the_caller_is_the_subject() -> None:
    caller = caller_of(claims(), AGENCY, "key")
    assert (caller.name, caller.via, caller.credential_id, caller.issuer, caller.token_key) == (
        "alice", "oauth", "t-1", AGENCY.issuer, "key",
    )  # fmt: skip


def test_without_a_subject_it_is_the_client() -> None:
    assert caller_of(claims(sub=None, client_id="batch"), AGENCY, "").name == "batch"
    assert refusal_of(sub=None) == "the token has neither sub nor client_id"


@pytest.mark.parametrize("value", ["", 1, [], {}, "a\r\nX-HMS-Scopes: admin", "a\0b", "x" * 256])
def test_a_name_that_cannot_be_passed_on_is_refused(value: Any) -> None:
    assert refusal_of(sub=value) == "the sub is no text of 1 to 255 printable characters"


@pytest.mark.parametrize(
    ("jti", "shown"), [("", ""), ("x" * 300, "x" * 255), ("a\r\nb\0c\u202e", "abc"), ("t-1", "t-1")]
)
def test_an_id_is_shown_in_so_far_as_that_can_be(jti: str, shown: str) -> None:
    assert caller_of(claims(jti=jti), AGENCY, "").credential_id == shown


@pytest.mark.parametrize("jti", [1, [], {}, True])
def test_an_id_that_is_no_text_is_refused(jti: Any) -> None:
    assert refusal_of(jti=jti) == "the jti is no text"


def test_a_null_subject_does_not_fall_back_to_the_client() -> None:
    with pytest.raises(TokenInvalid):
        caller_of({**GOOD_CLAIMS, "sub": None, "client_id": "batch"}, AGENCY, "")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"scope": "a b"}, {"a", "b"}),
        ({"scope": ""}, set()),
        ({"scope": ["a", "b"]}, {"a", "b"}),
        ({"scope": None, "scp": ["a", "b"]}, {"a", "b"}),
        ({"scope": None, "scp": "a b"}, {"a", "b"}),
        ({"scope": "a", "scp": ["b"]}, {"a"}),
        ({"scope": None}, set()),
    ],
)
def test_scopes_come_from_scope_or_scp(given: dict[str, Any], expected: set[str]) -> None:
    assert caller_of(claims(**given), AGENCY, "").scopes == expected


@pytest.mark.parametrize("between", ["\t", "\n", "\x1c", "\x85", "\u00a0", "\u2003"], ids=ascii)
def test_only_a_space_parts_scopes(between: str) -> None:
    assert refusal_of(scope=f"a{between}admin") == "the scope holds what is no scope"
    assert caller_of(claims(scope=" a  admin "), AGENCY, "").scopes == {"a", "admin"}


@pytest.mark.parametrize("scope", [1, [1], ["a b"], [["a"]], {}, 'a"b', "é", "a\\b"], ids=str)
def test_a_scope_of_another_kind_is_refused(scope: Any) -> None:
    assert refusal_of(scope=scope).startswith("the scope ")


@pytest.mark.parametrize("scp", [[1], ["a b"], [""], 1, {}, [["a"]]], ids=str)
def test_an_scp_of_another_kind_is_refused(scp: Any) -> None:
    assert refusal_of(scope=None, scp=scp).startswith("the scp ")


def test_claims_are_handed_on_read_only() -> None:
    caller = caller_of(claims(roles=["a", "b"]), AGENCY, "")
    assert caller.claims["roles"] == ("a", "b")
    with pytest.raises(TypeError):
        caller.claims["sub"] = "mallory"  # type: ignore[index]  # that it cannot be done is the point


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(
    st.dictionaries(
        st.sampled_from(["iss", "aud", "exp", "nbf", "iat", "sub", "jti", "scope", "scp", "client_id"]), JSON
    )
)
def test_claims_of_any_kind_are_believed_or_refused(changed: dict[str, Any]) -> None:
    found = {**GOOD_CLAIMS, **changed}
    try:
        check(found, issuer_named_by(found, (AGENCY,)), NOW_S)
        assert caller_of(found, AGENCY, "").name
    except TokenInvalid:
        pass
