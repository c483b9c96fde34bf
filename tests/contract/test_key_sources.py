"""What every `KeySource` keeps to, whatever stands behind it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol

import pytest
from fakes_credentials import AGENCY, IssuerServer, KeySet, ec_jwk, ec_key
from worlds import CountingRandomness, OwnedClock

from hms_svc.aws.issuer_keys import FetchedKeys
from hms_svc.core.ports import KeySource, StoreUnavailable
from hms_svc.local.demo_credentials import DemoIssuer, WithDemoIssuer
from hms_svc.local.issuer_keys import HttpKeySource

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from hms_svc.core.config import Issuer

OLD, NEW = ec_jwk(ec_key("old"), "old"), ec_jwk(ec_key("new"), "new")


class World(Protocol):
    """A source, and what the test does to whoever is behind it."""

    @property
    def source(self) -> KeySource: ...
    @property
    def issuer(self) -> Issuer: ...
    def rotate(self) -> None: ...
    def stop(self) -> None: ...


class InMemory:
    def __init__(self) -> None:
        self.source = KeySet([OLD])
        self.issuer = AGENCY

    def rotate(self) -> None:
        self.source.next_members = [OLD, NEW]

    def stop(self) -> None:
        self.source.down = True


class OverHttp:
    def __init__(self, server: IssuerServer, *, discovery: bool) -> None:
        self._server = server
        self.source: KeySource = HttpKeySource(OwnedClock(), pytest.fail)
        self.issuer = server.issuer(discovery=discovery)

    def rotate(self) -> None:
        self._server.members.append(NEW)

    def stop(self) -> None:
        self._server.answers = dict.fromkeys(("/jwks", "/.well-known/openid-configuration"), (500, b""))


class InLambda(OverHttp):
    def __init__(self, server: IssuerServer) -> None:
        super().__init__(server, discovery=True)
        self.source = FetchedKeys(OwnedClock(), pytest.fail, lambda work: work())


class BesideTheDemoIssuer(OverHttp):
    def __init__(self, server: IssuerServer, folder: Path) -> None:
        super().__init__(server, discovery=False)
        self.source = WithDemoIssuer(self.source, DemoIssuer(folder, CountingRandomness()))


@pytest.fixture(params=["memory", "http", "http-discovery", "beside-the-demo-issuer", "lambda"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    with IssuerServer(OLD) as server:
        if request.param == "memory":
            yield InMemory()
        elif request.param == "beside-the-demo-issuer":
            yield BesideTheDemoIssuer(server, tmp_path)
        elif request.param == "lambda":
            yield InLambda(server)
        else:
            yield OverHttp(server, discovery=request.param == "http-discovery")


def keys(world: World, **more: Any) -> list[Mapping[str, Any]]:
    return asyncio.run(world.source.keys(world.issuer, **more))


def test_the_members_of_the_issuers_set_are_answered(world: World) -> None:
    assert keys(world) == [OLD]


def test_a_new_key_is_found_when_a_token_names_it(world: World) -> None:
    keys(world)
    world.rotate()
    assert keys(world, unknown_kid="new") == [OLD, NEW]
    assert keys(world) == [OLD, NEW]


def test_a_key_that_nobody_has_leaves_the_set_as_it_is(world: World) -> None:
    assert keys(world, unknown_kid="nobodys") == [OLD]
    assert keys(world, unknown_kid="nobodys") == [OLD]


def test_a_source_that_never_had_a_set_and_cannot_get_one_is_unavailable(world: World) -> None:
    world.stop()
    with pytest.raises(StoreUnavailable):
        keys(world)
