"""Opaque tokens at a gateway that runs, with an issuer that really is asked."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from fakes_introspection import ACTIVE, IntrospectionServer
from running import project_copy, started

from hms_svc.local.introspect import basic

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from running import Running

SECRET = "a secret of the tests"
ROUTES = """
issuers:
  legacy:
    issuer: {url}
    audience: hms-api
    introspection: {{client_id: hms-svc, client_secret: "file:legacy-secret", cache: 10m}}
routes:
- {{path: /secure/claims, forward_to: "http://claims-svc:9001", auth: oauth, require: {{scopes: [claims:read]}}}}
- {{path: /public/faq, forward_to: "http://faq-svc:9000", auth: none}}
"""


@pytest.fixture
def issuer() -> Iterator[IntrospectionServer]:
    with IntrospectionServer() as server:
        good = {**ACTIVE, "exp": time.time() + 600}
        server.basic = basic("hms-svc", SECRET)[1]
        server.tokens = {
            "good": good,
            "also-good": good,
            "later": good,
            "expired": {**ACTIVE, "exp": time.time() - 600},
            "for-others": {**ACTIVE, "exp": time.time() + 600, "aud": "others"},
            "without-scopes": {**good, "scope": ""},
        }
        yield server


@pytest.fixture
def gateway(issuer: IntrospectionServer, tmp_path: Path) -> Iterator[Running]:
    folder = project_copy(tmp_path)
    (folder / "legacy-secret").write_text(SECRET + "\n")
    (folder / "opaque.yml").write_text(ROUTES.format(url=issuer.url))
    with started(folder, "--demo", "--routes", "opaque.yml") as running:
        yield running


def status(gateway: Running, token: str) -> int:
    return gateway.get("/secure/claims", Authorization=f"Bearer {token}").status_code


def test_the_issuer_decides_who_is_let_in(gateway: Running, issuer: IntrospectionServer, tmp_path: Path) -> None:
    good = gateway.get("/secure/claims", Authorization="Bearer good")
    assert (good.status_code, good.json()["seen_by_the_service"]["Caller"]) == (200, "alice")
    tokens = ["made-up", "expired", "for-others", "without-scopes"]
    assert [status(gateway, token) for token in tokens] == [401, 401, 401, 403]
    bad = gateway.get("/secure/claims", Authorization="Bearer made-up")
    assert bad.headers["WWW-Authenticate"] == 'Bearer realm="hms-svc", error="invalid_token"'
    assert status(gateway, "demo-user-token") == 200

    questions = issuer.asked["/introspect"]
    assert {status(gateway, "good") for _ in range(100)} == {200}
    assert {status(gateway, "made-up") for _ in range(100)} == {401}
    assert issuer.asked["/introspect"] == questions == 5

    code, out, err = gateway.stop()
    record = (tmp_path / ".hms-svc" / "audit.jsonl").read_text()
    assert code == 0
    assert "the token is not active" in record
    for secret in (SECRET, issuer.basic or "", "made-up", "for-others"):
        assert secret not in record + out + err


def test_an_issuer_that_is_down_is_503_on_its_routes_only(gateway: Running, issuer: IntrospectionServer) -> None:
    assert status(gateway, "good") == 200
    issuer.answers = {"/introspect": (500, b""), "/.well-known/openid-configuration": (500, b"")}
    down = gateway.get("/secure/claims", Authorization="Bearer also-good")
    assert (down.status_code, "Retry-After" in down.headers) == (503, True)
    assert status(gateway, "good") == 200
    assert gateway.get("/public/faq").status_code == 200
    issuer.answers.clear()
    assert status(gateway, "also-good") == 200
    issuer.hang_up = 10
    assert [status(gateway, token) for token in ("later", "good")] == [503, 200]
    assert gateway.get("/public/faq").status_code == 200
