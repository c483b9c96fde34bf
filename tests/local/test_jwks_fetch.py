from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from fakes_credentials import IssuerServer, ec_jwk, ec_key
from worlds import OwnedClock

from hms_svc.local.bounded_get import FetchFailed
from hms_svc.local.jwks_fetch import SetFetch, freshness

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from hms_svc.core.config import Issuer

KEY = ec_jwk(ec_key())
DISCOVERY = "/.well-known/openid-configuration"


@pytest.fixture
def server() -> Iterator[IssuerServer]:
    with IssuerServer(KEY) as running:
        yield running


def fetch_keys(issuer: Issuer) -> tuple[list[Mapping[str, Any]], int]:
    return SetFetch(issuer, OwnedClock())()


def fault_of(issuer: Issuer) -> str:
    with pytest.raises(FetchFailed) as failed:
        fetch_keys(issuer)
    return str(failed.value)


def test_keys_come_from_the_jwks_uri_without_discovery(server: IssuerServer) -> None:
    assert fetch_keys(server.issuer()) == ([KEY], 300)
    assert server.asked == {"/jwks": 1}


def test_without_a_jwks_uri_it_is_discovered(server: IssuerServer) -> None:
    assert fetch_keys(server.issuer(discovery=True)) == ([KEY], 300)
    assert server.asked == {DISCOVERY: 1, "/jwks": 1}


@pytest.mark.parametrize("issuer", ["http://127.0.0.1:1/", "https://evil.example/", None, "http://127.0.0.1"], ids=str)
def test_a_discovery_document_of_another_issuer_is_not_believed(server: IssuerServer, issuer: str | None) -> None:
    server.answers[DISCOVERY] = (200, json.dumps({"issuer": issuer, "jwks_uri": f"{server.url}jwks"}).encode())
    assert fault_of(server.issuer(discovery=True)) == "the discovery document speaks of another issuer"
    assert server.asked["/jwks"] == 0


@pytest.mark.parametrize(
    "jwks_uri", ["http://evil.example/jwks", "ftp://127.0.0.1/", "file:///etc/passwd", "//x", 1, None]
)
def test_a_discovered_address_is_held_to_the_same_rules(server: IssuerServer, jwks_uri: object) -> None:
    server.answers[DISCOVERY] = (200, json.dumps({"issuer": server.url, "jwks_uri": jwks_uri}).encode())
    assert "address" in fault_of(server.issuer(discovery=True)) or "no jwks_uri" in fault_of(
        server.issuer(discovery=True)
    )


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (b"", "/jwks cannot be read"),
        (b"<html>", "/jwks cannot be read"),
        (b"[]", "/jwks cannot be read"),
        (b'{"keys":[],"keys":[]}', "/jwks cannot be read"),
        (b"{}", "no JWK Set"),
        (b'{"keys":{}}', "no JWK Set"),
        (b'{"keys":1}', "no JWK Set"),
        (json.dumps({"keys": [{}] * 101}).encode(), "more than 100 keys"),
        (b" " * 524_289, "larger than 524288 bytes"),
    ],
    ids=lambda value: value[:20] if isinstance(value, bytes) else "",
)
def test_what_is_no_set_of_keys_is_refused(server: IssuerServer, body: bytes, fault: str) -> None:
    server.answers["/jwks"] = (200, body)
    assert fault in fault_of(server.issuer())


def test_what_is_no_key_among_keys_says_nothing(server: IssuerServer) -> None:
    server.answers["/jwks"] = (200, json.dumps({"keys": [None, KEY, 1, "x"]}).encode())
    assert fetch_keys(server.issuer())[0] == [{}, KEY, {}, {}]


@pytest.mark.parametrize(
    ("cache_control", "seconds"),
    [
        ("", 300),
        ("public, max-age=900", 900),
        ("MAX-AGE=900", 900),
        ('max-age="900"', 900),
        ("max-age=1", 60),
        ("max-age=0", 60),
        ("max-age=999999", 3600),
        ("max-age=99999999999999", 300),
        ("s-maxage=900", 300),
        ("no-store", 60),
        ("no-cache, max-age=900", 60),
        ("max-age=x", 300),
    ],
)
def test_how_long_a_set_is_fresh_is_the_issuers_to_say_within_bounds(cache_control: str, seconds: int) -> None:
    assert freshness(cache_control) == seconds


@pytest.mark.parametrize(
    ("age", "seconds"), [("100", 800), ("890", 60), ("900", 60), ("9999", 60), ("", 900), ("-1", 900), ("1, 2", 900)]
)
def test_what_a_cache_has_kept_it_for_is_not_fresh_any_more(age: str, seconds: int) -> None:
    assert freshness("max-age=900", age) == seconds


def test_a_set_that_has_not_changed_is_not_sent_again(server: IssuerServer) -> None:
    server.etags["/jwks"] = '"one"'
    server.headers["Cache-Control"] = "max-age=600"
    fetch = SetFetch(server.issuer(), OwnedClock())
    first, _ = fetch()
    server.headers = {"Age": "100"}
    again, fresh_s = fetch()
    assert again is first
    assert fresh_s == 500
    assert [headers.get("if-none-match") for headers in server.seen_headers] == [None, '"one"']
    server.etags["/jwks"] = '"two"'
    server.members.append(KEY)
    assert len(fetch()[0]) == 2
    assert len(fetch()[0]) == 2
    assert [headers.get("if-none-match") for headers in server.seen_headers][2:] == ['"one"', '"two"']


@pytest.mark.parametrize("etag", ["", '"' + "x" * 256 + '"', '"\xe4"', '"a\tb"'])
def test_an_etag_that_is_none_is_not_sent_back(server: IssuerServer, etag: str) -> None:
    server.etags["/jwks"] = etag
    fetch = SetFetch(server.issuer(), OwnedClock())
    fetch()
    fetch()
    assert "if-none-match" not in server.seen_headers[1]


def test_not_modified_without_a_question_is_a_failed_fetch(server: IssuerServer) -> None:
    server.answers["/jwks"] = (304, b"")
    assert fault_of(server.issuer()) == "/jwks is answered with status 304"


def test_a_set_without_an_etag_takes_the_place_of_one_that_had_one(server: IssuerServer) -> None:
    server.etags["/jwks"] = '"one"'
    fetch = SetFetch(server.issuer(), OwnedClock())
    fetch()
    server.etags.clear()
    fetch()
    fetch()
    assert [headers.get("if-none-match") for headers in server.seen_headers] == [None, '"one"', None]


def test_the_address_of_a_set_is_remembered_for_an_hour(server: IssuerServer) -> None:
    clock = OwnedClock()
    fetch = SetFetch(server.issuer(discovery=True), clock)
    fetch()
    clock.advance(3599)
    fetch()
    assert server.asked == {DISCOVERY: 1, "/jwks": 2}
    clock.advance(1)
    fetch()
    assert server.asked == {DISCOVERY: 2, "/jwks": 3}


def test_an_address_that_fails_is_looked_up_again_at_once(server: IssuerServer) -> None:
    fetch = SetFetch(server.issuer(discovery=True), OwnedClock())
    fetch()
    server.answers = {
        "/jwks": (404, b""),
        "/moved": (200, json.dumps({"keys": [KEY, KEY]}).encode()),
        DISCOVERY: (200, json.dumps({"issuer": server.url, "jwks_uri": f"{server.url}moved"}).encode()),
    }
    assert len(fetch()[0]) == 2
    assert len(fetch()[0]) == 2
    assert server.asked == {DISCOVERY: 2, "/jwks": 2, "/moved": 2}


def test_an_address_that_is_still_the_same_is_not_tried_twice(server: IssuerServer) -> None:
    fetch = SetFetch(server.issuer(discovery=True), OwnedClock())
    fetch()
    server.answers["/jwks"] = (503, b"")
    with pytest.raises(FetchFailed, match="/jwks is answered with status 503"):
        fetch()
    assert server.asked == {DISCOVERY: 2, "/jwks": 2}
