from __future__ import annotations

import pytest
from worlds import OwnedClock, drive

from hms_svc.aws.cached_keys import CachedKeys
from hms_svc.core.ports import ApiKey, StoreUnavailable

ONE = ApiKey("key-1", "team", "1" * 64)
REVOKED = ApiKey("key-1", "team", "1" * 64, revoked_s=5)


class Counting:
    """A store that remembers what it was asked."""

    def __init__(self, *keys: ApiKey) -> None:
        self.keys = {key.sha256: key for key in keys}
        self.asked: list[str] = []
        self.down = False

    async def find(self, sha256: str) -> ApiKey | None:
        self.asked.append(sha256)
        if self.down:
            raise StoreUnavailable("the table is down")
        return self.keys.get(sha256)


class TwoClocks:
    """Time of two kinds, which need not agree."""

    def __init__(self) -> None:
        self.wall = self.monotonic = 1_800_000_000_000_000_000

    def wall_ns(self) -> int:
        return self.wall

    def monotonic_ns(self) -> int:
        return self.monotonic


def find(keys: CachedKeys, sha256: str = ONE.sha256) -> ApiKey | None:
    found: ApiKey | None = drive(keys.find(sha256))
    return found


def test_a_key_is_looked_up_once_in_its_time() -> None:
    store, clock = Counting(ONE), OwnedClock()
    keys = CachedKeys(store, clock, ttl_s=60)
    assert [find(keys), find(keys)] == [ONE, ONE]
    clock.advance(59.999)
    assert find(keys) == ONE
    assert len(store.asked) == 1
    clock.advance(0.001)
    assert find(keys) == ONE
    assert len(store.asked) == 2


def test_a_revoked_key_stops_within_that_time() -> None:
    store, clock = Counting(ONE), OwnedClock()
    keys = CachedKeys(store, clock, ttl_s=60)
    find(keys)
    store.keys[ONE.sha256] = REVOKED
    clock.advance(60)
    assert find(keys) == REVOKED


def test_the_time_begins_when_the_store_is_asked_and_not_when_it_answers() -> None:
    clock = OwnedClock()

    class Slow(Counting):
        async def find(self, sha256: str) -> ApiKey | None:
            clock.advance(5)
            return await super().find(sha256)

    store = Slow(ONE)
    keys = CachedKeys(store, clock, ttl_s=10)
    find(keys)
    clock.advance(5)
    find(keys)
    assert len(store.asked) == 2


def test_that_there_is_no_such_key_is_kept_too_and_as_long() -> None:
    store, clock = Counting(), OwnedClock()
    keys = CachedKeys(store, clock, ttl_s=60)
    assert [find(keys), find(keys)] == [None, None]
    assert len(store.asked) == 1
    store.keys[ONE.sha256] = ONE
    clock.advance(60)
    assert [find(keys), find(keys)] == [ONE, ONE]
    assert (len(store.asked), len(keys)) == (2, 1)


def test_while_the_store_is_down_a_known_key_works_for_its_time_and_no_longer() -> None:
    store, clock = Counting(ONE), OwnedClock()
    keys = CachedKeys(store, clock, ttl_s=60)
    find(keys)
    store.down = True
    clock.advance(59)
    assert find(keys) == ONE
    clock.advance(1)
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="the table is down"):
            find(keys)
    assert len(keys) == 0
    store.down = False
    assert find(keys) == ONE


def test_a_flood_of_made_up_keys_is_bounded_and_displaces_no_real_one() -> None:
    store = Counting(ONE)
    keys = CachedKeys(store, OwnedClock(), ttl_s=60, max_entries=3)
    find(keys)
    for made_up in range(100):
        assert find(keys, f"{made_up:064x}") is None
    assert len(keys) == 4
    store.asked.clear()
    assert find(keys) == ONE
    assert find(keys, f"{99:064x}") is None
    assert store.asked == []
    find(keys, f"{0:064x}")
    assert len(store.asked) == 1


def test_the_oldest_of_too_many_keys_goes_first() -> None:
    store = Counting(*[ApiKey(f"key-{number}", "team", f"{number:064x}") for number in range(4)])
    keys = CachedKeys(store, OwnedClock(), ttl_s=60, max_entries=3)
    for number in (0, 1, 2, 3, 1):
        find(keys, f"{number:064x}")
    assert len(store.asked) == 4
    find(keys, f"{0:064x}")
    assert len(store.asked) == 5


@pytest.mark.parametrize("steps", [(60, 0), (0, 60), (-60, 0)], ids=["frozen", "wall still", "wall stepped back"])
def test_the_clock_that_has_moved_most_decides(steps: tuple[int, int]) -> None:
    store, clock = Counting(ONE), TwoClocks()
    keys = CachedKeys(store, clock, ttl_s=60)
    find(keys)
    clock.wall += steps[0] * 1_000_000_000
    clock.monotonic += steps[1] * 1_000_000_000
    find(keys)
    assert len(store.asked) == 2


def test_a_time_of_zero_keeps_nothing() -> None:
    store = Counting(ONE)
    keys = CachedKeys(store, OwnedClock(), ttl_s=0)
    assert [find(keys), find(keys)] == [ONE, ONE]
    assert len(store.asked) == 2
