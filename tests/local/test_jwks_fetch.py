from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from fakes_credentials import IssuerServer, ec_jwk, ec_key

from hms_svc.local.jwks_fetch import FetchFailed, fetch_keys, freshness, is_allowed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hms_svc.core.model import Issuer

KEY = ec_jwk(ec_key())
DISCOVERY = "/.well-known/openid-configuration"


@pytest.fixture
def server() -> Iterator[IssuerServer]:
    with IssuerServer(KEY) as running:
        yield running


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
    ("url", "allowed"),
    [
        ("https://login.agency.example/jwks", True),
        ("https://login.agency.example:8443/jwks?a=b", True),
        ("http://127.0.0.1:9000/jwks", True),
        ("http://127.8.8.8/jwks", True),
        ("http://[::1]:9000/jwks", True),
        ("http://localhost/jwks", True),
        ("http://login.agency.example/jwks", False),
        ("http://localhost.evil.example/jwks", False),
        ("http://127.0.0.1.evil.example/jwks", False),
        ("http://169.254.169.254/latest", False),
        ("http://0.0.0.0/jwks", False),
        ("https://user:password@login.agency.example/jwks", False),
        ("https://login.agency.example/jwks#part", False),
        ("https:///jwks", False),
        ("https://[::1/jwks", False),
        ("https://a:b/jwks", False),
        ("file:///etc/passwd", False),
        ("", False),
    ],
)
def test_keys_come_over_tls_or_from_this_machine(url: str, *, allowed: bool) -> None:
    assert is_allowed(url) is allowed


def test_a_redirect_is_not_followed(server: IssuerServer) -> None:
    server.answers["/jwks"] = (302, b"")
    server.headers["Location"] = f"{server.url}elsewhere"
    assert fault_of(server.issuer()) == "/jwks is answered with status 302"
    assert server.asked == {"/jwks": 1}


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (b"", "/jwks cannot be read"),
        (b"<html>", "/jwks cannot be read"),
        (b"[]", "/jwks cannot be read"),
        (b'{"keys":[],"keys":[]}', "/jwks cannot be read"),
        (b"{}", "no JWK Set"),
        (b'{"keys":{}}', "no JWK Set"),
        (b'{"keys":[1]}', "no JWK Set"),
        (json.dumps({"keys": [{}] * 101}).encode(), "more than 100 keys"),
        (b" " * 524_289, "larger than 524288 bytes"),
    ],
    ids=lambda value: value[:20] if isinstance(value, bytes) else "",
)
def test_what_is_no_set_of_keys_is_refused(server: IssuerServer, body: bytes, fault: str) -> None:
    server.answers["/jwks"] = (200, body)
    assert fault in fault_of(server.issuer())


def test_nobody_listening_is_a_failed_fetch() -> None:
    with IssuerServer() as server:
        issuer = server.issuer()
    assert fault_of(issuer) == "fetching them failed with ConnectionError"


def test_nothing_of_the_environment_goes_along(
    server: IssuerServer, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    netrc = tmp_path_factory.mktemp("home") / "netrc"
    netrc.write_text("machine 127.0.0.1 login a password b\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    fetch_keys(server.issuer())
    [headers] = server.seen_headers
    assert "authorization" not in headers
    assert headers["accept-encoding"] == "identity"


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
