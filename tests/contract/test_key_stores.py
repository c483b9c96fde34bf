"""What every `KeyStore` keeps to, whatever stands behind it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

import pytest
from aws.tables import boto3_client, new_table, tables
from fakes_credentials import KeyBook
from worlds import OwnedClock, drive

from hms_svc.aws.cached_keys import CachedKeys
from hms_svc.aws.dynamodb_keys import DynamoDbKeys
from hms_svc.core.ports import ApiKey, KeyStore, KeyUseStore, StoreUnavailable
from hms_svc.local.key_file import KeyFile

if TYPE_CHECKING:
    from pathlib import Path

    from hms_svc.core.credentials.key_listing import Listing

__all__ = ["tables"]
ONE = ApiKey("key-1", "team", "1" * 64, "batch", frozenset({"a", "b"}), 5, 900, None, plan="gold")
EXPIRED = ApiKey("key-2", "team", "2" * 64, expires_s=1)
REVOKED = ApiKey("key-3", "téam", "3" * 64, revoked_s=1)


class Uses(KeyUseStore, Protocol):
    """Where uses are noted, and shown to people."""

    def all(self) -> Listing: ...


class World(Protocol):
    """A store, and what the test does to it."""

    @property
    def store(self) -> KeyStore: ...
    @property
    def uses(self) -> Uses: ...
    def add(self, key: ApiKey) -> None: ...
    def stop(self) -> None: ...


class InMemory:
    def __init__(self) -> None:
        self.store = self.uses = KeyBook()

    def add(self, key: ApiKey) -> None:
        self.store.keys.append(key)

    def stop(self) -> None:
        self.store.down = True


class InAFile:
    def __init__(self, folder: Path) -> None:
        self._path = folder / "keys.json"
        self._clock = OwnedClock()
        self.store = self.uses = KeyFile(self._path, self._clock)

    def add(self, key: ApiKey) -> None:
        KeyFile(self._path, self._clock).add(key)
        self._clock.advance(1)

    def stop(self) -> None:
        self._path.write_text("no JSON")
        self._path.with_name("keys.json.used").write_text("no JSON")
        self._clock.advance(1)


class InDynamoDb:
    def __init__(self) -> None:
        self._table = new_table("keys", "sha256")
        self.uses = DynamoDbKeys(self._table, boto3_client)
        self.store: KeyStore = self.uses

    def add(self, key: ApiKey) -> None:
        DynamoDbKeys(self._table, boto3_client).add(key)

    def stop(self) -> None:
        boto3_client().delete_table(TableName=self._table)


class InDynamoDbCached(InDynamoDb):
    def __init__(self) -> None:
        super().__init__()
        self._clock = OwnedClock()
        self.store = CachedKeys(self.store, self._clock, ttl_s=60)

    def add(self, key: ApiKey) -> None:
        super().add(key)
        self._clock.advance(60)

    def stop(self) -> None:
        super().stop()
        self._clock.advance(60)


@pytest.fixture(params=["memory", "file", "dynamodb", "dynamodb-cached"])
def world(request: pytest.FixtureRequest, tmp_path: Path, tables: None) -> World:
    match request.param:
        case "memory":
            return InMemory()
        case "file":
            return InAFile(tmp_path)
        case "dynamodb":
            return InDynamoDb()
        case _:
            return InDynamoDbCached()


def find(world: World, sha256: str) -> ApiKey | None:
    found: ApiKey | None = drive(world.store.find(sha256))
    return found


def test_a_store_without_keys_finds_none(world: World) -> None:
    assert find(world, "1" * 64) is None


@pytest.mark.parametrize("key", [ONE, EXPIRED, REVOKED], ids=["good", "expired", "revoked"])
def test_a_key_is_found_by_its_hash_as_it_was_kept(world: World, key: ApiKey) -> None:
    world.add(ONE if key is not ONE else EXPIRED)
    world.add(key)
    assert find(world, key.sha256) == key


def test_a_key_that_was_added_later_is_found(world: World) -> None:
    assert find(world, ONE.sha256) is None
    world.add(ONE)
    assert find(world, ONE.sha256) == ONE


def test_another_hash_finds_nothing(world: World) -> None:
    world.add(ONE)
    assert find(world, "0" * 64) is None


def test_a_store_that_is_broken_is_unavailable_and_finds_nobody(world: World) -> None:
    world.add(ONE)
    assert find(world, ONE.sha256) == ONE
    world.stop()
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            find(world, ONE.sha256)


def used(world: World, sha256: str) -> int | None:
    (moment_s,) = [key.last_used_s for key in world.uses.all().keys if key.sha256 == sha256]
    return moment_s


def test_a_key_was_never_used_until_that_is_noted(world: World) -> None:
    world.add(ONE)
    world.add(EXPIRED)
    assert used(world, ONE.sha256) is None
    world.uses.note_uses([(ONE, 7_200)])
    assert (used(world, ONE.sha256), used(world, EXPIRED.sha256)) == (7_200, None)


def test_the_latest_use_counts_whoever_notes_it_last(world: World) -> None:
    world.add(ONE)
    for moment_s in (7_200, 10_800, 3_600, 10_800):
        world.uses.note_uses([(ONE, moment_s)])
    assert used(world, ONE.sha256) == 10_800


def test_a_key_that_was_used_opens_as_before(world: World) -> None:
    world.add(ONE)
    world.uses.note_uses([(ONE, 7_200)])
    found = find(world, ONE.sha256)
    assert found is not None
    assert replace(found, last_used_s=None) == ONE


def test_the_use_of_a_key_that_is_gone_makes_no_key(world: World) -> None:
    world.add(EXPIRED)
    world.uses.note_uses([(ONE, 7_200)])
    assert find(world, ONE.sha256) is None
    assert [key.id for key in world.uses.all().keys] == [EXPIRED.id]


def test_a_use_that_cannot_be_noted_is_said(world: World) -> None:
    world.add(ONE)
    world.stop()
    with pytest.raises(StoreUnavailable):
        world.uses.note_uses([(ONE, 7_200)])


class Operated(Protocol):
    """A store of keys as ``hms-svc keys`` uses it."""

    def get(self, key_id: str) -> ApiKey | None: ...
    def all(self) -> Listing: ...
    def add(self, key: ApiKey) -> None: ...
    def add_successor(self, key: ApiKey, old: ApiKey, now_s: int) -> ApiKey | None: ...
    def revoke(self, key_id: str, now_s: int) -> ApiKey | None: ...
    def expire(self, key: ApiKey, at_s: int) -> ApiKey | None: ...


@pytest.fixture(params=["file", "dynamodb"])
def operated(request: pytest.FixtureRequest, tmp_path: Path, tables: None) -> Operated:
    if request.param == "file":
        return KeyFile(tmp_path / "keys.json", OwnedClock())
    return DynamoDbKeys(new_table("keys", "sha256"), boto3_client)


NEW = ApiKey("key-new", "team", "f" * 64, "batch", created_s=10)


def test_a_key_is_had_by_its_id(operated: Operated) -> None:
    operated.add(ONE)
    operated.add(EXPIRED)
    assert (operated.get(ONE.id), operated.get("key-9")) == (ONE, None)


def test_the_successor_of_an_active_key_is_kept(operated: Operated) -> None:
    operated.add(ONE)
    assert operated.add_successor(NEW, ONE, 899) == ONE
    assert operated.all().keys == [ONE, NEW]


def test_a_key_that_was_revoked_since_it_was_read_gets_no_successor(operated: Operated) -> None:
    operated.add(ONE)
    revoked = operated.revoke(ONE.id, 7)
    assert operated.add_successor(NEW, ONE, 8) == revoked
    assert operated.all().keys == [revoked]


def test_a_key_that_has_ended_since_it_was_read_gets_no_successor(operated: Operated) -> None:
    operated.add(ONE)
    ended = operated.expire(ONE, 8)
    assert operated.add_successor(NEW, ONE, 8) == ended
    assert operated.all().keys == [ended]


def test_a_key_that_is_gone_gets_no_successor(operated: Operated) -> None:
    assert operated.add_successor(NEW, ONE, 8) is None
    assert operated.all().keys == []


def test_a_successor_replaces_no_other_key(operated: Operated) -> None:
    operated.add(ONE)
    operated.add(EXPIRED)
    with pytest.raises(StoreUnavailable):
        operated.add_successor(replace(NEW, sha256=EXPIRED.sha256), ONE, 8)
    assert {key.id for key in operated.all().keys} == {ONE.id, EXPIRED.id}
