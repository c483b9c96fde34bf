"""Nothing that a client sends chooses whose bucket its call is taken of."""

from __future__ import annotations

import pytest
from doors import Door
from hypothesis import given
from hypothesis import strategies as st
from worlds import request

from hms_svc.core.config import Forward, Limit, Route, Target

PROXIES = ("10.0.0.0/8", "2001:db8:ff::/48")
PROXY, CLIENT = "10.0.0.2", "203.0.113.9"
ADDRESSES = st.sampled_from(
    ["198.51.100.1", "198.51.100.2", CLIENT, "10.0.0.9", "127.0.0.1", "::1", "2001:db8::1", "::ffff:198.51.100.1",
     "[2001:db8::1]:80", "198.51.100.1:443", "unknown", "_hidden", "", " ", "'", "1.2.3", "2001:db8:ff::1"]
)  # fmt: skip
LISTS = st.lists(ADDRESSES, max_size=40).map(", ".join)
OTHER_FIELDS = st.lists(
    st.tuples(
        st.sampled_from(
            ["X-Real-IP", "Forwarded", "X_Forwarded_For", "X-Client-IP", "True-Client-IP", "CF-Connecting-IP",
             "X-Forwarded", "X-Cluster-Client-IP", "X-Original-Forwarded-For", "X-HMS-Caller", "X-Forwarded-Host"]
        ),
        ADDRESSES.map(lambda it: it.strip(" '")) | ADDRESSES.map(lambda it: f"for={it.strip()}"),
    ),
    max_size=4,
)  # fmt: skip


def door(per: str = "ip", count: int = 1) -> Door:
    limit = Limit(count, 3_600, count, per=per)
    action = Forward((Target("http", "faq-svc", 9_000),))
    route = Route(name="faq", path="/faq", action=action, auth=(), limits=(limit,))
    return Door(route, trusted_proxies=PROXIES)


def ask(at: Door, peer_ip: str, *fields: tuple[str, str]) -> int:
    lines = [("Host", "a"), *((name, value) for name, value in fields if name != "X-Forwarded-Host")]
    return at.ask(request(path="/faq", headers=lines, peer_ip=peer_ip)).status


@pytest.mark.parametrize("per", ["ip", "token", "caller"])
@given(said=st.lists(LISTS, max_size=3), others=OTHER_FIELDS)
def test_what_a_client_says_of_its_address_counts_for_nothing(
    per: str, said: list[str], others: list[tuple[str, str]]
) -> None:
    at = door(per)
    assert ask(at, CLIENT) == 200
    assert ask(at, CLIENT, *[("X-Forwarded-For", it) for it in said], *others) == 429
    assert ask(at, "203.0.113.10") == 200


@given(said=st.lists(LISTS, max_size=3), others=OTHER_FIELDS, hops=st.lists(st.just("10.0.0.7"), max_size=3))
def test_behind_a_proxy_the_right_most_address_that_is_no_proxy_counts(
    said: list[str], others: list[tuple[str, str]], hops: list[str]
) -> None:
    at = door()
    assert ask(at, PROXY, ("X-Forwarded-For", CLIENT)) == 200
    appended = ("X-Forwarded-For", ", ".join([CLIENT, *hops]))
    assert ask(at, PROXY, *[("x-forwarded-for", it) for it in said], appended, *others) == 429
    assert ask(at, PROXY, ("X-Forwarded-For", f"{CLIENT}, 203.0.113.10")) == 200


@given(others=OTHER_FIELDS)
def test_a_proxy_that_names_nobody_is_counted_itself(others: list[tuple[str, str]]) -> None:
    at = door()
    assert ask(at, PROXY) == 200
    assert ask(at, PROXY, *others) == 429
    assert ask(at, PROXY, ("X-Forwarded-For", "unknown")) == 429


def test_callers_behind_one_proxy_are_counted_apart() -> None:
    at = door()
    assert [ask(at, PROXY, ("X-Forwarded-For", f"203.0.113.{n}")) for n in range(5)] == [200] * 5
    assert [ask(at, "10.9.9.9", ("X-Forwarded-For", f"203.0.113.{n}")) for n in range(5)] == [429] * 5
    assert ask(at, "203.0.113.3") == 429


def test_a_chain_of_proxies_longer_than_is_read_is_counted_as_the_farthest_proxy_that_was() -> None:
    at = door()
    chain = ", ".join(["10.0.0.9"] * 40)
    assert ask(at, PROXY, ("X-Forwarded-For", f"198.51.100.1, {chain}")) == 200
    assert ask(at, PROXY, ("X-Forwarded-For", f"198.51.100.2, {chain}")) == 429


def test_ipv6_networks_are_counted_together_behind_a_proxy_too() -> None:
    at = door()
    assert ask(at, "2001:db8:ff::2", ("X-Forwarded-For", "2001:db8:1:2::1")) == 200
    assert ask(at, "2001:db8:ff::2", ("X-Forwarded-For", "[2001:db8:1:2:ffff::1]:443")) == 429
    assert ask(at, "2001:db8:ff::2", ("X-Forwarded-For", "2001:db8:1:3::1")) == 200
