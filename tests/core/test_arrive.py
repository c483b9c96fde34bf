from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from worlds import CountingRandomness, request

from hms_svc.core.arrive import Arrival, arrive, bare_host, is_proxy, name
from hms_svc.core.entry import Entry
from hms_svc.core.errors import Malformed

PROXIES = ("10.0.0.0/8", "fd00::/8")


def arrived(peer: str = "192.0.2.7", *headers: tuple[str, str], scheme: str = "http", path: str = "/a") -> Arrival:
    made = request(path=path, headers=list(headers), peer_ip=peer, scheme=scheme)
    entry = Entry(made, "the-request-id", 0, 0)
    return arrive(made, entry, CountingRandomness(), PROXIES)


def test_a_clients_own_forwarding_fields_do_not_count() -> None:
    arrival = arrived(
        "192.0.2.7",
        ("Host", "api.example"),
        ("X-Forwarded-For", "203.0.113.9"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "evil.example"),
    )
    assert (arrival.ip, arrival.scheme, arrival.host) == ("192.0.2.7", "http", "api.example")


@pytest.mark.parametrize(
    ("forwarded_for", "ip"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("198.51.100.1, 203.0.113.9, 10.0.0.3", "203.0.113.9"),
        ("spoofed, 203.0.113.9", "203.0.113.9"),
        ("203.0.113.9, not-an-address", "10.0.0.2"),
        ("10.0.0.9, 10.0.0.3", "10.0.0.9"),
        ("203.0.113.9:4711", "203.0.113.9"),
        ("[2001:db8::7]:4711", "2001:db8::7"),
        ("2001:DB8:0::7", "2001:db8::7"),
        ("", "10.0.0.2"),
    ],
)
def test_behind_a_proxy_the_last_address_that_is_no_proxy_is_the_callers(forwarded_for: str, ip: str) -> None:
    assert arrived("10.0.0.2", ("X-Forwarded-For", forwarded_for)).ip == ip


def test_behind_a_proxy_its_scheme_and_host_count() -> None:
    arrival = arrived("10.0.0.2", ("Host", "a"), ("X-Forwarded-Proto", "HTTPS"), ("X-Forwarded-Host", "api.example"))
    assert (arrival.scheme, arrival.host, arrival.trusted) == ("https", "api.example", True)
    assert arrived("10.0.0.2", ("X-Forwarded-Proto", "gopher")).scheme == "http"


def test_a_mapped_ipv4_address_is_the_ipv4_address() -> None:
    assert is_proxy("::ffff:10.0.0.1", PROXIES)
    assert not is_proxy("::ffff:192.0.2.1", PROXIES)
    assert not is_proxy("unix", PROXIES)


@pytest.mark.parametrize("host", ["a b", "a/b", "user@host", "a,b", "x" * 256, "[::1", "h:port"])
def test_a_host_that_is_none_is_refused(host: str) -> None:
    with pytest.raises(Malformed):
        arrived("192.0.2.7", ("Host", host))


@pytest.mark.parametrize(
    ("host", "bare"),
    [
        ("API.Example:8080", "api.example"),
        ("api.example.", "api.example"),
        ("[::1]:80", "[::1]"),
        ("[::1]", "[::1]"),
        ("a:", "a"),
        ("", ""),
    ],
)
def test_a_host_is_compared_without_case_and_port(host: str, bare: str) -> None:
    assert bare_host(host) == bare


def test_a_trace_is_continued_under_the_gateways_own_span() -> None:
    arrival = arrived("192.0.2.7", ("traceparent", f"00-{'a' * 32}-{'b' * 16}-00"))
    assert arrival.traceparent.startswith(f"00-{'a' * 32}-")
    assert "b" * 16 not in arrival.traceparent
    assert arrival.traceparent.endswith("-00")


@pytest.mark.parametrize(
    "parent",
    [
        "",
        "nonsense",
        f"00-{'0' * 32}-{'b' * 16}-01",
        f"00-{'a' * 32}-{'0' * 16}-01",
        f"ff-{'a' * 32}-{'b' * 16}-01",
        f"00-{'a' * 32}-{'b' * 16}-01-more",
        f"00-{'A' * 32}-{'b' * 16}-01",
    ],
)
def test_a_trace_that_is_none_is_begun_anew(parent: str) -> None:
    assert "a" * 32 not in arrived("192.0.2.7", ("traceparent", parent)).traceparent


def test_a_request_id_is_taken_over_from_a_proxy_only() -> None:
    made = request(headers=[("X-Request-Id", "from-the-proxy-1")])
    assert name(made, CountingRandomness(), trusted=True) == "from-the-proxy-1"
    assert name(made, CountingRandomness(), trusted=False) == "0" * 31 + "1"
    odd = request(headers=[("X-Request-Id", "a b\tc")])
    assert name(odd, CountingRandomness(), trusted=True) == "0" * 31 + "1"


@given(st.text(max_size=60), st.text(max_size=60), st.text(max_size=60))
def test_whatever_the_fields_say_a_request_arrives_or_is_malformed(one: str, two: str, three: str) -> None:
    with suppress(Malformed):
        assert arrived("10.0.0.2", ("X-Forwarded-For", one), ("Host", two), ("traceparent", three)).path == "/a"
