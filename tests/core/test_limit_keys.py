from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hms_svc.core.config import Limit
from hms_svc.core.limit_keys import LONGEST_KEY, bucket_key, key_prefix, limit_of
from hms_svc.core.model import NOBODY, Caller

ALICE = Caller(name="alice", via="oauth", issuer="https://login.agency.example/", token_key="t-1")


def key(
    per: str = "ip",
    caller: Caller = NOBODY,
    ip: str = "192.0.2.7",
    route: str = "faq",
    index: int = 0,
    **limit: Any,
) -> str:
    return bucket_key(route, index, Limit(1, 1, 1, per=per, **limit), caller, ip)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff"),
        ("2001:DB8:1:2::1", "2001:db8:0001:0002::1"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("fe80::1%eth0", "fe80::1%eth1"),
    ],
)
def test_one_customers_addresses_are_counted_together(one: str, other: str) -> None:
    assert key(ip=one) == key(ip=other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("2001:db8:1:2::1", "2001:db8:1:3::1"), ("192.0.2.7", "192.0.2.8"), ("::ffff:192.0.2.7", "::ffff:192.0.2.8")],
)
def test_different_customers_are_counted_apart(one: str, other: str) -> None:
    assert key(ip=one) != key(ip=other)


@pytest.mark.parametrize(
    ("prefix", "together"), [(48, "2001:db8:1:ffff::"), (56, "2001:db8:1:ff::"), (128, "2001:db8:1::")]
)
def test_a_limit_says_how_large_a_customers_network_is(prefix: int, together: str) -> None:
    assert key(ip="2001:db8:1::", ipv6_prefix=prefix) == key(ip=together, ipv6_prefix=prefix)
    assert key(ip="2001:db8:1::", ipv6_prefix=prefix) != key(ip="2001:db8:2::", ipv6_prefix=prefix)
    assert key(ip="::ffff:192.0.2.7", ipv6_prefix=prefix) != key(ip="::ffff:192.0.2.8", ipv6_prefix=prefix)


def test_a_narrow_network_counts_its_neighbours_apart() -> None:
    assert key(ip="2001:db8::1", ipv6_prefix=128) != key(ip="2001:db8::2", ipv6_prefix=128)


def test_a_limit_with_a_name_keeps_its_buckets_wherever_it_stands() -> None:
    assert key(index=0, name="hourly") == key(index=3, name="hourly")
    assert key(name="hourly") != key(name="daily")
    assert key(name="0") != key(index=0)


def test_what_is_no_address_is_counted_as_it_is() -> None:
    assert key(ip="unix:") == key(ip="unix:")


@pytest.mark.parametrize("per", ["token", "caller"])
def test_nobody_is_counted_by_address(per: str) -> None:
    assert key(per) == key("ip")
    assert key(per, ip="192.0.2.8") != key(per)


def test_a_token_is_counted_wherever_it_is_used_from() -> None:
    assert key("token", ALICE) == key("token", ALICE, ip="192.0.2.8")


def test_a_caller_is_counted_over_all_their_tokens() -> None:
    second = Caller(name="alice", via="oauth", issuer=ALICE.issuer, token_key="t-2")
    assert key("caller", ALICE) == key("caller", second)
    assert key("token", ALICE) != key("token", second)


@pytest.mark.parametrize(
    "other", [Caller(name="alice", via="api_key", issuer=ALICE.issuer), Caller(name="alice", via="oauth", issuer="x")]
)
def test_the_same_name_by_another_proof_is_another_caller(other: Caller) -> None:
    assert key("caller", ALICE) != key("caller", other)


def test_a_route_has_one_bucket_for_all() -> None:
    assert key("route", ALICE) == key("route", NOBODY, ip="192.0.2.8")
    assert key("route") != key("route", route="claims")


def test_a_long_name_makes_no_long_key() -> None:
    long, longer = Caller(name="a" * 5_000, via="oauth"), Caller(name="a" * 5_001, via="oauth")
    assert len(key("caller", long)) <= LONGEST_KEY
    assert key("caller", long) != key("caller", longer)


PARTS = st.tuples(
    st.text("ab:0\x1f/", max_size=6),
    st.integers(0, 11),
    st.sampled_from(["ip", "token", "caller", "route"]),
    st.text("ab:0\x1f/", min_size=1, max_size=6),
    st.text("ab:0\x1f/", max_size=6),
    st.sampled_from(["", "0", "1", "n1:0", "ip", "ab"]),
)


@given(PARTS, PARTS)
def test_no_two_routes_limits_or_callers_share_a_key(
    one: tuple[str, int, str, str, str, str], other: tuple[str, int, str, str, str, str]
) -> None:
    def of(parts: tuple[str, int, str, str, str, str]) -> tuple[str, object]:
        route, index, per, name, issuer, called = parts
        caller = Caller(name=name, via="oauth", issuer=issuer, token_key=name)
        whose = {"ip": (), "token": (name,), "caller": (name, issuer), "route": ()}[per]
        return key(per, caller, route=route, index=index, name=called), (route, called or index, per, whose)

    (one_key, one_meaning), (other_key, other_meaning) = of(one), of(other)
    assert (one_key == other_key) == (one_meaning == other_meaning)


PLANS = ["gold", "gold:caller", "4:gold", "plan", "é:"]


@given(
    st.sampled_from(["ip", "token", "caller", "route"]),
    st.sampled_from(["", "plan:4:gold:", "gold", "x:plan"]),
    st.sampled_from(["", "plan", "n1:0"]),
    st.sets(st.sampled_from(PLANS)),
    st.sampled_from(["", *PLANS]),
)
def test_a_key_tells_the_plan_whose_bucket_it_names(per: str, who: str, named: str, has: set[str], plan: str) -> None:
    limit = Limit(1, 1, 1, per=per, name=named)
    limit = replace(limit, plans={name: replace(limit, plan=name) for name in has})
    caller = Caller(name=who, via="oauth", issuer=who, token_key=who)
    made = bucket_key("plan:", 3, replace(limit, plan=plan, plans={}), caller, "192.0.2.7")
    rest = made.removeprefix(key_prefix("plan:", 3, limit))
    assert rest != made
    assert limit_of(rest, limit) == (limit.plans.get(plan) if plan else limit)
