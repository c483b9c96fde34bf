from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from fakes_limits import MemoryTable, Throttling, excess
from hypothesis import given
from hypothesis import strategies as st
from worlds import OwnedClock, drive

from hms_svc.core.config import Limit
from hms_svc.core.gcra import SECOND_NS, decide
from hms_svc.core.leases import figures
from hms_svc.core.ports import Answer, Bucket, Change, Decision, StoreUnavailable, Want
from hms_svc.core.shared_limits import MAX_CALLS, SharedLimits

if TYPE_CHECKING:
    from collections.abc import Sequence

S = SECOND_NS
EXACT = Limit(30, 60, 30)
FAST = Limit(1_000, 1, 1_000)


class World:
    """Environments that share a table and a clock."""

    def __init__(self, environments: int = 1) -> None:
        self.clock = OwnedClock()
        self.table = MemoryTable()
        self.stores = [self.environment() for _ in range(environments)]

    def environment(self) -> SharedLimits:
        return SharedLimits(self.table, self.clock)

    def take(self, limit: Limit = EXACT, cost: int = 1, *, who: int = 0, key: str = "key") -> Decision:
        decision: Decision = drive(self.stores[who].take(Want(key, limit, cost)))
        return decision

    def left(self, limit: Limit, key: str) -> int:
        """Tokens, as the table has them."""
        bucket = self.table.buckets.get(key)
        return decide(bucket.tat_ns if bucket else 0, self.clock.ns, limit, 0)[0].remaining

    def take_all(self, *wants: tuple[str, Limit], who: int = 0) -> list[Decision]:
        decisions: list[Decision] = drive(
            self.stores[who].take_all([Want(key, limit, limit.cost) for key, limit in wants])
        )
        return decisions

    def befalls(self, fate: str) -> None:
        """What becomes of calls to the table from now on."""
        self.table.answer_lost = lambda: fate == "loses answers"
        self.table.sent_again = lambda _: fate == "sends again" and len(self.table.changes) % 2 == 0

    @property
    def calls(self) -> int:
        return len(self.table.changes)


# Never more than the limit

LIMITS = st.builds(
    Limit, st.sampled_from([1, 7, 30, 100, 997]), st.sampled_from([1, 3, 60]), st.sampled_from([1, 5, 16, 40, 1_000])
)
STEPS = st.lists(
    st.tuples(
        st.integers(0, 3),  # which environment
        st.sampled_from([0, 0, 0, 1, 10**6, 10**7, 10**8, 10**9, 3 * 10**9, 10**11]) | st.integers(0, 2 * 10**9),
        st.sampled_from([1, 1, 1, 2, 7]),  # what the call costs
        st.integers(1, 40),  # how often it comes
        st.sampled_from(["lives"] * 8 + ["dies", "loses answers", "sends again"]),
    ),
    max_size=25,
)


@given(LIMITS, STEPS)
def test_environments_together_never_admit_more_than_the_limit(
    limit: Limit, steps: list[tuple[int, int, int, int, str]]
) -> None:
    world, admitted = World(4), list[tuple[int, int]]()
    for who, later_ns, cost, times, fate in steps:
        world.clock.ns += later_ns
        world.befalls(fate)
        for _ in range(times):
            with suppress(StoreUnavailable):
                if world.take(limit, cost, who=who).allowed:
                    admitted.append((world.clock.ns, cost))
            world.clock.ns += later_ns // 100
        if fate == "dies":
            world.stores[who] = world.environment()
    assert excess(admitted, limit) == 0


def test_the_exact_bucket_sees_one_call_too_many() -> None:
    calls = [(S, 1)] * 30
    assert excess(calls, EXACT) == 0
    assert excess([*calls, (3 * S - 1, 1)], EXACT) > 0
    assert excess([*calls, (3 * S, 1)], EXACT) == 0


@pytest.mark.parametrize(
    ("limits", "an_hour"),
    [((Limit(20, 1, 40), Limit(50, 60, 60), Limit(7, 3, 9)), 90), ((Limit(2, 1, 2), Limit(9, 36_000, 9)), 20)],
    ids=["fast", "slow"],
)
@given(STEPS)
def test_several_limits_at_once_are_each_kept(
    limits: tuple[Limit, ...], an_hour: int, steps: list[tuple[int, int, int, int, str]]
) -> None:
    world, admitted = World(4), list[tuple[int, int]]()
    hour = Limit(an_hour, 3_600, an_hour, window="calendar")
    wants = [*((str(index), limit) for index, limit in enumerate(limits)), ("hour", hour)]
    for who, later_ns, _, times, fate in steps:
        world.befalls(fate)
        for _ in range(times):
            said = world.take_all(*wants, who=who)
            if all(it.allowed for it in said):
                admitted.append((world.clock.ns, 1))
            world.clock.ns += later_ns // 10
        if fate == "dies":
            world.stores[who] = world.environment()
    for limit in limits:
        assert excess(admitted, limit) == 0
    assert all(count <= an_hour for count in Counter(at_ns // (3_600 * S) for at_ns, _ in admitted).values())


@given(
    st.lists(st.tuples(st.integers(0, 70 * S), st.integers(0, 8)), max_size=30),
    st.builds(Limit, st.integers(1, 9), st.sampled_from([1, 7, 60]), st.integers(1, 40)),
)
def test_a_slow_limit_is_kept_token_by_token(steps: list[tuple[int, int]], limit: Limit) -> None:
    world, kept = World(), 0
    for later_ns, cost in steps:
        world.clock.ns += later_ns
        if cost <= limit.burst:
            expected, kept = decide(kept, world.clock.ns, limit, cost)
            assert world.take(limit, cost) == expected


@given(
    st.sampled_from([EXACT, FAST, Limit(100, 1, 100), Limit(50, 1, 16)]),
    st.lists(st.tuples(st.integers(0, S // 100), st.integers(1, 3)), min_size=40, max_size=200),
)
def test_who_comes_back_when_told_to_is_admitted(limit: Limit, steps: list[tuple[int, int]]) -> None:
    world = World()
    for later_ns, cost in steps * 8:
        world.clock.ns += later_ns
        decision = world.take(limit, cost)
        if not decision.allowed:
            assert decision.retry_ns is not None
            world.clock.ns += decision.retry_ns
            assert world.take(limit, cost).allowed
            return


# What it costs


def test_one_write_decides_whether_a_bucket_is_new_in_use_or_full_again() -> None:
    world = World()
    for later in (0, 0.5, 1_000):
        world.clock.advance(later)
        assert world.take().allowed
    assert world.calls == 3


def test_an_empty_bucket_costs_nothing_until_it_could_have_a_token() -> None:
    world = World()
    world.take(cost=30)
    assert [world.take().allowed for _ in range(1_000)] == [False] * 1_000
    assert world.calls == 1
    world.clock.advance(2)
    assert world.take().allowed
    assert world.calls == 2


def test_a_bucket_that_was_seen_empty_is_looked_at_again_after_half_a_minute() -> None:
    world = World()
    world.take(Limit(1, 3_600, 10), 10)
    world.table.buckets.clear()  # somebody has reset it
    world.clock.advance(29)
    assert not world.take(Limit(1, 3_600, 10)).allowed
    world.clock.advance(1)
    assert world.take(Limit(1, 3_600, 10)).allowed


def test_a_busy_environment_takes_many_tokens_in_one_write() -> None:
    world = World()
    for _ in range(10_000):
        assert world.take(Limit(100_000, 1, 100_000)).allowed
        world.clock.advance(0.000_1)
    assert world.calls < 30


def test_a_lease_grows_with_what_is_asked_and_is_an_eighth_of_the_burst_at_most() -> None:
    world = World()
    for _ in range(1_000):
        world.take(FAST)
    sizes = [change.piece_ns // 1_000_000 for change in world.table.changes]
    assert sizes[:8] == [1, 2, 4, 8, 16, 32, 64, 125]
    assert max(sizes) == 125


def test_an_environment_that_asks_seldom_takes_a_token_at_a_time() -> None:
    world = World()
    for _ in range(50):
        assert world.take(FAST).allowed
        world.clock.advance(1)
    assert {change.piece_ns for change in world.table.changes} == {1_000_000}


def test_competing_environments_share_a_bucket_at_few_writes() -> None:
    world, admitted = World(8), 0
    for _ in range(5_000):  # 10 s
        for who in range(8):
            admitted += world.take(FAST, who=who).allowed
        world.clock.advance(0.002)
    assert 10_800 <= admitted <= 11_000
    assert world.calls <= 0.05 * admitted


# What is held


def test_a_call_that_costs_much_holds_up_no_cheap_one() -> None:
    world, deep = World(), Limit(10, 1, 100_000)
    assert world.take(deep, 90_000).allowed
    assert all(world.take(deep).allowed for _ in range(9_000))


def test_token_by_token_nobody_waits_longer_than_for_a_token() -> None:
    world = World(2)
    for _ in range(30):
        world.take(who=1)
    world.clock.advance(1.9)
    assert world.take().retry_ns == S // 10
    world.clock.advance(0.1)
    assert world.take().allowed


def test_what_is_not_spent_of_a_lease_lapses_and_the_bucket_is_full_again() -> None:
    world = World(2)
    for _ in range(300):
        world.take(FAST)
    world.clock.advance(1)
    assert sum(world.take(FAST, who=1).allowed for _ in range(2_000)) == 1_000


def test_what_has_lapsed_of_a_lease_is_not_spent_beside_a_bucket_that_is_full_again() -> None:
    world = World(2)
    for _ in range(300):
        world.take(FAST)
    world.clock.advance(2)
    assert sum(world.take(FAST, who=1).allowed for _ in range(2_000)) == 1_000
    assert sum(world.take(FAST).allowed for _ in range(2_000)) == 0


def test_a_lease_of_a_slow_spender_lasts_until_it_is_spent() -> None:
    world = World()
    for _ in range(200):
        world.take(FAST)
        world.clock.advance(0.01)
    before = world.calls
    for _ in range(100):
        assert world.take(FAST).allowed
        world.clock.advance(0.01)
    assert world.calls - before <= 4


def test_a_clock_that_steps_back_makes_an_environment_forget_what_it_holds() -> None:
    class Stepping(OwnedClock):
        back_ns = 0

        def wall_ns(self) -> int:
            return self.ns - self.back_ns

    world = World()
    clock = Stepping()
    store = SharedLimits(world.table, clock)
    for _ in range(20):
        drive(store.take(Want("key", FAST, 1)))
    before = len(world.table.changes)
    drive(store.take(Want("key", FAST, 1)))
    assert len(world.table.changes) == before
    clock.back_ns = S
    drive(store.take(Want("key", FAST, 1)))
    assert len(world.table.changes) > before


def test_a_limit_that_was_changed_by_a_reload_holds_nothing_of_the_old_one() -> None:
    world = World()
    for _ in range(50):
        world.take(FAST)
    before = world.calls
    world.take(FAST)
    assert world.calls == before
    world.take(Limit(2_000, 1, 2_000))
    assert world.calls > before


def test_no_more_buckets_are_remembered_than_the_bound_and_the_busy_stay() -> None:
    world = World()
    store = SharedLimits(world.table, world.clock, max_known=3)
    drive(store.take(Want("busy", EXACT, 30)))
    for number in range(10):
        drive(store.take(Want(f"other-{number}", EXACT, 1)))
        calls = world.calls
        assert not drive(store.take(Want("busy", EXACT, 1))).allowed
        assert world.calls == calls


@pytest.mark.parametrize(
    ("limit", "leased"),
    [(EXACT, 1), (Limit(9, 1, 1_000), 1), (Limit(10, 1, 15), 1), (Limit(10, 1, 16), 2), (FAST, 125)],
)
def test_only_fast_limits_of_some_depth_are_leased(limit: Limit, leased: int) -> None:
    assert figures(limit).max_lease == leased


# Several limits

SHORT, LONG = Limit(5, 1, 5), Limit(20, 3_600, 20)


def said(decisions: Sequence[Decision]) -> list[bool]:
    return [it.allowed for it in decisions]


def test_a_call_takes_of_all_its_limits() -> None:
    world = World()
    assert said(world.take_all(("short", SHORT), ("long", LONG))) == [True, True]
    assert world.left(SHORT, "short") == 4
    assert world.left(LONG, "long") == 19


@pytest.mark.parametrize("order", [("short", "long"), ("long", "short")])
def test_a_call_that_one_limit_refuses_takes_nothing_of_the_others(order: tuple[str, str]) -> None:
    world, limits = World(2), {"short": SHORT, "long": LONG}
    world.take(LONG, 20, key="long", who=1)
    world.take(SHORT, 4, key="short", who=1)
    for _ in range(5):
        assert said(world.take_all(*((key, limits[key]) for key in order))) == [key == "short" for key in order]
        assert world.left(SHORT, "short") == 1


def test_a_token_of_a_full_bucket_goes_back_unless_somebody_took_one_since() -> None:
    one, two = Limit(1, 3_600, 3), Limit(1, 3_600, 2, cost=2)
    world = World(2)
    world.take(two, 2, key="two", who=1)
    for _ in range(5):
        assert said(world.take_all(("one", one), ("two", two))) == [True, False]
        assert world.left(one, "one") == 3

    class Overtaken(MemoryTable):
        """Somebody takes a token of each bucket as soon as it has been taken of."""

        async def change(self, key: str, change: Change, *, now_ns: int, full_ns: int) -> Answer:
            answer = await super().change(key, change, now_ns=now_ns, full_ns=full_ns)
            if answer.made and answer.bucket:
                self.buckets[key] = answer.bucket._replace(tat_ns=answer.bucket.tat_ns + 3_600 * S)
            return answer

    world.table = Overtaken(world.table.buckets)
    world.stores = [world.environment(), world.environment()]
    world.take_all(("one", one), ("two", two))
    assert world.left(one, "one") == 1


def test_what_was_given_back_can_be_taken_again() -> None:
    world = World()
    fast, slow = Limit(1, 60, 1), Limit(2, 3_600, 2)
    assert said(world.take_all(("fast", fast), ("slow", slow))) == [True, True]
    world.clock.advance(31)  # what is known of an empty bucket is half a minute old, so it is asked again
    assert [said(world.take_all(("fast", fast), ("slow", slow))) for _ in range(2)] == [[False, True]] * 2


def test_nobody_makes_way_for_others_who_are_not_there() -> None:
    world, limit = World(), Limit(1, 60, 1)
    world.take(limit)
    world.clock.advance(59)
    assert world.take(limit).retry_ns == S
    world.clock.advance(1)
    assert world.take(limit).allowed


def test_only_what_gives_back_is_never_sent_twice() -> None:
    world = World(2)
    month = Limit(20, 30 * 86_400, 20, window="calendar")
    world.take(SHORT, SHORT.burst, key="short", who=1)
    for limit in (LONG, month):
        world.table.changes.clear()
        world.stores[0] = world.environment()
        world.take_all(("short", SHORT), (str(limit.window), limit))
        assert [change.is_once for change in world.table.changes] == [False, False, True]


def test_what_is_given_back_is_given_back_once_though_answers_do_not_come() -> None:
    world, day = World(2), Limit(20, 86_400, 20, window="calendar")
    world.take(SHORT, SHORT.burst, key="short", who=1)
    world.table.sent_again = lambda change: change.tat_ns < 0
    admitted = 0
    for _ in range(100):
        assert not world.take_all(("short", SHORT), ("day", day))[0].allowed
        world.stores[0] = world.environment()
        admitted += world.take(day, key="day").allowed
    assert admitted == 20


def short(key: str, _: Change) -> bool:
    return key == "short"


def test_a_bucket_that_cannot_be_decided_leaves_the_others_decided() -> None:
    world = World()
    world.table = Throttling(short)
    world.stores = [world.environment() for _ in range(5)]
    decisions = [world.take_all(("short", SHORT), ("long", LONG), who=who) for who in range(5) for _ in range(10)]
    assert [long.allowed for _, long in decisions] == [True] * 20 + [False] * 30
    assert not any(long.fault for _, long in decisions)
    faults = ["throttled", *["the table did not say a moment ago"] * 9]
    assert [short.fault for short, _ in decisions[:20]] == faults * 2


def test_a_limit_that_denies_when_it_cannot_be_decided_takes_nothing_of_the_others() -> None:
    world, denies = World(), replace(SHORT, on_error="deny")
    world.table = Throttling(short)
    world.stores = [world.environment()]
    for _ in range(3):
        assert world.take_all(("short", denies), ("long", LONG))[0].fault
        assert world.left(LONG, "long") == 20
        world.clock.advance(1)


def test_a_refusal_stands_when_what_was_taken_of_others_cannot_be_given_back() -> None:
    world = World(2)
    world.take(SHORT, SHORT.burst, key="short", who=1)
    table = Throttling(lambda _, change: change.is_once)
    table.buckets = world.table.buckets
    world.table = table
    world.stores = [world.environment()]
    assert said(world.take_all(("short", SHORT), ("long", LONG))) == [False, True]


def test_a_limit_that_this_environment_never_asked_is_looked_at_before_it_says_when_to_come_back() -> None:
    world = World(2)
    world.take(SHORT, SHORT.burst, key="short", who=1)
    world.take(LONG, 20, key="long", who=1)
    world.take(SHORT, key="short")
    short, long = world.take_all(("short", SHORT), ("long", LONG))
    assert (short.allowed, long.allowed) == (False, False)
    assert long.retry_ns == figures(LONG).interval_ns
    calls = world.calls
    world.take_all(("short", SHORT), ("long", LONG))
    assert world.calls == calls


def test_a_bucket_that_cannot_be_looked_at_is_left_alone_for_a_while() -> None:
    world = World(2)
    world.take(LONG, 20, key="long", who=1)
    world.table = Throttling(short)
    world.table.buckets["long"] = Bucket(world.clock.ns + LONG.burst * figures(LONG).interval_ns, 0)
    world.stores = [world.environment()]
    for _ in range(1_000):
        assert not world.take_all(("short", SHORT), ("long", LONG))[1].allowed
        world.clock.advance(0.000_1)
    assert world.table.refused <= 3


def test_a_leased_bucket_that_was_put_back_serves_at_once() -> None:
    world, limit = World(), Limit(100, 1, 100)
    world.table.buckets["key"] = Bucket(world.clock.ns + 3_600 * S, world.clock.ns // S - 200)
    assert world.take(limit).allowed


def test_what_a_call_would_be_told_takes_nothing() -> None:
    world = World(2)
    world.take(LONG, 20, key="long", who=1)
    told = [drive(world.stores[0].look(Want("long", LONG, cost))) for cost in (1, 1, 21)]
    assert [(it.allowed, it.retry_ns is None) for it in told] == [(False, False), (False, False), (False, True)]
    assert drive(world.stores[0].look(Want("short", SHORT, SHORT.burst))).allowed
    assert world.left(SHORT, "short") == SHORT.burst


def test_plans_that_share_a_quota_each_know_when_it_is_used_up() -> None:
    world = World()
    base, gold = (Limit(2, 86_400, 2, window="calendar", plan=plan) for plan in ("", "gold"))
    for limit in (base, gold, base, gold):
        world.take(limit)
    calls = world.calls
    for _ in range(100):
        assert not world.take(base).allowed
        assert not world.take(gold).allowed
    assert world.calls == calls


def test_several_slow_answers_take_no_more_time_than_one_decision_may() -> None:
    class Slow(MemoryTable):
        async def change(self, key: str, change: Change, *, now_ns: int, full_ns: int) -> Answer:
            world.clock.advance(0.75 if change.is_once else 1.55)
            return await super().change(key, change, now_ns=now_ns, full_ns=full_ns)

    world = World()
    world.table = Slow()
    world.stores = [world.environment()]
    for limits in ([LONG] * 8, [LONG] * 7 + [replace(LONG, on_error="deny")]):
        began_ns = world.clock.ns
        world.take_all(*((f"{number}", limit) for number, limit in enumerate(limits)))
        assert world.clock.ns - began_ns <= 2.05 * S
        world.clock.advance(60)


def test_what_one_limit_has_refused_is_refused_without_a_call() -> None:
    world = World()
    world.take(LONG, 20, key="long")
    world.take_all(("short", SHORT), ("long", LONG))
    calls = world.calls
    for _ in range(100):
        assert said(world.take_all(("short", SHORT), ("long", LONG))) == [True, False]
    assert world.calls == calls


def test_a_limit_in_shadow_stops_nothing() -> None:
    world, shadow = World(), Limit(1, 3_600, 1, shadow=True)
    assert said(world.take_all(("shadow", shadow), ("long", LONG))) == [True, True]
    assert said(world.take_all(("shadow", shadow), ("long", LONG))) == [False, True]
    assert world.left(LONG, "long") == 18


# When the table does not say


def test_a_bucket_whose_table_did_not_say_is_left_alone_for_ever_longer() -> None:
    world = World()
    world.table.down = True
    for _ in range(1_000):  # 10 s
        with pytest.raises(StoreUnavailable):
            world.take()
        world.clock.advance(0.01)
    assert len(world.table.changes) <= 12
    world.table.down = False
    world.clock.advance(2)
    assert world.take().allowed


def test_leases_of_a_key_that_the_table_cannot_keep_up_with_last_longer_and_with_time_as_before() -> None:
    world = World()
    limit = Limit(100, 1, 1_000)

    def sizes(calls: int) -> list[int]:
        """Of the leases at 20 calls a second, in tokens."""
        before = world.calls
        for _ in range(calls):
            with suppress(StoreUnavailable):
                world.take(limit)
            world.clock.advance(0.05)
        return [change.piece_ns // figures(limit).interval_ns for change in world.table.changes[before:]]

    assert sizes(200)[-1] == 10  # half a second's worth
    world.table.down = True
    sizes(200)
    world.table.down = False
    assert max(sizes(600)) == 125  # an eighth of the burst, still
    assert sizes(6_000)[-1] == 10


def test_what_is_held_is_spent_while_the_table_is_down() -> None:
    world = World()
    for _ in range(20):
        world.take(FAST)
    world.table.down = True
    assert world.take(FAST).allowed


def test_who_is_overtaken_again_and_again_gives_up() -> None:
    class Fickle(MemoryTable):
        """A bucket that is never as it was found."""

        async def change(self, key: str, change: Change, *, now_ns: int, full_ns: int) -> Answer:
            self.buckets[key] = Bucket(now_ns + (1 if change.or_absent else -1), 0)
            return await super().change(key, change, now_ns=now_ns, full_ns=full_ns)

    table = Fickle()
    with pytest.raises(StoreUnavailable, match="too many decide on one bucket"):
        drive(SharedLimits(table, OwnedClock()).take(Want("key", EXACT, 1)))
    assert len(table.changes) == MAX_CALLS
