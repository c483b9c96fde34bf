"""A gateway that really runs, and issuers that rotate their keys, go down, or are hidden behind a flood of tokens."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import TYPE_CHECKING

import pytest
import requests
from fakes_credentials import IssuerServer, b64, ec_jwk, ec_key, token
from running import Running, started

from hms_svc.core.credentials.kept_keys import COOL_DOWN_S

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ISSUER = """
  {name}:
    issuer: {url}
    audience: hms-api
    jwks_uri: {url}jwks
"""
ROUTES = """
routes:
- path: /secure/claims
  forward_to: http://claims-svc:9001
  auth: oauth
"""
CALLERS = 8
FLOOD = 2_000
OLD, NEW = ec_jwk(ec_key("old"), "old"), ec_jwk(ec_key("new"), "new")


@pytest.fixture
def one() -> Iterator[IssuerServer]:
    with IssuerServer(OLD) as running:
        yield running


@pytest.fixture
def other() -> Iterator[IssuerServer]:
    with IssuerServer(OLD) as running:
        yield running


@pytest.fixture
def gateway(one: IssuerServer, other: IssuerServer, tmp_path: Path) -> Iterator[Running]:
    issuers = ISSUER.format(name="one", url=one.url) + ISSUER.format(name="other", url=other.url)
    (tmp_path / "routes.yml").write_text(f"issuers:{issuers}{ROUTES}")
    with started(tmp_path, "--demo", "--routes", "routes.yml") as gateway:
        yield gateway


def fresh(issuer: IssuerServer, kid: str, jti: int = 0) -> str:
    now_s = int(time.time())
    header = {"kid": kid}
    return token(
        algorithm="ES256", key=ec_key(kid), header=header, iss=issuer.url, exp=now_s + 600, iat=now_s, jti=str(jti)
    )


def made_up(issuer: IssuerServer, number: int) -> str:
    _, payload, signature = fresh(issuer, "old").split(".")
    header = json.dumps({"alg": "ES256", "kid": f"made-up-{number}"})
    return f"{b64(header.encode())}.{payload}.{signature}"


def statuses(gateway: Running, tokens: Iterator[str]) -> list[int]:
    with requests.Session() as session:
        session.trust_env = False
        return [
            session.get(
                f"{gateway.url}/secure/claims", headers={"Authorization": f"Bearer {text}"}, timeout=20
            ).status_code
            for text in tokens
        ]


def test_an_issuer_rotates_its_key_under_load_without_a_refused_call(gateway: Running, one: IssuerServer) -> None:
    """Published, then used, then the old one withdrawn: eight callers, each call with a token of its own."""
    signing, over = ["old"], Event()

    def tokens() -> Iterator[str]:
        number = 0
        while not over.is_set():
            number += 1
            yield fresh(one, signing[0], number)

    def calls_pass(number: int) -> None:
        assert statuses(gateway, (fresh(one, signing[0], -n) for n in range(number))) == [200] * number

    with ThreadPoolExecutor(CALLERS) as callers:
        answers = [callers.submit(statuses, gateway, tokens()) for _ in range(CALLERS)]
        try:
            calls_pass(10)
            one.members = [OLD, NEW]
            calls_pass(10)
            signing[0] = "new"
            calls_pass(10)
            one.members = [NEW]
            calls_pass(10)
        finally:
            over.set()
    assert {status for answer in answers for status in answer.result()} == {200}
    assert one.asked == {"/jwks": 2}


def test_a_flood_of_tokens_with_made_up_keys_is_one_fetch_a_cool_down(gateway: Running, one: IssuerServer) -> None:
    begun = time.monotonic()
    assert statuses(gateway, iter([fresh(one, "old")])) == [200]
    with ThreadPoolExecutor(CALLERS) as callers:
        shares = [
            callers.submit(statuses, gateway, (made_up(one, number) for number in range(share, FLOOD, CALLERS)))
            for share in range(CALLERS)
        ]
        assert [status for share in shares for status in share.result()] == [401] * FLOOD
    assert statuses(gateway, iter([fresh(one, "old", 2)])) == [200]
    cool_downs = 1 + int((time.monotonic() - begun) / COOL_DOWN_S)
    assert 2 <= one.asked["/jwks"] <= 1 + cool_downs


def test_an_issuer_that_hangs_takes_no_time_of_another_ones_callers(
    gateway: Running, one: IssuerServer, other: IssuerServer
) -> None:
    other.gate = Event()
    with ThreadPoolExecutor(CALLERS) as callers:
        waiting = [callers.submit(statuses, gateway, iter([fresh(other, "old", n)])) for n in range(CALLERS)]
        assert other.began.wait(10)
        assert statuses(gateway, (fresh(one, "old", n) for n in range(50))) == [200] * 50
        assert not any(answer.done() for answer in waiting)
        other.gate.set()
        assert [answer.result() for answer in waiting] == [[200]] * CALLERS
    assert other.asked == {"/jwks": 1}


def test_keys_that_do_not_count_are_said_once_and_the_others_work(gateway: Running, one: IssuerServer) -> None:
    one.members = [OLD, NEW | {"d": "c2VjcmV0"}]
    assert statuses(gateway, (fresh(one, kid, n) for n in range(3) for kid in ("old", "new"))) == [200, 401] * 3
    _, _, said = gateway.stop()
    fault = "issuer one: key 'new' is skipped: its private part is published, so whoever reads the set can sign"
    assert said.splitlines() == [f"hms-svc: {fault}"]
