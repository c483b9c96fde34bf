from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from fakes_credentials import IssuerServer, KeyBook, ec_jwk, ec_key, route, token
from fakes_introspection import Answers
from worlds import OwnedClock, request

from hms_svc.core.authenticate import Authenticator
from hms_svc.core.config import MAX_ISSUERS, Config
from hms_svc.core.errors import BadCredentials
from hms_svc.core.ports import StoreUnavailable
from hms_svc.local.issuer_keys import HttpKeySource

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from hms_svc.core.config import Issuer
    from hms_svc.core.model import Caller

OLD, NEW = ec_jwk(ec_key("old"), "old"), ec_jwk(ec_key("new"), "new")
DOWN = (503, b"")


@pytest.fixture
def server() -> Iterator[IssuerServer]:
    with IssuerServer(OLD) as running:
        yield running


class Desk:
    """A source over a real issuer, and the clock that it goes by."""

    def __init__(self, issuer: Issuer, runner: asyncio.Runner) -> None:
        self.clock = OwnedClock()
        self.warnings: list[str] = []
        self.source = HttpKeySource(self.clock, self.warnings.append)
        self.issuer = issuer
        self.runner = runner

    def keys(
        self,
        unknown_kid: str | None = None,
        *,
        doubted: list[Mapping[str, Any]] | None = None,
        rest: bool = True,
    ) -> list[Mapping[str, Any]]:
        """What a call is given; ``rest``: then what goes on behind it comes to its end."""

        async def call() -> list[Mapping[str, Any]]:
            try:
                return await self.source.keys(self.issuer, unknown_kid=unknown_kid, doubted=doubted)
            finally:
                if rest:
                    await at_rest()

        return self.runner.run(call())

    def kids(self, unknown_kid: str | None = None, *, rest: bool = True) -> list[str]:
        return [str(key["kid"]) for key in self.keys(unknown_kid, rest=rest)]


async def at_rest() -> None:
    while behind := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.wait(behind)


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture
def desk(server: IssuerServer, runner: asyncio.Runner) -> Desk:
    return Desk(server.issuer(), runner)


def test_a_set_is_fetched_once_while_it_is_fresh(server: IssuerServer, desk: Desk) -> None:
    for _ in range(5):
        assert desk.kids() == ["old"]
        desk.clock.advance(59)
    assert server.asked == {"/jwks": 1}
    desk.clock.advance(6)
    assert desk.kids() == ["old"]
    assert server.asked == {"/jwks": 2}


def test_the_issuer_may_say_how_long_it_is_fresh(server: IssuerServer, desk: Desk) -> None:
    server.headers["Cache-Control"] = "max-age=900"
    desk.kids()
    desk.clock.advance(899)
    desk.kids()
    assert server.asked["/jwks"] == 1
    desk.clock.advance(1)
    desk.kids()
    assert server.asked["/jwks"] == 2


def test_all_who_wait_share_one_fetch(server: IssuerServer, desk: Desk) -> None:
    server.gate = threading.Event()

    async def fifty() -> list[int]:
        waiting = [asyncio.create_task(desk.source.keys(desk.issuer)) for _ in range(50)]
        assert await asyncio.to_thread(server.began.wait, 10)
        assert server.gate is not None
        server.gate.set()
        return [len(keys) for keys in await asyncio.gather(*waiting)]

    assert desk.runner.run(fifty()) == [1] * 50
    assert server.asked == {"/jwks": 1}


def test_who_gives_up_waiting_does_not_end_the_fetch_of_the_others(server: IssuerServer, desk: Desk) -> None:
    server.gate = threading.Event()

    async def two() -> int:
        first = asyncio.create_task(desk.source.keys(desk.issuer))
        second = asyncio.create_task(desk.source.keys(desk.issuer))
        assert await asyncio.to_thread(server.began.wait, 10)
        first.cancel()
        assert server.gate is not None
        server.gate.set()
        return len(await second)

    assert desk.runner.run(two()) == 1
    assert server.asked == {"/jwks": 1}


def test_a_flood_of_unknown_keys_is_one_fetch_in_30_seconds(server: IssuerServer, desk: Desk) -> None:
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


def test_a_flood_at_the_same_time_is_one_fetch_too(server: IssuerServer, desk: Desk) -> None:

    async def flood() -> None:
        await desk.source.keys(desk.issuer)
        await asyncio.gather(*(desk.source.keys(desk.issuer, unknown_kid=f"kid-{n}") for n in range(200)))

    desk.runner.run(flood())
    assert server.asked == {"/jwks": 2}


def test_a_key_that_another_call_has_fetched_meanwhile_costs_no_fetch(server: IssuerServer, desk: Desk) -> None:
    assert desk.kids(unknown_kid="old") == ["old"]
    assert desk.kids(unknown_kid="old") == ["old"]
    assert server.asked == {"/jwks": 1}


def test_while_the_issuer_is_down_old_keys_are_used_for_an_hour(server: IssuerServer, desk: Desk) -> None:
    desk.kids()
    server.answers["/jwks"] = DOWN
    desk.clock.advance(300)
    for _ in range(10):
        assert desk.kids() == ["old"]
    assert server.asked["/jwks"] == 2
    desk.clock.advance(3599.9)
    assert desk.kids() == ["old"]
    desk.clock.advance(0.2)
    with pytest.raises(StoreUnavailable, match="/jwks is answered with status 503"):
        desk.kids()


def test_an_issuer_that_comes_back_is_asked_again(server: IssuerServer, desk: Desk) -> None:
    desk.kids()
    server.answers["/jwks"] = DOWN
    desk.clock.advance(300)
    desk.kids()
    server.answers.clear()
    server.members.append(NEW)
    assert desk.kids() == ["old"]
    desk.clock.advance(30)
    desk.kids()
    assert desk.kids() == ["old", "new"]


def test_without_any_keys_the_issuer_is_asked_every_5_seconds(server: IssuerServer, desk: Desk) -> None:
    server.answers["/jwks"] = DOWN
    for _ in range(10):
        with pytest.raises(StoreUnavailable, match="the keys of issuer agency cannot be had: /jwks is answered"):
            desk.kids()
    assert server.asked["/jwks"] == 1
    server.answers.clear()
    desk.clock.advance(5)
    assert desk.kids() == ["old"]


def test_a_set_that_came_again_unchanged_is_the_same_object(server: IssuerServer, desk: Desk) -> None:
    first = desk.keys()
    desk.clock.advance(300)
    desk.keys()
    assert desk.keys() is first
    assert server.asked["/jwks"] == 2


def test_issuers_of_former_configurations_are_forgotten(server: IssuerServer, desk: Desk) -> None:
    for number in range(MAX_ISSUERS + 1):
        desk.issuer = server.issuer(name=f"issuer-{number}")
        desk.kids()
    assert server.asked["/jwks"] == MAX_ISSUERS + 1
    desk.kids()
    assert server.asked["/jwks"] == MAX_ISSUERS + 1


def test_keys_rotate_without_a_refused_call(server: IssuerServer, runner: asyncio.Runner) -> None:
    """The whole way: old tokens, then a new key that nobody announced, then the old key withdrawn."""
    desk = Desk(server.issuer(discovery=True), runner)
    authenticator = Authenticator(
        clock=desk.clock, key_source=desk.source, key_store=KeyBook(), introspection=Answers()
    )

    def call(kid: str, jti: str) -> Caller:
        text = token(algorithm="ES256", key=ec_key(kid), header={"kid": kid}, iss=server.url, jti=jti)
        asked = request(headers=[("Authorization", f"Bearer {text}")])
        return runner.run(authenticator.identify(asked, route("oauth"), Config(issuers=(desk.issuer,))))

    assert call("old", "1").name == "alice"
    server.members.append(NEW)
    assert call("new", "2").name == "alice"
    assert call("old", "3").name == "alice"
    server.members.remove(OLD)
    desk.clock.advance(300)
    desk.keys()
    assert call("new", "4").name == "alice"
    with pytest.raises(BadCredentials):
        call("old", "1")


def test_a_key_that_took_the_place_of_another_under_its_kid_is_good_from_its_first_token(
    server: IssuerServer, desk: Desk
) -> None:
    authenticator = Authenticator(
        clock=desk.clock, key_source=desk.source, key_store=KeyBook(), introspection=Answers()
    )

    def call(key: str, jti: str) -> Caller:
        text = token(algorithm="ES256", key=ec_key(key), header={"kid": "old"}, iss=server.url, jti=jti)
        asked = request(headers=[("Authorization", f"Bearer {text}")])
        return desk.runner.run(authenticator.identify(asked, route("oauth"), Config(issuers=(desk.issuer,))))

    assert call("old", "1").name == "alice"
    server.members[:] = [ec_jwk(ec_key("new"), "old")]
    assert call("new", "2").name == "alice"
    with pytest.raises(BadCredentials):
        call("old", "1")
    assert server.asked == {"/jwks": 2}


def test_a_flood_of_wrong_signatures_is_one_fetch_in_30_seconds_and_takes_none_of_unknown_keys(
    server: IssuerServer, desk: Desk
) -> None:
    keys = desk.keys()
    for _ in range(200):
        assert desk.keys(doubted=keys) is keys
    assert server.asked == {"/jwks": 2}
    server.members.append(NEW)
    assert desk.kids(unknown_kid="new") == ["old", "new"]
    assert server.asked == {"/jwks": 3}
    assert desk.kids() == ["old", "new"]
    desk.clock.advance(30)
    newer = desk.keys(doubted=keys)
    assert newer is not keys
    assert server.asked == {"/jwks": 3}
    desk.keys(doubted=newer)
    assert server.asked == {"/jwks": 4}


def test_a_setting_that_says_nothing_of_the_keys_leaves_them_as_they_are(server: IssuerServer, desk: Desk) -> None:
    desk.kids()
    server.answers["/jwks"] = DOWN
    desk.issuer = replace(desk.issuer, leeway_s=5, audience=("another",))
    assert desk.kids() == ["old"]
    assert server.asked == {"/jwks": 1}


def test_as_many_issuers_as_a_file_may_have_are_each_fetched_once(server: IssuerServer, desk: Desk) -> None:
    for _ in range(3):
        for number in range(MAX_ISSUERS):
            desk.issuer = server.issuer(name=f"issuer-{number}")
            desk.kids()
    assert server.asked == {"/jwks": MAX_ISSUERS}


def test_issuers_that_hang_hold_up_no_other_however_many_they_are(server: IssuerServer, desk: Desk) -> None:
    with IssuerServer(NEW) as hanging:
        hanging.gate = threading.Event()
        others = [hanging.issuer(name=f"other-{number}") for number in range(MAX_ISSUERS - 1)]

        async def all_of_them() -> int:
            asking = [asyncio.create_task(desk.source.keys(other)) for other in others]
            await asyncio.sleep(0)
            keys = await desk.source.keys(desk.issuer)
            assert keys == [OLD]
            assert not any(task.done() for task in asking)
            assert hanging.gate is not None
            hanging.gate.set()
            return len(await asyncio.gather(*asking))

        assert desk.runner.run(all_of_them()) == MAX_ISSUERS - 1


def test_nobody_waits_for_a_fetch_that_has_taken_too_long(server: IssuerServer, desk: Desk) -> None:
    server.gate = threading.Event()

    async def two() -> int:
        first = asyncio.create_task(desk.source.keys(desk.issuer))
        assert await asyncio.to_thread(server.began.wait, 10)
        desk.clock.advance(12)
        with pytest.raises(StoreUnavailable, match="it does not answer"):
            await desk.source.keys(desk.issuer)
        assert server.gate is not None
        server.gate.set()
        return len(await first)

    assert desk.runner.run(two()) == 1
    assert server.asked == {"/jwks": 1}


def test_nobody_waits_for_a_set_that_is_renewed_in_time(server: IssuerServer, desk: Desk) -> None:
    desk.kids()
    server.members[:] = [NEW]
    server.gate = threading.Event()
    desk.clock.advance(300)
    assert [desk.kids(rest=False) for _ in range(5)] == [["old"]] * 5
    server.gate.set()
    assert desk.kids() == ["old"]
    assert desk.kids() == ["new"]
    assert server.asked == {"/jwks": 2}


def test_a_set_that_nobody_has_used_for_long_is_waited_for(server: IssuerServer, desk: Desk) -> None:
    desk.kids()
    server.members[:] = [NEW]
    desk.clock.advance(359)
    assert desk.kids() == ["old"]
    server.members[:] = [OLD]
    desk.clock.advance(360)
    assert desk.kids() == ["old"]
    assert server.asked == {"/jwks": 3}


def test_while_the_issuer_is_down_nobody_waits_for_it(server: IssuerServer, desk: Desk) -> None:
    desk.kids()
    server.answers["/jwks"] = DOWN
    desk.clock.advance(300)
    desk.kids()
    server.gate = threading.Event()
    for _ in range(3):
        desk.clock.advance(30)
        assert desk.kids(rest=False) == ["old"]
    server.gate.set()
    assert desk.kids() == ["old"]


def test_a_token_with_a_new_key_does_not_go_by_a_fetch_that_began_before_it(server: IssuerServer, desk: Desk) -> None:
    """The set is being renewed, the issuer has answered without the new key, and then comes the key's first token."""
    desk.kids()
    desk.clock.advance(300)
    answered, go_on = threading.Event(), threading.Event()

    class Late(dict[str, str]):
        def items(self) -> Any:
            answered.set()
            go_on.wait(10)
            return super().items()

    server.headers = Late()

    async def rotate() -> list[Mapping[str, Any]]:
        await desk.source.keys(desk.issuer)
        assert await asyncio.to_thread(answered.wait, 10)
        server.members.append(NEW)
        server.headers = {}
        asking = asyncio.create_task(desk.source.keys(desk.issuer, unknown_kid="new"))
        await asyncio.sleep(0)
        go_on.set()
        return await asking

    assert [key["kid"] for key in desk.runner.run(rotate())] == ["old", "new"]
    assert server.asked == {"/jwks": 3}


def test_two_thousand_tokens_with_made_up_keys_are_one_fetch_and_a_real_one_among_them_is_found(
    server: IssuerServer, desk: Desk
) -> None:
    desk.kids()
    server.members.append(NEW)

    async def flood() -> list[list[Mapping[str, Any]]]:
        kids = [f"made-up-{number}" for number in range(2_000)]
        kids[1_000] = "new"
        return await asyncio.gather(*(desk.source.keys(desk.issuer, unknown_kid=kid) for kid in kids))

    answers = desk.runner.run(flood())
    assert [key["kid"] for key in answers[1_000]] == ["old", "new"]
    assert server.asked == {"/jwks": 2}
    for _ in range(3):
        desk.runner.run(flood())
        desk.clock.advance(9)
    assert server.asked == {"/jwks": 2}
    desk.clock.advance(3)
    desk.runner.run(flood())
    assert server.asked == {"/jwks": 3}


def test_an_issuer_that_hangs_holds_up_no_other(server: IssuerServer, desk: Desk) -> None:
    with IssuerServer(NEW) as hanging:
        hanging.gate = threading.Event()
        other = hanging.issuer(name="other")

        async def both() -> list[str]:
            asking = asyncio.create_task(desk.source.keys(other))
            assert await asyncio.to_thread(hanging.began.wait, 10)
            kids = [str(key["kid"]) for _ in range(100) for key in await desk.source.keys(desk.issuer)]
            assert not asking.done()
            assert hanging.gate is not None
            hanging.gate.set()
            return kids + [str(key["kid"]) for key in await asking]

        assert desk.runner.run(both()) == ["old"] * 100 + ["new"]


def test_an_issuer_that_is_down_takes_no_other_along(server: IssuerServer, desk: Desk) -> None:
    with IssuerServer(NEW) as down:
        other = down.issuer(name="other", discovery=True)
    with pytest.raises(StoreUnavailable, match="the keys of issuer other cannot be had"):
        desk.runner.run(desk.source.keys(other))
    assert desk.kids() == ["old"]


def test_what_is_wrong_with_a_set_is_told_once(server: IssuerServer, desk: Desk) -> None:
    server.members += [NEW | {"d": "c2VjcmV0"}, {"kty": "oct", "kid": "shared", "k": "c2VjcmV0"}]
    for _ in range(3):
        assert desk.kids() == ["old"]
        desk.clock.advance(300)
    assert desk.warnings == [
        "issuer agency: key 'new' is skipped: its private part is published, so whoever reads the set can sign",
        "issuer agency: key 'shared' is skipped: it is symmetric, a secret that everybody can read",
    ]
    server.members.pop()
    desk.kids()
    assert len(desk.warnings) == 3


def test_a_token_of_a_key_that_is_skipped_is_no_reason_for_a_fetch(server: IssuerServer, desk: Desk) -> None:
    server.members.append(NEW | {"d": "c2VjcmV0"})
    desk.kids()
    assert desk.kids(unknown_kid="new") == ["old"]
    assert server.asked == {"/jwks": 1}
