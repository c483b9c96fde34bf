from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest
from fakes_credentials import IssuerServer, KeyBook, ec_jwk, ec_key, route, token
from fakes_introspection import Answers
from worlds import OwnedClock, request

from hms_svc.core.authenticate import Authenticator
from hms_svc.core.credentials.kept_keys import MAX_ISSUERS
from hms_svc.core.errors import BadCredentials
from hms_svc.core.model import Config
from hms_svc.core.ports import StoreUnavailable
from hms_svc.local.issuer_keys import HttpKeySource

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hms_svc.core.model import Caller, Issuer

OLD, NEW = ec_jwk(ec_key("old"), "old"), ec_jwk(ec_key("new"), "new")
DOWN = (503, b"")


@pytest.fixture
def server() -> Iterator[IssuerServer]:
    with IssuerServer(OLD) as running:
        yield running


class Desk:
    """A source over a real issuer, and the clock that it goes by."""

    def __init__(self, issuer: Issuer) -> None:
        self.clock = OwnedClock()
        self.source = HttpKeySource(self.clock)
        self.issuer = issuer

    def kids(self, unknown_kid: str | None = None) -> list[str]:
        return [str(key["kid"]) for key in asyncio.run(self.source.keys(self.issuer, unknown_kid=unknown_kid))]


def test_a_set_is_fetched_once_while_it_is_fresh(server: IssuerServer) -> None:
    desk = Desk(server.issuer())
    for _ in range(5):
        assert desk.kids() == ["old"]
        desk.clock.advance(59)
    assert server.asked == {"/jwks": 1}
    desk.clock.advance(6)
    assert desk.kids() == ["old"]
    assert server.asked == {"/jwks": 2}


def test_the_issuer_may_say_how_long_it_is_fresh(server: IssuerServer) -> None:
    server.headers["Cache-Control"] = "max-age=900"
    desk = Desk(server.issuer())
    desk.kids()
    desk.clock.advance(899)
    desk.kids()
    assert server.asked["/jwks"] == 1
    desk.clock.advance(1)
    desk.kids()
    assert server.asked["/jwks"] == 2


def test_all_who_wait_share_one_fetch(server: IssuerServer) -> None:
    server.gate = threading.Event()
    desk = Desk(server.issuer())

    async def fifty() -> list[int]:
        waiting = [asyncio.create_task(desk.source.keys(desk.issuer)) for _ in range(50)]
        assert await asyncio.to_thread(server.began.wait, 10)
        assert server.gate is not None
        server.gate.set()
        return [len(keys) for keys in await asyncio.gather(*waiting)]

    assert asyncio.run(fifty()) == [1] * 50
    assert server.asked == {"/jwks": 1}


def test_who_gives_up_waiting_does_not_end_the_fetch_of_the_others(server: IssuerServer) -> None:
    server.gate = threading.Event()
    desk = Desk(server.issuer())

    async def two() -> int:
        first = asyncio.create_task(desk.source.keys(desk.issuer))
        second = asyncio.create_task(desk.source.keys(desk.issuer))
        assert await asyncio.to_thread(server.began.wait, 10)
        first.cancel()
        assert server.gate is not None
        server.gate.set()
        return len(await second)

    assert asyncio.run(two()) == 1
    assert server.asked == {"/jwks": 1}


def test_a_flood_of_unknown_keys_is_one_fetch_in_30_seconds(server: IssuerServer) -> None:
    desk = Desk(server.issuer())
    desk.kids()
    for number in range(200):
        assert desk.kids(unknown_kid=f"made-up-{number}") == ["old"]
    assert server.asked == {"/jwks": 2}
    desk.clock.advance(29)
    desk.kids(unknown_kid="made-up")
    assert server.asked == {"/jwks": 2}
    desk.clock.advance(1)
    for number in range(200):
        desk.kids(unknown_kid=f"made-up-{number}")
    assert server.asked == {"/jwks": 3}


def test_a_flood_at_the_same_time_is_one_fetch_too(server: IssuerServer) -> None:
    desk = Desk(server.issuer())

    async def flood() -> None:
        await desk.source.keys(desk.issuer)
        await asyncio.gather(*(desk.source.keys(desk.issuer, unknown_kid=f"kid-{n}") for n in range(200)))

    asyncio.run(flood())
    assert server.asked == {"/jwks": 2}


def test_a_key_that_another_call_has_fetched_meanwhile_costs_no_fetch(server: IssuerServer) -> None:
    desk = Desk(server.issuer())
    assert desk.kids(unknown_kid="old") == ["old"]
    assert desk.kids(unknown_kid="old") == ["old"]
    assert server.asked == {"/jwks": 1}


def test_while_the_issuer_is_down_old_keys_are_used_for_an_hour(server: IssuerServer) -> None:
    desk = Desk(server.issuer())
    desk.kids()
    server.answers["/jwks"] = DOWN
    desk.clock.advance(300)
    for _ in range(10):
        assert desk.kids() == ["old"]
    assert server.asked["/jwks"] == 2
    desk.clock.advance(3299.9)
    assert desk.kids() == ["old"]
    desk.clock.advance(0.2)
    with pytest.raises(StoreUnavailable, match="/jwks is answered with status 503"):
        desk.kids()


def test_an_issuer_that_comes_back_is_asked_again(server: IssuerServer) -> None:
    desk = Desk(server.issuer())
    desk.kids()
    server.answers["/jwks"] = DOWN
    desk.clock.advance(300)
    desk.kids()
    server.answers.clear()
    server.members.append(NEW)
    assert desk.kids() == ["old"]
    desk.clock.advance(30)
    assert desk.kids() == ["old", "new"]


def test_without_any_keys_the_issuer_is_asked_every_5_seconds(server: IssuerServer) -> None:
    server.answers["/jwks"] = DOWN
    desk = Desk(server.issuer())
    for _ in range(10):
        with pytest.raises(StoreUnavailable, match="the keys of issuer agency cannot be had: /jwks is answered"):
            desk.kids()
    assert server.asked["/jwks"] == 1
    server.answers.clear()
    desk.clock.advance(5)
    assert desk.kids() == ["old"]


def test_a_set_that_came_again_unchanged_is_the_same_object(server: IssuerServer) -> None:
    desk = Desk(server.issuer())
    first = asyncio.run(desk.source.keys(desk.issuer))
    desk.clock.advance(300)
    assert asyncio.run(desk.source.keys(desk.issuer)) is first
    assert server.asked["/jwks"] == 2


def test_issuers_of_former_configurations_are_forgotten(server: IssuerServer) -> None:
    desk = Desk(server.issuer())
    for number in range(MAX_ISSUERS + 1):
        desk.issuer = server.issuer(name=f"issuer-{number}")
        desk.kids()
    assert server.asked["/jwks"] == MAX_ISSUERS + 1
    desk.kids()
    assert server.asked["/jwks"] == MAX_ISSUERS + 1


def test_keys_rotate_without_a_refused_call(server: IssuerServer) -> None:
    """The whole way: old tokens, then a new key that nobody announced, then the old key withdrawn."""
    clock = OwnedClock()
    desk = Authenticator(clock=clock, key_source=HttpKeySource(clock), key_store=KeyBook(), introspection=Answers())
    issuer = server.issuer(discovery=True)

    def call(kid: str, jti: str) -> Caller:
        text = token(algorithm="ES256", key=ec_key(kid), header={"kid": kid}, iss=server.url, jti=jti)
        asked = request(headers=[("Authorization", f"Bearer {text}")])
        return asyncio.run(desk.identify(asked, route("oauth"), Config(issuers=(issuer,))))

    assert call("old", "1").name == "alice"
    server.members.append(NEW)
    assert call("new", "2").name == "alice"
    assert call("old", "3").name == "alice"
    server.members.remove(OLD)
    clock.advance(300)
    assert call("new", "4").name == "alice"
    with pytest.raises(BadCredentials):
        call("old", "1")


def test_nobody_waits_for_a_fetch_that_has_taken_too_long(server: IssuerServer) -> None:
    server.gate = threading.Event()
    desk = Desk(server.issuer())

    async def two() -> int:
        first = asyncio.create_task(desk.source.keys(desk.issuer))
        assert await asyncio.to_thread(server.began.wait, 10)
        desk.clock.advance(12)
        with pytest.raises(StoreUnavailable, match="it does not answer"):
            await desk.source.keys(desk.issuer)
        assert server.gate is not None
        server.gate.set()
        return len(await first)

    assert asyncio.run(two()) == 1
    assert server.asked == {"/jwks": 1}
