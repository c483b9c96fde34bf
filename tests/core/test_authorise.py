from __future__ import annotations

from typing import Any

import pytest
from fakes_credentials import route

from hms_svc.core.authorise import authorise
from hms_svc.core.config import Requirements, Route
from hms_svc.core.errors import Forbidden
from hms_svc.core.model import NOBODY, Caller


def caller(via: str = "oauth", scopes: tuple[str, ...] = (), **claims: Any) -> Caller:
    return Caller("alice", via, scopes=frozenset(scopes), claims=claims)


def needs(*scopes: str, **claims: tuple[Any, ...]) -> Route:
    return route("oauth", require=Requirements(frozenset(scopes), claims))


def refused(wanted: Route, who: Caller) -> Forbidden:
    with pytest.raises(Forbidden) as refusal:
        authorise(wanted, who)
    return refusal.value


def test_a_route_that_requires_nothing_lets_everybody_pass() -> None:
    authorise(route(), NOBODY)
    authorise(needs(), caller())


def test_a_caller_with_all_scopes_passes() -> None:
    authorise(needs("a", "b"), caller(scopes=("a", "b", "c")))


def test_the_missing_scope_is_named() -> None:
    assert refused(needs("a", "b"), caller(scopes=("a",))).detail == "The scope b is missing"


def test_missing_scopes_are_named_in_order() -> None:
    assert refused(needs("c", "a", "b"), caller(scopes=("a",))).detail == "The scopes b, c are missing"


def test_a_caller_with_a_token_reads_all_the_scopes_needed_in_the_challenge() -> None:
    assert refused(needs("b", "a"), caller(scopes=("a",))).headers == (
        ("WWW-Authenticate", 'Bearer realm="hms-svc", error="insufficient_scope", scope="a b"'),
    )


@pytest.mark.parametrize("via", ["api_key", "mtls", "none"])
def test_a_caller_with_something_else_gets_no_bearer_challenge(via: str) -> None:
    assert refused(needs("a"), caller(via)).headers == ()


def test_a_scope_that_cannot_stand_in_a_field_is_left_out_of_it() -> None:
    header = dict(refused(needs('a"\r\n'), caller()).headers)["WWW-Authenticate"]
    assert header == 'Bearer realm="hms-svc", error="insufficient_scope"'


@pytest.mark.parametrize("value", ["claims", ["x", "claims"], ("claims",)])
def test_a_claim_passes_when_it_has_or_holds_an_allowed_value(value: Any) -> None:
    authorise(needs(department=("benefits", "claims")), caller(department=value))


@pytest.mark.parametrize("value", ["secret-project", [], ["x"], None, {"claims": 1}, 1, "claims "])
def test_a_claim_with_another_value_is_named_and_no_value_told(value: Any) -> None:
    refusal = refused(needs(department=("claims",)), caller(department=value))
    assert refusal.detail == "The claim department does not allow this"
    assert "insufficient_scope" in dict(refusal.headers)["WWW-Authenticate"]


def test_a_claim_that_is_not_there_is_missing() -> None:
    assert refused(needs(department=("claims",)), caller()).detail == "The claim department is missing"


@pytest.mark.parametrize(("value", "allowed"), [(1, True), (True, 1), (0, False), (False, 0)])
def test_a_number_is_no_truth_value(value: Any, allowed: Any) -> None:
    assert refused(needs(level=(allowed,)), caller(level=value)).status == 403


def test_every_claim_must_fit() -> None:
    authorise(needs(a=(1,), b=(2,)), caller(a=1, b=2))
    assert refused(needs(a=(1,), b=(2,)), caller(a=1, b=3)).detail == "The claim b does not allow this"


ANY = route(
    "oauth",
    require=Requirements(
        frozenset({"a"}),
        any_of=(
            Requirements(frozenset({"write"})),
            Requirements(frozenset({"list"}), {"role": ("head",), "unit": ("x",)}),
        ),
    ),
)


def test_one_of_the_alternatives_is_enough() -> None:
    authorise(ANY, caller(scopes=("a", "write")))
    authorise(ANY, caller(scopes=("a", "list"), role="head", unit="x"))


def test_without_any_of_the_alternatives_all_of_them_are_named() -> None:
    refusal = refused(ANY, caller(scopes=("a", "list"), role="clerk", unit="x"))
    assert refusal.detail == "What is missing is write, or list and the claim role and the claim unit"
    assert refusal.headers == (("WWW-Authenticate", 'Bearer realm="hms-svc", error="insufficient_scope"'),)


def test_an_alternative_does_not_make_up_for_what_is_required_of_all() -> None:
    assert refused(ANY, caller(scopes=("write",))).detail == "The scope a is missing"
