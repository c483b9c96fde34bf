"""Calendar windows that several environments share."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress

import pytest
from fakes_limits import MemoryTable
from hypothesis import given
from hypothesis import strategies as st
from worlds import OwnedClock, drive

from hms_svc.core.config import Limit
from hms_svc.core.gcra import SECOND_NS
from hms_svc.core.ports import Decision, StoreUnavailable, Want
from hms_svc.core.shared_limits import SharedLimits
from hms_svc.core.windows import DAY_S, HOUR_S, MONTH_S, end_ns, windowed

S = SECOND_NS
HOURLY = Limit(5, HOUR_S, 5, window="calendar")
FAST = Limit(1_000, 1, 1_000)


class World:
    """Environments that share a table and a clock."""

    def __init__(self, environments: int = 1) -> None:
        self.clock = OwnedClock()
        self.table = MemoryTable()
        self.stores = [self.environment() for _ in range(environments)]

    def environment(self) -> SharedLimits:
        return SharedLimits(self.table, self.clock)

    def take(self, limit: Limit = HOURLY, cost: int = 1, *, who: int = 0) -> Decision:
        decision: Decision = drive(self.stores[who].take(Want("key", limit, cost)))
        return decision

    def take_all(self, *limits: Limit, who: int = 0) -> list[bool]:
        wants = [Want(f"{limit.window} {limit.period_s}", limit, limit.cost) for limit in limits]
        return [it.allowed for it in drive(self.stores[who].take_all(wants))]

    @property
    def calls(self) -> int:
        return len(self.table.changes)


STEPS = st.lists(
    st.tuples(
        st.integers(0, 3),  # which environment
        st.sampled_from([0, 0, 1, S, HOUR_S * S // 3, DAY_S * S // 2, 9 * DAY_S * S]),
        st.sampled_from([1, 1, 2, 7]),  # what the call costs
        st.integers(1, 6),  # how often it comes
        st.sampled_from(["lives"] * 6 + ["dies", "loses answers", "steps back"]),
    ),
    max_size=30,
)


@given(st.integers(1, 12), st.sampled_from([HOUR_S, DAY_S, MONTH_S]), STEPS)
def test_environments_together_never_admit_more_in_a_window_than_its_limit(
    count: int, period_s: int, steps: list[tuple[int, int, int, int, str]]
) -> None:
    world, limit = World(4), Limit(count, period_s, count, window="calendar")
    admitted = Counter[int]()
    for who, later_ns, cost, times, fate in steps:
        world.clock.ns += -later_ns if fate == "steps back" else later_ns
        world.table.answer_lost = lambda fate=fate: fate == "loses answers"  # type: ignore[misc]  # bound at once
        for _ in range(times):
            with suppress(StoreUnavailable):
                if world.take(limit, cost, who=who).allowed:
                    admitted[end_ns(period_s, world.clock.ns)] += cost
        if fate == "dies":
            world.stores[who] = world.environment()
    assert max(admitted.values(), default=0) <= count


@given(STEPS)
def test_a_quota_beside_buckets_loses_nothing_to_their_refusals(steps: list[tuple[int, int, int, int, str]]) -> None:
    world, quota, admitted = World(4), Limit(20, DAY_S, 20, window="calendar"), Counter[int]()
    for who, later_ns, _, times, _ in steps:
        world.clock.ns += later_ns
        for _ in range(times):
            if all(world.take_all(Limit(2, 1, 2), quota, Limit(7, 60, 7), who=who)):
                admitted[end_ns(DAY_S, world.clock.ns)] += 1
    closes_ns = end_ns(DAY_S, world.clock.ns)
    bucket = world.table.buckets.get(windowed(Want(f"calendar {DAY_S}", quota, 0), world.clock.ns).key)
    assert (bucket.tat_ns - closes_ns if bucket else 0) == admitted[closes_ns]


def test_the_whole_limit_is_there_again_when_the_next_window_begins() -> None:
    world = World(2)
    for _ in range(3):
        assert [world.take(who=n % 2).allowed for n in range(6)] == [True] * 5 + [False]
        refused = world.take()
        assert refused.retry_ns == refused.reset_ns == end_ns(HOUR_S, world.clock.ns) - world.clock.ns
        assert refused.retry_ns is not None
        world.clock.ns += refused.retry_ns - 1
        assert not world.take().allowed
        world.clock.ns += 1


def test_one_write_decides_and_a_used_up_window_costs_nothing() -> None:
    world = World()
    for _ in range(5):
        world.take()
    assert world.calls == 5
    for _ in range(100):
        assert not world.take().allowed
    assert world.calls == 5


def test_a_window_that_was_seen_used_up_is_looked_at_again_after_half_a_minute() -> None:
    world = World()
    world.take(cost=5)
    world.table.buckets.clear()  # somebody has reset it
    assert not world.take().allowed
    world.clock.advance(30)
    assert world.take().allowed


def test_a_table_that_did_not_say_is_asked_again_within_the_window() -> None:
    world = World()
    world.table.down = True
    with pytest.raises(StoreUnavailable):
        world.take()
    world.table.down = False
    world.clock.advance(2)
    assert world.take().allowed


def test_nothing_of_a_large_quota_is_leased() -> None:
    world = World()
    for _ in range(50):
        world.take(Limit(900_000_000, HOUR_S, 900_000_000, window="calendar"))
    assert {change.piece_ns for change in world.table.changes} == {1}


@pytest.mark.parametrize("limits", [(FAST, HOURLY), (HOURLY, FAST)])
def test_what_a_bucket_refuses_goes_back_to_the_quota(limits: tuple[Limit, ...]) -> None:
    world = World(2)
    drive(world.stores[1].take(Want("rolling 1", FAST, 1_000)))
    for _ in range(20):
        assert world.take_all(*limits) == [limit is HOURLY for limit in limits]
    world.clock.advance(1)
    assert all(world.take_all(*limits))
    assert world.table.buckets[next(key for key in world.table.buckets if "calendar" in key)].tat_ns % S == 1


def test_what_the_quota_refuses_takes_nothing_of_a_bucket() -> None:
    world, slow = World(), Limit(9, 60, 9)
    drive(world.stores[0].take(Want(f"calendar {HOUR_S}", HOURLY, 5)))
    for _ in range(20):
        assert world.take_all(slow, HOURLY) == [True, False]
    assert "rolling 60" not in world.table.buckets


def test_a_quota_that_was_made_smaller_by_a_reload_keeps_its_count() -> None:
    world = World()
    world.take(cost=4)
    smaller = Limit(3, HOUR_S, 3, window="calendar")
    assert not world.take(smaller).allowed
    world.clock.advance(120)
    assert not world.take(smaller).allowed
    assert world.take(Limit(5, HOUR_S, 5, window="calendar")).remaining == 0
