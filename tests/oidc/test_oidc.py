"""The gateway and a real OpenID provider: discovery, tokens, rotation, expiry. `make oidc` runs it."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import TYPE_CHECKING

import pytest
import requests
from fakes_credentials import KeyBook, route
from fakes_introspection import Answers
from oidc.provider import Provider, needed, running
from running import Running, started
from worlds import OwnedClock, request

from hms_svc.core.authenticate import Authenticator
from hms_svc.core.config import Config, Issuer
from hms_svc.core.credentials.token_keys import ALGORITHMS
from hms_svc.core.errors import BadCredentials
from hms_svc.local.issuer_keys import HttpKeySource

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hms_svc.core.model import Caller

pytestmark = needed
KEYS = {"RS256": "rsa-1", "ES256": "ec-1", "PS256": "rsa-1", "EdDSA": "okp-1"}
SUPPORTED = [name for name in KEYS if name in ALGORITHMS]
ROUTES = f"""
issuers:
  provider:
    issuer: ISSUER
    audience: hms-api
    algorithms: [{", ".join(SUPPORTED)}]
routes:
- path: /secure/claims
  forward_to: http://claims-svc:9001
  auth: oauth
  require: {{scopes: [claims:read]}}
"""
DISCOVERY = "/.well-known/openid-configuration"
CALLERS = 8


@pytest.fixture
def provider() -> Iterator[Provider]:
    with running() as provider:
        yield provider


@pytest.fixture
def gateway(provider: Provider, tmp_path: Path) -> Iterator[Running]:
    (tmp_path / "routes.yml").write_text(ROUTES.replace("ISSUER", provider.url))
    with started(tmp_path, "--demo", "--routes", "routes.yml") as gateway:
        yield gateway


def status(gateway: Running, token: str, session: requests.Session | None = None) -> int:
    headers = {"Authorization": f"Bearer {token}"}
    return (session or gateway.session).get(f"{gateway.url}/secure/claims", headers=headers, timeout=20).status_code


def test_a_client_of_the_provider_comes_in_and_its_keys_are_fetched_once(gateway: Running, provider: Provider) -> None:
    assert [status(gateway, provider.token()) for _ in range(3)] == [200, 200, 200]
    asked = provider.asked()
    assert (asked[DISCOVERY], asked["/jwks"]) == (1, 1)


@pytest.mark.parametrize("algorithm", KEYS)
def test_tokens_of_every_supported_algorithm_are_verified(gateway: Running, provider: Provider, algorithm: str) -> None:
    provider.rotate(["rsa-1", "ec-1", "okp-1"], **{algorithm: KEYS[algorithm]})
    assert status(gateway, provider.token(algorithm)) == (200 if algorithm in SUPPORTED else 401)


def test_a_token_for_another_service_is_refused(gateway: Running, provider: Provider) -> None:
    assert status(gateway, provider.token(audience="another-api")) == 401


def test_an_opaque_token_is_refused_and_costs_no_look_at_the_keys(gateway: Running, provider: Provider) -> None:
    token = provider.token("opaque")
    assert provider.introspect(token)["active"] is True
    assert status(gateway, token) == 401
    assert "/jwks" not in provider.asked()


def test_an_expired_token_is_refused(gateway: Running, provider: Provider) -> None:
    assert status(gateway, provider.token(seconds=-120)) == 401
    assert status(gateway, provider.token(seconds=120)) == 200


def test_a_new_key_works_from_its_first_token_on_and_the_old_one_goes_on(gateway: Running, provider: Provider) -> None:
    old = provider.token()
    assert status(gateway, old) == 200
    provider.rotate(["rsa-2", "rsa-1"], RS256="rsa-2")
    assert status(gateway, provider.token()) == 200
    assert status(gateway, old) == 200
    asked = provider.asked()
    assert (asked[DISCOVERY], asked["/jwks"]) == (1, 2)


def test_the_provider_rotates_under_load_without_a_refused_call(gateway: Running, provider: Provider) -> None:
    """Eight callers with tokens of their own, all the while: a key is published, then used, then the old one goes."""
    over = Event()

    def caller() -> list[int]:
        with requests.Session() as session:
            session.trust_env = False
            return [status(gateway, provider.token(), session) for _ in iter(over.is_set, True)]

    def calls_pass(number: int) -> None:
        for _ in range(number):
            assert status(gateway, provider.token()) == 200

    with ThreadPoolExecutor(CALLERS) as callers:
        answers = [callers.submit(caller) for _ in range(CALLERS)]
        try:
            calls_pass(10)
            provider.rotate(["rsa-1", "rsa-2"], RS256="rsa-1")
            calls_pass(10)
            provider.rotate(["rsa-1", "rsa-2"], RS256="rsa-2")
            calls_pass(10)
            provider.rotate(["rsa-2"], RS256="rsa-2")
            calls_pass(10)
        finally:
            over.set()
    statuses = [status for answer in answers for status in answer.result()]
    assert set(statuses) == {200}
    assert len(statuses) > CALLERS
    assert provider.asked()["/jwks"] == 2


class Desk:
    """An authenticator over the provider's keys, with its clock in the test's hands."""

    def __init__(self, provider: Provider, runner: asyncio.Runner) -> None:
        self.clock = OwnedClock(time.time_ns())
        self._runner = runner
        source = HttpKeySource(self.clock, pytest.fail)
        self._authenticator = Authenticator(
            clock=self.clock, key_source=source, key_store=KeyBook(), introspection=Answers()
        )
        self._config = Config(issuers=(Issuer("provider", provider.url, ("hms-api",)),))

    def identify(self, token: str) -> Caller:
        asked = request(headers=[("Authorization", f"Bearer {token}")])

        async def call() -> Caller:
            try:
                return await self._authenticator.identify(asked, route("oauth"), self._config)
            finally:
                while behind := asyncio.all_tasks() - {asyncio.current_task()}:
                    await asyncio.wait(behind)

        return self._runner.run(call())


@pytest.fixture
def desk(provider: Provider) -> Iterator[Desk]:
    with asyncio.Runner() as runner:
        yield Desk(provider, runner)


def test_a_caller_is_who_the_provider_says(desk: Desk, provider: Provider) -> None:
    caller = desk.identify(provider.token())
    assert (caller.name, caller.issuer, caller.scopes) == ("service", provider.url, frozenset({"claims:read"}))


def test_a_token_is_good_until_it_expires_and_the_clocks_may_differ(desk: Desk, provider: Provider) -> None:
    token = provider.token(seconds=2)
    desk.clock.advance(50)
    assert desk.identify(token).name == "service"
    desk.clock.advance(13)
    with pytest.raises(BadCredentials) as refused:
        desk.identify(token)
    assert refused.value.cause.startswith("token expired ")


def test_tokens_of_a_key_that_was_withdrawn_are_refused_once_the_set_is_renewed(desk: Desk, provider: Provider) -> None:
    old = provider.token()
    desk.identify(old)
    provider.rotate(["rsa-2"], RS256="rsa-2")
    assert desk.identify(old).name == "service"
    desk.clock.advance(300)
    assert desk.identify(old).name == "service"
    with pytest.raises(BadCredentials) as refused:
        desk.identify(old)
    assert refused.value.cause.startswith("unknown kid 'rsa-1'")
    assert desk.identify(provider.token()).name == "service"
