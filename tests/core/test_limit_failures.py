"""What happens to a limit when its table fails or clocks differ: each case injected into the whole limiter."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest
from fakes_limits import MemoryTable, Throttling, excess
from hypothesis import given
from hypothesis import strategies as st
from worlds import OwnedClock, drive, request

from hms_svc.core.config import Forward, Limit, Route
from hms_svc.core.entry import Entry
from hms_svc.core.errors import TooManyCalls, Unavailable
from hms_svc.core.gcra import SECOND_NS, interval_ns
from hms_svc.core.leases import figures
from hms_svc.core.limit import Limiter
from hms_svc.core.model import NOBODY
from hms_svc.core.ports import StoreUnavailable
from hms_svc.core.shared_limits import SharedLimits
from hms_svc.local.limits import MemoryLimits

if TYPE_CHECKING:
    from collections.abc import Callable

    from hms_svc.core.entry import LimitVerdict
    from hms_svc.core.ports import Answer, Change

S = SECOND_NS
SLOW = Limit(30, 60, 30)
FAST = Limit(1_000, 1, 1_000)
INSTEAD = ("local", "allow", "deny")


@dataclass
class Skewed:
    """A clock beside the others': ``by_ns`` ahead, and it may step."""

    true: OwnedClock
    by_ns: int = 0

    def wall_ns(self) -> int:
        return self.true.ns + self.by_ns

    def monotonic_ns(self) -> int:
        return self.true.ns


@dataclass
class Way:
    """The way of one environment to the table: it may be cut, and ``before`` is run on it."""

    table: MemoryTable
    cut: bool = False
    before: Callable[[], None] = lambda: None
    calls: int = 0

    async def change(self, key: str, change: Change, *, now_ns: int, full_ns: int) -> Answer:
        self._pass()
        return await self.table.change(key, change, now_ns=now_ns, full_ns=full_ns)

    def _pass(self) -> None:
        self.calls += 1
        self.before()
        if self.cut:
            raise StoreUnavailable("the table does not answer")


class Environment:
    """One of a router's: a limiter with a clock and a way to the table of its own."""

    def __init__(self, table: MemoryTable, true: OwnedClock, by_ns: int = 0) -> None:
        self.clock = Skewed(true, by_ns)
        self.way = Way(table)
        self.limiter = Limiter(SharedLimits(self.way, self.clock), MemoryLimits(self.clock))
        self.said: list[LimitVerdict] = []

    def call(self, *limits: Limit) -> int:
        """The status a caller gets."""
        route = Route(name="faq", path="/faq", action=Forward(()), auth=(), limits=limits)
        entry = Entry(request(), "id", 0, 0)
        self.said = entry.limits
        try:
            drive(self.limiter.take(route, NOBODY, "192.0.2.7", entry))
        except TooManyCalls:
            return 429
        except Unavailable:
            return 503
        return 200


class World:
    """Environments that share a table."""

    def __init__(self, *skews_ns: int) -> None:
        self.true = OwnedClock()
        self.table = MemoryTable()
        self.environments = [Environment(self.table, self.true, by_ns) for by_ns in skews_ns]

    def cut(self, *, off: bool = True) -> None:
        for one in self.environments:
            one.way.cut = off


# The table does not answer: it is down, it throttles, it is not there, it is too slow. The core sees one error for all.


def test_local_counts_here_by_a_bucket_of_the_same_size() -> None:
    world = World(0)
    world.cut()
    (here,) = world.environments
    assert [here.call(replace(SLOW, burst=3)) for _ in range(5)] == [200, 200, 200, 429, 429]
    (verdict,) = here.said
    assert (verdict.allowed, verdict.on_error) == (False, "local")
    assert verdict.error == "the limit store is unavailable: the table did not say a moment ago"


def test_allow_lets_every_call_pass() -> None:
    world = World(0)
    world.cut()
    (here,) = world.environments
    assert {here.call(Limit(1, 60, 1, on_error="allow")) for _ in range(50)} == {200}
    (verdict,) = here.said
    assert (verdict.allowed, verdict.on_error, bool(verdict.error)) == (True, "allow", True)


def test_deny_closes_the_door_and_the_record_has_the_limit_that_did() -> None:
    world = World(0)
    world.cut()
    (here,) = world.environments
    assert here.call(Limit(1, 60, 1, on_error="deny")) == 503
    (verdict,) = here.said
    assert (verdict.allowed, verdict.on_error) == (False, "deny")
    assert verdict.error == "the limit store is unavailable: the table does not answer"


def test_of_several_limits_each_does_what_it_says_and_who_denies_wins() -> None:
    world = World(0)
    world.cut()
    (here,) = world.environments
    one = Limit(1, 60, 1)
    limits = (replace(one, on_error="allow"), one, replace(one, on_error="deny", shadow=True))
    assert [here.call(*limits), here.call(*limits)] == [200, 429]
    assert [(it.on_error, it.allowed) for it in here.said] == [("allow", True), ("local", False), ("deny", False)]
    assert here.call(*limits, replace(one, on_error="deny")) == 503


def test_a_call_that_one_limit_denies_takes_nothing_of_the_buckets_here() -> None:
    world = World(0)
    world.cut()
    (here,) = world.environments
    local, denies = Limit(1, 60, 1), Limit(1, 60, 1, on_error="deny")
    assert [here.call(local, denies) for _ in range(3)] == [503] * 3
    assert here.call(local) == 200


@pytest.mark.parametrize("on_error", INSTEAD)
def test_what_is_held_is_spent_first_without_a_word_of_error(on_error: str) -> None:
    world, limit = World(0), replace(FAST, on_error=on_error)
    (here,) = world.environments
    for _ in range(300):
        here.call(limit)
    world.cut()
    held = 0
    while here.call(limit) == 200 and not here.said[0].error:
        held += 1
    assert 0 < held <= figures(limit).max_lease
    assert here.said[0].on_error == on_error


@pytest.mark.parametrize("on_error", INSTEAD)
def test_three_seconds_after_the_table_is_back_it_decides_again(on_error: str) -> None:
    world, limit = World(0), replace(SLOW, on_error=on_error)
    (here,) = world.environments
    world.cut()
    for _ in range(1_000):
        here.call(limit)
        world.true.advance(0.01)
    assert here.way.calls <= 12
    world.cut(off=False)
    world.true.advance(3)
    assert (here.call(limit), here.said[0].error, here.said[0].on_error) == (200, "", "")


def named_so(key: str, _: Change) -> bool:
    return "throttled" in key


def test_a_bucket_that_is_throttled_is_decided_here_and_the_others_by_the_table() -> None:
    sound = Limit(20, 3_600, 20)
    for throttled in (Limit(100, 60, 100, name="throttled"), Limit(1, 60, 1, name="throttled", shadow=True)):
        true, table = OwnedClock(), Throttling(named_so)
        environments = [Environment(table, true) for _ in range(5)]
        assert environments[0].call(sound, throttled) == 200
        assert [(it.on_error, bool(it.error)) for it in environments[0].said] == [("", False), ("local", True)]
        assert [one.call(sound, throttled) for one in environments for _ in range(30)].count(200) == 19


def test_a_call_that_the_table_refuses_takes_nothing_of_the_buckets_here() -> None:
    here = Environment(Throttling(named_so), OwnedClock())
    sound, throttled = Limit(1, 3_600, 1), Limit(5, 3_600, 5, name="throttled")
    assert [here.call(sound, throttled) for _ in range(4)] == [200, 429, 429, 429]
    assert here.said[1].remaining == 4


# What all environments admit together then


def test_five_environments_that_are_cut_off_admit_five_times_the_limit_and_what_they_held() -> None:
    world, limit = World(0, 0, 0, 0, 0), FAST
    for _ in range(100):  # 1 s in which each takes leases
        for one in world.environments:
            one.call(limit)
            one.call(limit)
        world.true.advance(0.01)
    world.cut()
    here, held = 0, 0
    for _ in range(200):  # 2 s
        for one in world.environments:
            while one.call(limit) == 200:
                here += bool(one.said[0].error)
                held += not one.said[0].error
        world.true.advance(0.01)
    assert held <= min(limit.burst, 5 * figures(limit).max_lease)
    assert 5 * (1_000 + 1_980) <= here <= 5 * (1_000 + 2_000)


CUTS = st.lists(
    st.tuples(
        st.integers(0, 4),  # which environment
        st.booleans(),  # whether it reaches the table
        st.sampled_from([0, 0, 10**6, 10**8, 10**9]) | st.integers(0, 3 * 10**9),
        st.integers(1, 40),  # how many calls come then
    ),
    max_size=40,
)


@given(st.sampled_from([SLOW, FAST, Limit(50, 1, 16), Limit(7, 3, 40)]), CUTS)
def test_through_outages_that_come_and_go_the_table_keeps_its_limit_and_each_environment_its_own(
    limit: Limit, steps: list[tuple[int, bool, int, int]]
) -> None:
    world = World(0, 0, 0, 0, 0)
    shared: list[tuple[int, int]] = []
    local: list[list[tuple[int, int]]] = [[] for _ in world.environments]
    for who, reaches, later_ns, times in steps:
        world.true.ns += later_ns
        one = world.environments[who]
        one.way.cut = not reaches
        for _ in range(times):
            if one.call(limit) == 200:
                (local[who] if one.said[0].error else shared).append((world.true.ns, 1))
    assert [excess(calls, limit) for calls in (shared, *local)] == [0] * 6
    everything = [*shared, *(call for calls in local for call in calls)]
    assert excess(everything, replace(limit, limit=6 * limit.limit, burst=6 * limit.burst)) == 0


# The table is slow


@pytest.mark.parametrize("on_error", INSTEAD)
def test_a_table_that_is_slow_but_answers_decides(on_error: str) -> None:
    world, limit = World(0), replace(SLOW, burst=2, on_error=on_error)
    (here,) = world.environments
    here.way.before = lambda: world.true.advance(0.49)
    assert [here.call(limit) for _ in range(3)] == [200, 200, 429]
    assert here.said[0].error == ""


def test_no_more_time_passes_in_a_decision_than_its_budget_and_one_call() -> None:
    world = World(0, 0)
    here, other = world.environments

    def slow() -> None:
        world.true.advance(0.7)
        other.call(SLOW)

    here.way.before = slow
    began_ns = world.true.ns
    here.call(SLOW)
    assert world.true.ns - began_ns < 1.5 * S


@given(
    st.sampled_from([SLOW, FAST, Limit(50, 1, 16)]),
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, S), st.integers(1, 60), st.integers(0, 7)), max_size=25),
)
def test_answers_that_are_late_admit_no_more_than_if_the_clock_were_late(
    limit: Limit, steps: list[tuple[int, int, int, int]]
) -> None:
    world = World(0, 0, 0)
    admitted: list[tuple[int, int]] = []
    late_ns = 7 * S // 10

    def call(one: Environment) -> None:
        if one.call(limit) == 200 and not one.said[0].error:
            admitted.append((world.true.ns, 1))

    for who, later_ns, times, tenths in steps:
        world.true.ns += later_ns
        slow, quick = world.environments[who], world.environments[(who + 1) % 3]

        def before(quick: Environment = quick, tenths: int = tenths) -> None:
            world.true.ns += tenths * S // 10
            for _ in range(3):
                call(quick)

        slow.way.before = before
        for _ in range(times):
            began_ns = world.true.ns
            call(slow)
            late_ns = max(late_ns, world.true.ns - began_ns)
        slow.way.before = lambda: None
    assert excess(admitted, enlarged(limit, late_ns)) == 0


# Clocks


def enlarged(limit: Limit, by_ns: int) -> Limit:
    """The limit with the tokens more that come back in ``by_ns``."""
    return replace(limit, burst=limit.burst + -(-by_ns // interval_ns(limit.limit, limit.period_s)))


@pytest.mark.parametrize("limit", [SLOW, FAST, Limit(50, 1, 100)])
@pytest.mark.parametrize("skews_ns", [(0, 2 * S), (2 * S, 0), (-S, S, 0)])
def test_clocks_two_seconds_apart_give_two_seconds_of_refill_once(limit: Limit, skews_ns: tuple[int, ...]) -> None:
    world = World(*skews_ns)
    admitted: list[tuple[int, int]] = []
    for _ in range(40):  # 10 s
        for one in world.environments:
            passed = sum(one.call(limit) == 200 for _ in range(limit.burst // 3))
            admitted.append((world.true.ns, passed))
        world.true.advance(0.25)
    assert excess(admitted, enlarged(limit, 2 * S)) == 0
    assert (excess(admitted, limit) > 0) == (skews_ns[0] < max(skews_ns))  # who is behind must come first for it


@given(
    st.sampled_from([SLOW, FAST, Limit(50, 1, 16), Limit(7, 3, 40), Limit(997, 60, 40)]),
    st.lists(st.integers(-S, S), min_size=2, max_size=5),
    st.lists(
        st.tuples(
            st.integers(0, 4),  # which environment
            st.sampled_from([0, 0, 0, 10**6, 10**8, 10**9, 10**11]) | st.integers(0, 3 * 10**9),
            st.integers(1, 40),  # how often a call comes
            st.sampled_from([None] * 5 + [-S, -S // 2, 0, S]),  # where its clock steps to
        ),
        max_size=40,
    ),
)
def test_environments_whose_clocks_differ_and_step_admit_what_refills_in_the_difference_more(
    limit: Limit, skews_ns: list[int], steps: list[tuple[int, int, int, int | None]]
) -> None:
    world = World(*skews_ns)
    admitted: list[tuple[int, int]] = []
    seen = set(skews_ns)
    for who, later_ns, times, step_ns in steps:
        world.true.ns += later_ns
        one = world.environments[who % len(skews_ns)]
        if step_ns is not None:
            one.clock.by_ns = step_ns
            seen.add(step_ns)
        for _ in range(times):
            if one.call(limit) == 200 and not one.said[0].error:
                admitted.append((world.true.ns, 1))
            world.true.ns += later_ns // 100
    assert excess(admitted, enlarged(limit, max(seen) - min(seen))) == 0


@pytest.mark.parametrize("limit", [SLOW, FAST])
def test_a_clock_that_steps_back_gives_nothing_away_and_locks_nobody_out_for_longer_than_the_step(limit: Limit) -> None:
    world = World(0)
    (here,) = world.environments
    while here.call(limit) == 200:
        pass
    here.clock.by_ns = -2 * S
    assert here.call(limit) == 429
    assert here.said[0].error == ""
    world.true.advance(2 + 2)  # the step, and at most what a token takes to come back
    assert here.call(limit) == 200


@pytest.mark.parametrize("on_error", INSTEAD)
def test_buckets_here_go_by_a_clock_that_does_not_step(on_error: str) -> None:
    world, limit = World(0), replace(SLOW, burst=1, on_error=on_error)
    (here,) = world.environments
    world.cut()
    first = here.call(limit)
    for by_ns in (3_600 * S, -3_600 * S):
        here.clock.by_ns = by_ns
        assert here.call(limit) == {"local": 429, "allow": 200, "deny": 503}[on_error]
    assert first == {"local": 200, "allow": 200, "deny": 503}[on_error]


@pytest.mark.parametrize("apart_s", [59, 61, 600])
def test_clocks_that_are_minutes_apart_give_each_other_no_room_without_end(apart_s: int) -> None:
    world, limit = World(0, -apart_s * S), Limit(60, 60, 60)
    admitted = 0
    for _ in range(60):
        for one in world.environments:
            for _ in range(70):
                admitted += one.call(limit) == 200
        world.true.advance(1)
    assert admitted <= 60 + 60 + apart_s
