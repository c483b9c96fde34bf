from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from fakes_credentials import IssuerServer, ec_jwk, ec_key
from worlds import OwnedClock, drive

from hms_svc.aws.issuer_keys import FetchedKeys
from hms_svc.core.config import MAX_ISSUERS
from hms_svc.core.ports import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

OLD, NEW = ec_jwk(ec_key("old"), "old"), ec_jwk(ec_key("new"), "new")
DOWN = (503, b"")


class Environment:
    """A source in one environment, and what it has put off until the answer is gone."""

    def __init__(self, server: IssuerServer) -> None:
        self.clock = OwnedClock()
        self.warnings: list[str] = []
        self.due: list[Callable[[], None]] = []
        self.source = FetchedKeys(self.clock, self.warnings.append, self.due.append)
        self.issuer = server.issuer()

    def kids(self, unknown_kid: str | None = None) -> list[str]:
        return [str(key["kid"]) for key in drive(self.source.keys(self.issuer, unknown_kid=unknown_kid))]

    def answered(self) -> None:
        due, self.due[:] = list(self.due), []
        for work in due:
            work()


@pytest.fixture
def server() -> Iterator[IssuerServer]:
    with IssuerServer(OLD) as running:
        yield running


@pytest.fixture
def environment(server: IssuerServer) -> Environment:
    return Environment(server)


def test_a_set_is_renewed_after_the_answer_while_it_is_in_use(server: IssuerServer, environment: Environment) -> None:
    environment.kids()
    server.members[:] = [NEW]
    environment.clock.advance(300)
    assert environment.kids() == ["old"]
    assert environment.kids() == ["old"]
    assert server.asked == {"/jwks": 1}
    environment.answered()
    assert server.asked == {"/jwks": 2}
    assert environment.kids() == ["new"]


def test_an_environment_that_was_frozen_for_long_fetches_before_it_answers(
    server: IssuerServer, environment: Environment
) -> None:
    environment.kids()
    server.members[:] = [NEW]
    environment.clock.advance(360)
    assert environment.kids() == ["new"]
    assert environment.due == []


def test_time_in_which_the_environment_was_frozen_counts(server: IssuerServer, environment: Environment) -> None:
    environment.kids()
    server.members[:] = [NEW]
    environment.clock.freeze(360)
    assert environment.kids() == ["new"]
    server.answers["/jwks"] = DOWN
    environment.clock.freeze(7 * 86_400)
    with pytest.raises(StoreUnavailable):
        environment.kids()


def test_a_set_that_is_doubted_is_fetched_again_at_most_once_in_30_seconds(
    server: IssuerServer, environment: Environment
) -> None:
    keys = drive(environment.source.keys(environment.issuer))
    for _ in range(100):
        assert drive(environment.source.keys(environment.issuer, doubted=keys)) is keys
    assert server.asked == {"/jwks": 2}
    environment.clock.advance(30)
    server.members[:] = [NEW]
    assert drive(environment.source.keys(environment.issuer, doubted=keys)) == [NEW]
    assert server.asked == {"/jwks": 3}


def test_what_was_put_off_is_not_done_twice(server: IssuerServer, environment: Environment) -> None:
    environment.kids()
    server.members.append(NEW)
    environment.clock.advance(300)
    assert environment.kids() == ["old"]
    assert environment.kids(unknown_kid="new") == ["old", "new"]
    environment.answered()
    assert server.asked == {"/jwks": 2}


def test_while_the_issuer_is_down_old_keys_are_used_for_an_hour(server: IssuerServer, environment: Environment) -> None:
    environment.kids()
    server.answers["/jwks"] = DOWN
    for _ in range(12):
        environment.clock.advance(300)
        assert environment.kids() == ["old"]
        environment.answered()
    environment.clock.advance(300)
    with pytest.raises(StoreUnavailable, match="/jwks is answered with status 503"):
        environment.kids()
    server.answers.clear()
    environment.clock.advance(5)
    assert environment.kids() == ["old"]


def test_two_thousand_tokens_with_made_up_keys_are_one_fetch_in_30_seconds(
    server: IssuerServer, environment: Environment
) -> None:
    environment.kids()
    for number in range(2_000):
        environment.kids(unknown_kid=f"made-up-{number}")
    assert server.asked == {"/jwks": 2}
    environment.clock.advance(30)
    for number in range(2_000):
        environment.kids(unknown_kid=f"made-up-{number}")
    assert server.asked == {"/jwks": 3}


def test_an_issuer_that_is_down_takes_no_other_along(environment: Environment) -> None:
    with IssuerServer(NEW) as down:
        other = down.issuer(name="other")
    with pytest.raises(StoreUnavailable, match="the keys of issuer other cannot be had"):
        drive(environment.source.keys(other))
    assert environment.kids() == ["old"]


def test_what_is_wrong_with_a_set_is_told_once(server: IssuerServer, environment: Environment) -> None:
    server.members.append({"kty": "oct", "kid": "shared", "k": "c2VjcmV0"})
    for _ in range(3):
        assert environment.kids() == ["old"]
        environment.clock.advance(360)
    assert environment.warnings == [
        "issuer agency: key 'shared' is skipped: it is symmetric, a secret that everybody can read"
    ]


def test_issuers_of_former_configurations_are_forgotten(server: IssuerServer, environment: Environment) -> None:
    for number in range(MAX_ISSUERS + 1):
        environment.issuer = server.issuer(name=f"issuer-{number}")
        environment.kids()
    environment.kids()
    assert server.asked["/jwks"] == MAX_ISSUERS + 1
