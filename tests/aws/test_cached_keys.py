from __future__ import annotations

from dataclasses import replace

import pytest
from fakes_credentials import KeyBook
from worlds import OwnedClock, drive

from hms_svc.aws.cached_keys import CachedKeys
from hms_svc.core.ports import ApiKey, StoreUnavailable

KEY = ApiKey("key-1", "team", "1" * 64)


class Desk:
    def __init__(self, **more: int) -> None:
        self.clock = OwnedClock()
        self.book = KeyBook()
        self.looked = 0
        self.cached = CachedKeys(self, self.clock, ttl_s=60, **more)

    async def find(self, sha256: str) -> ApiKey | None:
        self.looked += 1
        return await self.book.find(sha256)

    def ask(self, sha256: str = KEY.sha256) -> ApiKey | None:
        found: ApiKey | None = drive(self.cached.find(sha256))
        return found


def test_a_key_is_looked_up_once_in_its_time() -> None:
    desk = Desk()
    desk.book.keys.append(KEY)
    assert [desk.ask() for _ in range(5)] == [KEY] * 5
    assert desk.looked == 1


def test_an_unknown_key_is_looked_up_once_too() -> None:
    desk = Desk()
    assert [desk.ask() for _ in range(5)] == [None] * 5
    assert desk.looked == 1


def test_a_revoked_key_stops_within_the_time() -> None:
    desk = Desk()
    desk.book.keys.append(KEY)
    desk.ask()
    desk.book.keys[0] = replace(KEY, revoked_s=1)
    desk.clock.advance(60)
    found = desk.ask()
    assert found is not None
    assert found.revoked_s == 1


def test_what_is_older_is_not_used_while_the_store_is_down() -> None:
    desk = Desk()
    desk.book.keys.append(KEY)
    desk.ask()
    desk.book.down = True
    desk.clock.advance(59)
    assert desk.ask() == KEY
    desk.clock.advance(1)
    with pytest.raises(StoreUnavailable):
        desk.ask()


def test_a_flood_of_keys_takes_bounded_room() -> None:
    desk = Desk(max_known=10)
    for number in range(11):
        desk.ask(f"{number:064}")
    desk.ask(f"{0:064}")
    assert desk.looked == 12
