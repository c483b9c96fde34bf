from __future__ import annotations

import tracemalloc
from dataclasses import dataclass
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st
from worlds import OwnedClock, drive

from hms_svc.core.config import Limit
from hms_svc.core.gcra import SECOND_NS, interval_ns
from hms_svc.core.ports import Want
from hms_svc.core.windows import DAY_S, HOUR_S
from hms_svc.local.limits import MemoryLimits

ONE_AN_HOUR = Limit(1, 3_600, 1)
DAILY = Limit(2, DAY_S, 2, window="calendar")


@dataclass
class TwoClocks:
    """A wall clock that steps, and a monotonic one that began with the machine."""

    wall: int = 1_800_057_600 * SECOND_NS
    """Midnight."""
    monotonic: int = 5 * SECOND_NS

    def wall_ns(self) -> int:
        return self.wall

    def monotonic_ns(self) -> int:
        return self.monotonic

    def advance(self, seconds: float) -> None:
        self.wall += round(seconds * SECOND_NS)
        self.monotonic += round(seconds * SECOND_NS)


def test_a_flood_of_distinct_callers_keeps_no_more_buckets_than_the_bound() -> None:
    """10,000 buckets hold at 218 bytes each, keys of 30 characters and all (benchmarks/limits_memory.py)."""
    store = MemoryLimits(OwnedClock(), max_keys=10_000)
    tracemalloc.start()
    for number in range(10_000):
        drive(store.take(Want(f"13:/public/faq:0:ip:{number:09}", ONE_AN_HOUR, 1)))
    at_the_bound, _ = tracemalloc.get_traced_memory()
    for number in range(10_000, 40_000):
        drive(store.take(Want(f"13:/public/faq:0:ip:{number:09}", ONE_AN_HOUR, 1)))
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(store) == 10_001  # the buckets, and the one that the others share
    assert after - at_the_bound < 50_000
    assert after < 10_000 * 400


def test_new_callers_in_a_flood_share_one_bucket_and_the_known_keep_theirs() -> None:
    clock = OwnedClock()
    store = MemoryLimits(clock, max_keys=2)
    limit = Limit(2, 60, 2)
    for known in ("a", "b"):
        assert drive(store.take(Want(known, limit, 1))).allowed
    assert [drive(store.take(Want(new, limit, 1))).allowed for new in ("c", "d", "e", "f")] == [
        True,
        True,
        False,
        False,
    ]
    assert drive(store.take(Want("a", limit, 1))).allowed
    assert not drive(store.take(Want("a", limit, 1))).allowed


def test_the_shared_bucket_is_one_a_limit() -> None:
    store = MemoryLimits(OwnedClock(), max_keys=1)
    drive(store.take(Want("a", ONE_AN_HOUR, 1)))
    assert drive(store.take(Want("b", ONE_AN_HOUR, 1))).allowed
    assert not drive(store.take(Want("c", ONE_AN_HOUR, 1))).allowed
    assert drive(store.take(Want("c", Limit(2, 3_600, 2), 1))).allowed


def test_buckets_that_are_full_again_make_room() -> None:
    clock = OwnedClock()
    store = MemoryLimits(clock, max_keys=3)
    limit = Limit(1, 60, 2)
    for key in ("a", "b", "c"):
        drive(store.take(Want(key, limit, 1)))
    drive(store.take(Want("b", limit, 1)))
    clock.advance(60)
    assert drive(store.take(Want("d", limit, 1))).remaining == 1
    assert len(store) == 2  # b, in use yet, and d
    assert drive(store.take(Want("b", limit, 0))).remaining == 1


def test_only_looking_and_being_refused_keep_nothing() -> None:
    store = MemoryLimits(OwnedClock())
    drive(store.take(Want("a", ONE_AN_HOUR, 0)))
    drive(store.take(Want("b", ONE_AN_HOUR, 2)))
    assert len(store) == 0


class Looked(NamedTuple):
    """Somebody looks: at a bucket as one of this limit, or for the emptiest."""

    key: str
    limit: Limit
    lists: bool


class Called(NamedTuple):
    """Somebody calls, when so much time has passed on the clocks."""

    wall_s: int
    monotonic_s: int
    wants: list[Want]


KEYS = [f"caller {number}" for number in range(5)]
LIMITS = [
    Limit(5_000, DAY_S, 5_000),
    Limit(10, 1, 10),
    Limit(1, 60, 3),
    Limit(3, 60, 2, shadow=True),
    DAILY,
    Limit(3, DAY_S, 3, window="calendar"),
    Limit(2, HOUR_S, 2, window="calendar"),
]
WANTS = st.builds(Want, st.sampled_from(KEYS), st.sampled_from(LIMITS), st.sampled_from([1, 1, 2, 3, 4_000]))
STEPS = st.lists(
    st.builds(Looked, st.sampled_from(KEYS), st.sampled_from(LIMITS), st.booleans())
    | st.builds(Called, st.integers(-400, 400), st.integers(0, 400), st.lists(WANTS, min_size=1, max_size=3)),
    max_size=60,
)


@given(STEPS, st.integers(1, 4))
def test_whatever_is_looked_at_later_decisions_are_the_same_as_without_looking(
    steps: list[Looked | Called], max_keys: int
) -> None:
    clock = TwoClocks()
    watched, alone = MemoryLimits(clock, max_keys), MemoryLimits(clock, max_keys)
    for step in steps:
        if isinstance(step, Looked):
            drive(watched.take(Want(step.key, step.limit, 0)))
            if step.lists:
                watched.emptiest("caller", step.limit, 9, lambda _: step.limit)  # noqa: B023  (called at once)
        else:
            clock.wall += step.wall_s * SECOND_NS
            clock.monotonic += step.monotonic_s * SECOND_NS
            if len(step.wants) == 1:
                assert drive(watched.take(step.wants[0])) == drive(alone.take(step.wants[0]))
            else:
                assert drive(watched.take_all(step.wants)) == drive(alone.take_all(step.wants))
        assert len(watched) == len(alone)


def test_a_look_by_a_smaller_limit_than_the_buckets_own_refills_nothing() -> None:
    clock = OwnedClock()
    store, slow, fast = MemoryLimits(clock), Limit(5_000, DAY_S, 5_000), Limit(10, 1, 10)
    assert drive(store.take(Want("a", slow, 5_000))).allowed
    assert drive(store.take(Want("a", fast, 0))).remaining == 0
    clock.advance(2)
    assert not drive(store.take(Want("a", slow, 1))).allowed


def test_who_is_refused_by_a_limit_that_was_lowered_starts_from_an_empty_bucket() -> None:
    clock = OwnedClock()
    store, before, other = MemoryLimits(clock), Limit(5_000, DAY_S, 5_000), Want("b", Limit(9, 1, 9), 1)
    now = Want("a", Limit(10, 1, 10), 1)
    for key in ("a", "c"):
        drive(store.take(Want(key, before, 5_000)))
    assert not drive(store.take_all([now, other]))[0].allowed
    assert not drive(store.take(now._replace(key="c"))).allowed
    clock.advance(0.1)
    assert drive(store.take_all([now, other]))[0].allowed
    assert drive(store.take(now._replace(key="c"))).allowed


@given(
    st.lists(st.tuples(st.integers(0, 4_000_000_000), st.integers(0, 6), st.integers(0, 3)), max_size=120),
    st.integers(1, 4),
)
def test_no_caller_is_ever_admitted_more_than_the_limit_says_however_crowded(
    calls: list[tuple[int, int, int]], max_keys: int
) -> None:
    clock = OwnedClock()
    store = MemoryLimits(clock, max_keys)
    limit = Limit(1, 1, 3)
    interval = interval_ns(limit.limit, limit.period_s)
    admitted: dict[int, list[tuple[int, int]]] = {}
    for wait, caller, cost in calls:
        clock.ns += wait
        if drive(store.take(Want(f"caller {caller}", limit, cost))).allowed:
            admitted.setdefault(caller, []).append((clock.ns, cost))
        assert len(store) <= max_keys + 1
    for taken in admitted.values():
        for first, (begin, _) in enumerate(taken):
            spent = 0
            for end, cost in taken[first:]:
                spent += cost
                assert spent * interval <= limit.burst * interval + end - begin


def test_room_is_made_a_few_buckets_at_a_time() -> None:
    clock = OwnedClock()
    store = MemoryLimits(clock, max_keys=20)
    for number in range(20):
        drive(store.take(Want(f"old {number}", Limit(1, 60, 1), 1)))
    clock.advance(60)
    for number, kept in enumerate((13, 6, 3)):
        drive(store.take(Want(f"new {number}", ONE_AN_HOUR, 1)))
        assert len(store) == kept


@given(
    st.lists(st.tuples(st.sampled_from([0, 1, 30, 61]), st.integers(0, 8), st.booleans()), max_size=60),
    st.integers(1, 5),
)
def test_a_bucket_that_was_reset_is_a_full_one_however_crowded(
    steps: list[tuple[int, int, bool]], max_keys: int
) -> None:
    clock = OwnedClock()
    store, limit = MemoryLimits(clock, max_keys), Limit(2, 60, 2)
    for later_s, caller, resets in steps:
        clock.advance(later_s)
        key = f"caller {caller}"
        if resets and store.reset(Want(key, limit, 1)):
            assert drive(store.take(Want(key, limit, 0))).remaining == 2
            assert not store.reset(Want(key, limit, 1))
        drive(store.take(Want(key, limit, 1)))
        assert len(store) <= max_keys + 1


def test_the_emptiest_buckets_of_a_route_are_found_and_full_ones_are_not() -> None:
    clock = OwnedClock()
    store, limit = MemoryLimits(clock), Limit(60, 60, 60)
    for key, taken in (("a:1", 3), ("a:2", 9), ("a:3", 1), ("b:1", 20)):
        drive(store.take(Want(key, limit, taken)))
    assert store.emptiest("a:", limit, 2) == ["a:2", "a:1"]
    clock.advance(2)
    assert store.emptiest("a:", limit, 9) == ["a:2", "a:1"]


def test_the_emptiest_are_told_by_the_limit_of_each_and_those_of_no_limit_are_left_out() -> None:
    store, slow, fast = MemoryLimits(OwnedClock()), Limit(100, DAY_S, 100), Limit(10, 1, 10)
    for key, limit, taken in (("a:slow", slow, 50), ("a:fast", fast, 9), ("a:gone", slow, 100)):
        drive(store.take(Want(key, limit, taken)))
    own = {"a:slow": slow, "a:fast": fast}.get
    assert store.emptiest("a:", fast, 9, own) == ["a:fast", "a:slow"]
    assert store.emptiest("a:", fast, 1, own) == ["a:fast"]


@given(
    st.lists(
        st.tuples(st.integers(-300, 300) | st.integers(0, 3 * DAY_S), st.integers(0, DAY_S), st.integers(1, 40)),
        max_size=20,
    )
)
def test_a_wall_clock_that_steps_neither_forgets_nor_doubles_a_quota(steps: list[tuple[int, int, int]]) -> None:
    clock = TwoClocks()
    store = MemoryLimits(clock, max_keys=50)
    admitted: dict[int, int] = {}
    right_ns = clock.wall - clock.monotonic
    for wrong, later, others in steps:
        clock.advance(later)
        clock.wall = clock.monotonic + right_ns + wrong * SECOND_NS
        today = clock.wall // SECOND_NS // DAY_S
        for _ in range(3):
            admitted[today] = admitted.get(today, 0) + drive(store.take(Want("a", DAILY, 1))).allowed
        for number in range(others):
            drive(store.take(Want(f"other {number}", DAILY, 1)))
    assert all(count <= 2 for count in admitted.values())


def test_windows_that_are_over_make_room() -> None:
    clock = TwoClocks()
    store = MemoryLimits(clock, max_keys=3)
    clock.advance(301)
    for day in range(30):
        for key in ("a", "b", "c"):
            assert drive(store.take(Want(key, DAILY, 1))).remaining == 1
        assert len(store) <= 3, day
        clock.advance(DAY_S)


def test_callers_in_a_flood_share_one_quota_and_the_known_keep_theirs() -> None:
    clock = TwoClocks()
    store = MemoryLimits(clock, max_keys=1)
    assert [drive(store.take(Want(key, DAILY, 1))).remaining for key in ("a", "b", "c", "a")] == [1, 1, 0, 0]
    assert not drive(store.take(Want("d", DAILY, 1))).allowed
    clock.advance(DAY_S)
    assert drive(store.take(Want("d", DAILY, 1))).remaining == 1


def test_a_step_of_the_wall_clock_does_nothing_to_buckets() -> None:
    clock = TwoClocks()
    store = MemoryLimits(clock)
    assert drive(store.take(Want("a", ONE_AN_HOUR, 1))).allowed
    clock.wall += 9 * HOUR_S * SECOND_NS
    assert not drive(store.take(Want("a", ONE_AN_HOUR, 1))).allowed
