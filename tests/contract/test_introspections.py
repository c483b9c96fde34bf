"""What every `Introspection` keeps to, whatever stands behind it."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Protocol

import pytest
from fakes_introspection import ACTIVE, INACTIVE, LEGACY, Answers, IntrospectionServer
from worlds import OwnedClock

from hms_svc.aws.upstream import RequestsUpstream
from hms_svc.core.ports import Introspection, StoreUnavailable
from hms_svc.local.http.upstream import HttpUpstream
from hms_svc.local.introspect import Introspector
from hms_svc.local.introspection import SharedIntrospection

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hms_svc.core.config import Issuer


class World(Protocol):
    """An introspection, and what the test does to the issuer behind it."""

    async def ask(self, token: str) -> bytes: ...
    def stop(self) -> None: ...


class InMemory:
    def __init__(self) -> None:
        self._answers = Answers()

    async def ask(self, token: str) -> bytes:
        return await self._answers.introspect(LEGACY, token)

    def stop(self) -> None:
        self._answers.down = True


class OneSecret:
    async def read(self, reference: str, *, again: bool = False) -> str:
        return f"{reference} {again}"


class OverHttp:
    def __init__(self, server: IntrospectionServer) -> None:
        self._server = server
        self.issuer: Issuer = server.issuer(discovery=True)

    async def ask(self, token: str) -> bytes:
        upstream = HttpUpstream()
        asked: Introspection = SharedIntrospection(Introspector(upstream, OneSecret(), OwnedClock()))
        try:
            return await asked.introspect(self.issuer, token)
        finally:
            await upstream.close()

    def stop(self) -> None:
        self._server.hang_up = 10


class InLambda(OverHttp):
    async def ask(self, token: str) -> bytes:
        upstream = RequestsUpstream()
        asked: Introspection = Introspector(upstream, OneSecret(), OwnedClock())
        try:
            return await asked.introspect(self.issuer, token)
        finally:
            upstream.close()


@pytest.fixture(params=["memory", "http", "lambda"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    with IntrospectionServer() as server:
        worlds: dict[str, World] = {"memory": InMemory(), "http": OverHttp(server), "lambda": InLambda(server)}
        yield worlds[request.param]


def said(world: World, token: str) -> Any:
    return json.loads(asyncio.run(world.ask(token)))


def test_what_the_issuer_says_of_a_token_is_answered(world: World) -> None:
    assert said(world, "opaque") == ACTIVE
    assert said(world, "made-up") == INACTIVE


def test_an_issuer_that_does_not_answer_is_unavailable(world: World) -> None:
    world.stop()
    with pytest.raises(StoreUnavailable) as failed:
        said(world, "opaque")
    assert "opaque" not in str(failed.value)
