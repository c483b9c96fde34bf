from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from worlds import OwnedClock, drive, request

from hms_svc.core.config import Forward, Limit, Route
from hms_svc.core.entry import Entry
from hms_svc.core.errors import TooManyCalls
from hms_svc.core.limit import Limiter
from hms_svc.core.model import NOBODY, Caller
from hms_svc.core.plans import planned
from hms_svc.core.windows import DAY_S
from hms_svc.local.limits import MemoryLimits


def with_plans(base: Limit, **plans: Limit) -> Limit:
    own = {name: replace(plan, per=base.per, window=base.window, plan=name) for name, plan in plans.items()}
    return replace(base, plan_claim="plan", plans=own)


FREE = Limit(2, 60, 2, per="caller")
TIERS = with_plans(FREE, gold=Limit(100, 1, 100), silver=Limit(5, DAY_S, 5))


def caller(plan: Any = None, name: str = "alice") -> Caller:
    return Caller(name=name, via="oauth", claims={} if plan is None else {"plan": plan})


class World:
    """A route with one limit, and how many calls of a row it admits."""

    def __init__(self, limit: Limit) -> None:
        self.clock = OwnedClock()
        store = MemoryLimits(self.clock)
        self.limiter = Limiter(store, store)
        self.route = Route(name="tiles", path="/tiles", action=Forward(()), auth=("oauth",), limits=(limit,))

    def admits(self, who: Caller) -> bool:
        try:
            drive(self.limiter.take(self.route, who, "192.0.2.7", Entry(request(), "id", 0, 0)))
        except TooManyCalls:
            return False
        return True

    def row(self, who: Caller, calls: int = 200) -> int:
        return sum(self.admits(who) for _ in range(calls))


@pytest.mark.parametrize(
    ("claim", "limit"),
    [
        ("gold", 100),
        ("silver", 5),
        (None, 2),
        ("platinum", 2),
        ("", 2),
        (7, 2),
        (True, 2),
        ({"gold": 1}, 2),
        (["staff", "silver"], 5),
        (["silver", "gold"], 100),
        ([], 2),
        ([["gold"], {}], 2),
    ],
)
def test_a_claim_chooses_the_limit(claim: Any, limit: int) -> None:
    assert planned(TIERS, caller(claim)).limit == limit
    assert World(TIERS).row(caller(claim)) == limit


def test_nobody_is_on_no_plan() -> None:
    assert planned(TIERS, NOBODY) == TIERS


def test_the_caller_is_told_of_the_limit_of_their_plan() -> None:
    world = World(TIERS)
    told = drive(world.limiter.take(world.route, caller("gold"), "192.0.2.7", Entry(request(), "id", 0, 0)))
    assert dict(told.lines)["RateLimit-Policy"] == '"default";q=100;w=1'


def test_a_change_of_plan_helps_at_once_and_the_way_back_finds_what_was_left() -> None:
    world = World(TIERS)
    assert [world.row(caller(plan)) for plan in ("silver", "gold", "silver", None)] == [5, 100, 0, 2]


@given(st.lists(st.tuples(st.sampled_from(["gold", "silver", None]), st.integers(0, 3), st.integers(1, 40))))
def test_no_change_of_plan_ever_gives_more_than_each_plan_alone(steps: list[tuple[str | None, int, int]]) -> None:
    world, began, admitted = World(TIERS), OwnedClock().ns, dict[str | None, int]()
    for plan, later, calls in steps:
        world.clock.advance(later)
        admitted[plan] = admitted.get(plan, 0) + world.row(caller(plan), calls)
    for plan, count in admitted.items():
        limit = TIERS.plans[plan] if plan else TIERS
        assert count <= limit.burst + limit.limit * (world.clock.ns - began) / (limit.period_s * 10**9)


def test_plans_of_a_calendar_window_share_one_count() -> None:
    quota = Limit(5, DAY_S, 5, per="caller", window="calendar")
    world = World(with_plans(quota, gold=Limit(20, DAY_S, 20)))
    assert [world.row(caller(plan)) for plan in (None, "gold", None, "gold")] == [5, 15, 0, 0]


def test_a_limit_that_is_given_plans_keeps_the_buckets_of_who_is_on_none() -> None:
    world = World(FREE)
    assert world.row(caller()) == 2
    world.route = replace(world.route, limits=(TIERS,))
    assert world.row(caller()) == 0
