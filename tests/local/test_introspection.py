"""Questions of a server that has many callers at the same time, against a real issuer."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import TYPE_CHECKING

import pytest
from fakes_introspection import ACTIVE, IntrospectionServer
from worlds import OwnedClock

from hms_svc.core.ports import StoreUnavailable
from hms_svc.local.http.upstream import HttpUpstream
from hms_svc.local.introspect import Introspector
from hms_svc.local.introspection import MAX_AT_ONCE, SharedIntrospection
from hms_svc.local.secrets import Secrets

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from hms_svc.core.config import Issuer
from contextlib import asynccontextmanager


class NoParameters:
    async def read(self, reference: str, *, again: bool = False) -> str:
        raise AssertionError((reference, again))


class World:
    """An issuer, its secret in a file, and the introspection of one machine over its own clock."""

    def __init__(self, server: IntrospectionServer, folder: Path) -> None:
        self.server = server
        (folder / "secret").write_text("s3cret\n")
        self.issuer: Issuer = server.issuer(secret=f"file:{folder / 'secret'}")
        self.clock = OwnedClock()

    @asynccontextmanager
    async def open(self, patience_s: float = 5) -> AsyncIterator[SharedIntrospection]:
        upstream = HttpUpstream()
        introspector = Introspector(upstream, Secrets(NoParameters()), self.clock)
        try:
            yield SharedIntrospection(introspector, patience_s=patience_s)
        finally:
            await upstream.close()

    async def held(self) -> None:
        """Until a question has come to the issuer, which holds its answer back."""
        assert await asyncio.to_thread(self.server.began.wait, 10)

    def let_go(self) -> None:
        assert self.server.gate is not None
        self.server.gate.set()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with IntrospectionServer() as server:
        server.gate = threading.Event()
        yield World(server, tmp_path)
        server.gate.set()


def test_all_who_wait_for_one_token_share_one_question(world: World) -> None:
    async def fifty() -> list[bytes]:
        async with world.open() as introspection:
            waiting = [asyncio.create_task(introspection.introspect(world.issuer, "opaque")) for _ in range(50)]
            await world.held()
            world.let_go()
            return await asyncio.gather(*waiting)

    assert [json.loads(answer) for answer in asyncio.run(fifty())] == [ACTIVE] * 50
    assert world.server.asked == {"/introspect": 1}


def test_all_who_wait_learn_that_there_is_no_answer(world: World) -> None:
    world.server.answers["/introspect"] = (500, b"")

    async def three() -> list[bytes | BaseException]:
        async with world.open() as introspection:
            waiting = [asyncio.create_task(introspection.introspect(world.issuer, "opaque")) for _ in range(3)]
            await world.held()
            world.let_go()
            return await asyncio.gather(*waiting, return_exceptions=True)

    assert [type(error) for error in asyncio.run(three())] == [StoreUnavailable] * 3
    assert world.server.asked == {"/introspect": 1}


def test_who_gives_up_waiting_does_not_end_the_question_of_the_others(world: World) -> None:
    async def two() -> bytes:
        async with world.open() as introspection:
            first = asyncio.create_task(introspection.introspect(world.issuer, "opaque"))
            second = asyncio.create_task(introspection.introspect(world.issuer, "opaque"))
            await world.held()
            first.cancel()
            world.let_go()
            return await second

    assert json.loads(asyncio.run(two())) == ACTIVE
    assert world.server.asked == {"/introspect": 1}


def test_beyond_16_questions_at_a_time_the_answer_is_503_at_once(world: World) -> None:
    async def flood() -> None:
        async with world.open() as introspection:
            waiting = [
                asyncio.create_task(introspection.introspect(world.issuer, f"made-up-{number}"))
                for number in range(MAX_AT_ONCE)
            ]
            await world.held()
            with pytest.raises(StoreUnavailable, match="asked about 16 tokens already"):
                await introspection.introspect(world.issuer, "one-more")
            world.let_go()
            await asyncio.gather(*waiting)
            assert json.loads(await introspection.introspect(world.issuer, "opaque")) == ACTIVE

    asyncio.run(flood())
    assert world.server.asked == {"/introspect": MAX_AT_ONCE + 1}


def test_an_issuer_that_takes_too_long_is_503_and_left_alone(world: World) -> None:
    async def slow() -> None:
        async with world.open(patience_s=0.05) as introspection:
            for _ in range(3):
                with pytest.raises(StoreUnavailable, match="it takes too long to answer"):
                    await introspection.introspect(world.issuer, "opaque")
            assert world.server.asked.total() <= 1
            world.let_go()
            world.clock.advance(5)

        async with world.open() as introspection:
            assert json.loads(await introspection.introspect(world.issuer, "opaque")) == ACTIVE

    asyncio.run(slow())


def test_an_answer_that_is_too_large_is_503(world: World) -> None:
    world.server.answers["/introspect"] = (200, b" " * 1_000_000)
    world.let_go()

    async def ask() -> None:
        async with world.open() as introspection:
            with pytest.raises(StoreUnavailable, match="larger than 65536 bytes"):
                await introspection.introspect(world.issuer, "opaque")

    asyncio.run(ask())


def test_a_secret_that_was_replaced_counts_from_the_next_question_on(world: World, tmp_path: Path) -> None:
    world.let_go()

    async def twice() -> None:
        async with world.open() as introspection:
            await introspection.introspect(world.issuer, "opaque")
            (tmp_path / "secret").write_text("another")
            await introspection.introspect(world.issuer, "opaque")

    asyncio.run(twice())
    first, second = (headers["authorization"] for headers in world.server.seen_headers)
    assert first != second
