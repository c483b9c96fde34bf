from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from fakes_limits import MemoryTable
from hypothesis import example, given
from hypothesis import strategies as st
from worlds import OwnedClock, drive, request

from hms_svc.core.config import Forward, Limit, Route
from hms_svc.core.entry import Entry, LimitVerdict
from hms_svc.core.errors import TooManyCalls, Unavailable
from hms_svc.core.limit import Limiter
from hms_svc.core.model import NOBODY, Caller
from hms_svc.core.ports import Decision, StoreUnavailable
from hms_svc.core.shared_limits import SharedLimits
from hms_svc.core.windows import DAY_S, HOUR_S, MONTH_S
from hms_svc.local.limits import MemoryLimits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hms_svc.core.ports import Want

Lines = tuple[tuple[str, str], ...]
PER_MINUTE = Limit(30, 60, 30)


class DownStore:
    """A store that is down."""

    async def take(self, want: Want) -> Decision:
        raise StoreUnavailable("no answer within 50 ms")

    look = take

    async def take_all(self, wants: Sequence[Want]) -> list[Decision]:
        return [Decision(False, 0, 0, None, "no answer within 50 ms")] * len(wants)


class World:
    """A limiter over memory, one route and a clock, all the test's own."""

    def __init__(self, *limits: Limit, down: bool = False, fallback_down: bool = False, shared: bool = False) -> None:
        self.clock = OwnedClock()
        self.table = MemoryTable()
        store = SharedLimits(self.table, self.clock) if shared else MemoryLimits(self.clock)
        self.limiter = Limiter(
            DownStore() if down else store, DownStore() if fallback_down else MemoryLimits(self.clock)
        )
        self.route = Route(name="faq", path="/faq", action=Forward(()), auth=(), limits=limits)
        self.said: list[LimitVerdict] = []

    def call(self, *, ip: str = "192.0.2.7", caller: Caller = NOBODY) -> Lines:
        entry = Entry(request(), "id", 0, 0)
        try:
            lines: Lines = drive(self.limiter.take(self.route, caller, ip, entry)).lines
            return lines
        finally:
            self.said = entry.limits

    def call_with_policies(self, *fields: tuple[str, str]) -> Lines:
        """A call through both steps, with what policies set between them."""
        entry = Entry(request(), "id", 0, 0)
        told = drive(self.limiter.take(self.route, NOBODY, "192.0.2.7", entry))
        try:
            lines: Lines = drive(self.limiter.take_rest(told, fields, entry)).lines
            return lines
        finally:
            self.said = entry.limits

    def refused(self, *, ip: str = "192.0.2.7") -> dict[str, str]:
        with pytest.raises(TooManyCalls) as refusal:
            self.call(ip=ip)
        return dict(refusal.value.headers)

    def passes(self) -> bool:
        try:
            self.call()
        except TooManyCalls:
            return False
        return True


def test_a_route_without_limits_says_nothing_of_them() -> None:
    world = World()
    assert world.call() == ()
    assert world.said == []


def test_an_admitted_call_is_told_what_is_left() -> None:
    world = World(PER_MINUTE)
    assert world.call() == (("RateLimit-Policy", '"default";q=30;w=60'), ("RateLimit", '"default";r=29;t=2'))
    assert world.said == [LimitVerdict("ip", '"default";q=30;w=60', allowed=True, remaining=29)]


def test_a_refused_call_is_told_when_to_come_back() -> None:
    world = World(PER_MINUTE)
    for _ in range(30):
        world.call()
    world.clock.advance(0.5)
    assert world.refused() == {
        "RateLimit-Policy": '"default";q=30;w=60',
        "RateLimit": '"default";r=0;t=60',
        "Retry-After": "2",
    }
    assert world.said == [LimitVerdict("ip", '"default";q=30;w=60', allowed=False, remaining=0)]


def test_the_older_headers_come_when_asked_for() -> None:
    world = World(Limit(30, 60, 30, legacy_headers=True))
    assert world.call()[2:] == (
        ("X-RateLimit-Limit", "30"),
        ("X-RateLimit-Remaining", "29"),
        ("X-RateLimit-Reset", "2"),
    )


def test_addresses_are_counted_apart() -> None:
    world = World(Limit(1, 60, 1))
    world.call(ip="192.0.2.7")
    world.call(ip="192.0.2.8")
    assert world.refused(ip="192.0.2.7")


def test_a_call_that_costs_more_than_the_bucket_holds_is_not_told_to_come_back() -> None:
    assert "Retry-After" not in World(Limit(10, 60, 10, cost=11)).refused()


def test_a_limit_in_shadow_counts_and_reports_and_never_refuses() -> None:
    world = World(Limit(1, 60, 1, shadow=True))
    for allowed in (True, False, False):
        assert world.call() == ()
        assert world.said == [LimitVerdict("ip", '"default";q=1;w=60', allowed=allowed, remaining=0, shadow=True)]


def test_of_several_limits_the_most_restrictive_is_reported() -> None:
    world = World(Limit(100, 1, 100), Limit(5, 3_600, 5))
    assert world.call() == (
        ("RateLimit-Policy", '"default";q=100;w=1, "default-2";q=5;w=3600'),
        ("RateLimit", '"default-2";r=4;t=720'),
    )


def test_a_limit_may_have_a_name() -> None:
    world = World(Limit(100, 1, 100), Limit(5, 3_600, 5, name="hourly"))
    assert world.call() == (
        ("RateLimit-Policy", '"default";q=100;w=1, "hourly";q=5;w=3600'),
        ("RateLimit", '"hourly";r=4;t=720'),
    )


def test_a_quota_tells_when_its_window_ends() -> None:
    world = World(Limit(2, HOUR_S, 2, window="calendar"))  # it is 08:00
    world.clock.advance(3_540.5)
    assert world.call() == (("RateLimit-Policy", '"default";q=2;w=3600'), ("RateLimit", '"default";r=1;t=60'))
    world.call()
    assert world.refused()["Retry-After"] == "60"


def test_months_of_the_calendar_have_no_length_that_could_be_told() -> None:
    assert World(Limit(2, MONTH_S, 2)).call()[0] == ("RateLimit-Policy", '"default";q=2;w=2592000')
    assert World(Limit(2, MONTH_S, 2, window="calendar")).call()[0] == ("RateLimit-Policy", '"default";q=2')


def test_a_call_that_one_limit_refuses_takes_nothing_of_the_others() -> None:
    world = World(Limit(1, 60, 1), Limit(10, 60, 10, per="route"))
    world.call()
    for _ in range(20):
        world.refused()
    world.call(ip="192.0.2.8")
    assert [it.remaining for it in world.said] == [0, 8]


def test_two_limits_that_refuse_tell_the_later_time() -> None:
    world = World(Limit(1, 10, 1), Limit(1, 60, 1))
    world.call()
    assert world.refused()["Retry-After"] == "60"
    assert [it.allowed for it in world.said] == [False, False]


def test_a_shadow_that_is_over_beside_a_limit_that_is_not_changes_nothing() -> None:
    world = World(Limit(1, 60, 1, shadow=True), PER_MINUTE)
    world.call()
    assert dict(world.call())["RateLimit"] == '"default-2";r=28;t=4'
    assert [it.allowed for it in world.said] == [False, True]


def test_a_store_that_is_down_leaves_a_bucket_of_the_same_size_here() -> None:
    world = World(Limit(2, 60, 2), down=True)
    assert dict(world.call())["RateLimit"] == '"default";r=1;t=30'
    world.call()
    assert world.refused()["Retry-After"] == "30"
    assert "no answer within 50 ms" in world.said[0].error


def test_a_store_that_is_down_may_let_calls_pass() -> None:
    world = World(Limit(1, 60, 1, on_error="allow"), down=True)
    for _ in range(3):
        assert world.call() == ()
    assert (world.said[0].allowed, bool(world.said[0].error)) == (True, True)


def test_a_store_that_is_down_may_close_the_door() -> None:
    world = World(Limit(1, 60, 1, on_error="deny"), down=True)
    with pytest.raises(Unavailable) as refusal:
        world.call()
    assert dict(refusal.value.headers)["Retry-After"]
    assert "no answer" in refusal.value.cause
    assert "no answer" not in refusal.value.detail


def test_when_nothing_here_can_count_either_the_door_is_closed() -> None:
    with pytest.raises(Unavailable):
        World(PER_MINUTE, down=True, fallback_down=True).call()


def test_a_shadow_never_refuses_even_when_nothing_can_count() -> None:
    for on_error in ("deny", "local"):
        world = World(Limit(1, 60, 1, shadow=True, on_error=on_error), down=True, fallback_down=True)
        assert world.call() == ()
        assert world.said[0].error


def test_several_limits_over_a_store_that_is_down_count_once_a_call() -> None:
    world = World(Limit(2, 60, 2), Limit(9, 60, 9, per="route"), down=True)
    world.call()
    assert [it.remaining for it in world.said] == [1, 8]


BY_POLICY = Limit(100, 60, 100, cost=3, cost_header="X-Cost", max_cost=50)


@pytest.mark.parametrize("shared", [False, True], ids=["memory", "shared"])
def test_a_refusal_before_the_policies_waits_for_the_limits_after_them_too(*, shared: bool) -> None:
    before, after = Limit(60, 60, 1), Limit(2, 3_600, 1, cost_header="X-Cost", max_cost=1)
    world = World(before, after, shared=shared)
    world.call_with_policies()
    refused = world.refused()
    assert refused["RateLimit-Policy"] == '"default";q=60;w=60, "default-2";q=2;w=3600'
    assert refused["Retry-After"] == "1800"
    world.clock.advance(1)
    with pytest.raises(TooManyCalls):
        world.call_with_policies()
    world.clock.advance(1799)
    world.call_with_policies()


def test_a_limit_in_shadow_that_is_over_changes_nothing_for_limits_after_the_policies() -> None:
    shadow, by_policy = Limit(1, 60, 1, shadow=True), Limit(3, 60, 3, cost_header="X-Cost", max_cost=3)
    world = World(shadow, by_policy)
    for left in (2, 1, 0):
        assert world.call_with_policies() == (
            ("RateLimit-Policy", '"default-2";q=3;w=60'),
            ("RateLimit", f'"default-2";r={left};t={20 * (3 - left)}'),
        )
    assert world.call_with_policies(("X-Cost", "0"))
    with pytest.raises(TooManyCalls):
        world.call_with_policies(("X-Cost", "1"))


def test_a_limit_after_the_policies_that_another_environment_has_emptied_is_looked_at() -> None:
    before, after = Limit(6, 60, 1), Limit(1, 3_600, 1, cost_header="X-Cost", max_cost=1)
    world = World(before, after, shared=True)
    world.call_with_policies()
    world.limiter = Limiter(SharedLimits(world.table, world.clock), MemoryLimits(world.clock))
    assert world.refused()["Retry-After"] == "3600"


def test_a_time_that_is_too_long_for_a_field_is_cut_to_the_longest() -> None:
    """RFC 9651, section 3.3.1: whole numbers have 15 digits at most."""
    world = World(Limit(1, 30 * 86_400, 999_999_999, cost=999_999_000))
    assert world.call()[1][1] == '"default";r=999;t=999999999999999'


def test_a_cost_that_a_policy_says_is_taken_after_the_policies() -> None:
    world = World(PER_MINUTE, BY_POLICY)
    assert world.call() == (("RateLimit-Policy", '"default";q=30;w=60'), ("RateLimit", '"default";r=29;t=2'))
    assert world.call_with_policies(("x-cost", "40")) == (
        ("RateLimit-Policy", '"default";q=30;w=60, "default-2";q=100;w=60'),
        ("RateLimit", '"default-2";r=60;t=24'),
    )
    assert [it.remaining for it in world.said] == [28, 60]


def test_without_the_field_the_default_is_taken_and_a_cost_of_0_takes_nothing() -> None:
    world = World(BY_POLICY)
    left = [world.call_with_policies(*fields) and world.said[0].remaining for fields in ([], [("X-Cost", "0")], [])]
    assert left == [97, 97, 94]


def test_the_lines_stand_in_the_order_of_the_file() -> None:
    lines = World(BY_POLICY, PER_MINUTE).call_with_policies()
    assert lines[0] == ("RateLimit-Policy", '"default";q=100;w=60, "default-2";q=30;w=60')


def test_several_costs_are_taken_together_or_not_at_all() -> None:
    more = Limit(60, 60, 60, cost_header="X-Bytes", max_cost=60)
    world = World(BY_POLICY, more)
    world.call_with_policies(("X-Bytes", "60"), ("X-Cost", "0"))
    for _ in range(3):
        with pytest.raises(TooManyCalls):
            world.call_with_policies(("X-Cost", "50"))
    world.call_with_policies(("X-Bytes", "0"), ("X-Cost", "50"))
    assert [it.remaining for it in world.said] == [50, 0]


def test_a_refusal_after_the_policies_waits_for_the_limits_before_them_too() -> None:
    world = World(Limit(3, 600, 3), BY_POLICY)
    for _ in range(2):
        world.call_with_policies(("X-Cost", "50"))
    with pytest.raises(TooManyCalls) as refusal:
        world.call_with_policies(("X-Cost", "50"))
    assert dict(refusal.value.headers)["Retry-After"] == "200"
    world.clock.advance(199)
    with pytest.raises(TooManyCalls):
        world.call_with_policies(("X-Cost", "50"))
    world.clock.advance(1)
    assert world.call_with_policies(("X-Cost", "50"))


BUCKETS = st.builds(
    Limit,
    limit=st.integers(1, 50),
    period_s=st.sampled_from([1, 60, 3_600]),
    burst=st.integers(1, 8),
    cost=st.integers(1, 3),
    per=st.sampled_from(["ip", "route"]),
)
QUOTAS = st.builds(
    lambda count, period_s, cost: Limit(count, period_s, count, cost=cost, window="calendar"),
    st.integers(1, 20),
    st.sampled_from([HOUR_S, DAY_S, MONTH_S]),
    st.integers(1, 3),
)
LIMITS = BUCKETS | QUOTAS


@given(
    limits=st.lists(LIMITS, min_size=1, max_size=4),
    waits=st.lists(st.floats(0, 30), max_size=40),
    begins=st.integers(0, 40 * DAY_S),
    shared=st.booleans(),
)
@example(
    limits=[Limit(1, HOUR_S, 1, window="calendar"), Limit(1, DAY_S, 1, window="calendar")],
    waits=[0.0, 30.0],
    begins=0,
    shared=True,
)
def test_retry_after_is_the_first_second_at_which_a_retry_succeeds(
    limits: list[Limit], waits: list[float], begins: int, *, shared: bool
) -> None:
    world = World(*limits, shared=shared)
    world.clock.advance(begins)
    for wait in waits:
        world.clock.advance(wait)
        world.passes()
    try:
        world.call()
    except TooManyCalls as refusal:
        headers = dict(refusal.headers)
        if "Retry-After" not in headers:
            assert any(limit.cost > limit.burst for limit in limits)
            return
        seconds = int(headers["Retry-After"])
        assert seconds >= 1
        world.clock.advance(seconds - 1)
        assert not world.passes()
        world.clock.advance(1)
        assert world.passes()


@given(st.lists(BUCKETS, min_size=2, max_size=3), st.lists(st.floats(0, 5), max_size=40))
def test_several_limits_hold_each_for_itself(limits: list[Limit], waits: list[float]) -> None:
    world = World(*limits)
    admitted: list[int] = []
    for wait in waits:
        world.clock.advance(wait)
        if world.passes():
            admitted.append(world.clock.ns)
    for limit in limits:
        for first, begin in enumerate(admitted):
            for count, end in enumerate(admitted[first:], 1):
                bound = limit.burst * limit.period_s * 10**9 + limit.limit * (end - begin)
                assert count * limit.cost * limit.period_s * 10**9 <= bound
