from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
import vectors
from hypothesis import given
from hypothesis import strategies as st

from hms_svc.core.config import Limit
from hms_svc.core.gcra import SECOND_NS, decide, interval_ns, judged, take
from hms_svc.core.ports import Decision

S = SECOND_NS

LIMITS = st.builds(
    Limit,
    limit=st.integers(1, 2_000),
    period_s=st.sampled_from([1, 60, 3_600, 86_400]),
    burst=st.integers(1, 50),
)
CALLS = st.lists(st.tuples(st.integers(0, 5 * S), st.integers(0, 60)), max_size=60)


class ExactBucket:
    """A token bucket in rational numbers that refills at one token every ``interval``."""

    def __init__(self, burst: int, interval: Fraction) -> None:
        self.burst, self.interval = burst, interval
        self.tokens, self.at = Fraction(burst), 0

    def take(self, now: int, cost: int) -> bool:
        self.tokens = min(Fraction(self.burst), self.tokens + (now - self.at) / self.interval)
        self.at = now
        if self.tokens < cost:
            return False
        self.tokens -= cost
        return True


def played(limit: Limit, calls: list[tuple[int, int]]) -> list[tuple[int, int, Decision]]:
    """Each call with its moment, its cost and what was decided."""
    now, tat, said = 0, 0, []
    for wait, cost in calls:
        now += wait
        decision, tat = decide(tat, now, limit, cost)
        said.append((now, cost, decision))
    return said


@given(LIMITS, CALLS)
def test_no_window_ever_holds_more_than_the_burst_and_what_came_back_in_it(
    limit: Limit, calls: list[tuple[int, int]]
) -> None:
    admitted = [(now, cost) for now, cost, decision in played(limit, calls) if decision.allowed]
    for first, (begin, _) in enumerate(admitted):
        spent = 0
        for end, cost in admitted[first:]:
            spent += cost
            assert spent <= limit.burst + Fraction((end - begin) * limit.limit, limit.period_s * S)


@given(LIMITS, CALLS)
def test_it_admits_exactly_what_an_exact_bucket_of_its_rounded_rate_admits(
    limit: Limit, calls: list[tuple[int, int]]
) -> None:
    bucket = ExactBucket(limit.burst, Fraction(interval_ns(limit.limit, limit.period_s)))
    for now, cost, decision in played(limit, calls):
        assert decision.allowed == bucket.take(now, cost)
        assert decision.remaining == int(bucket.tokens)
        assert decision.reset_ns == (limit.burst - bucket.tokens) * bucket.interval


@given(LIMITS)
def test_the_rounding_costs_less_than_one_nanosecond_a_token(limit: Limit) -> None:
    exact = Fraction(limit.period_s * S, limit.limit)
    assert exact <= interval_ns(limit.limit, limit.period_s) < exact + 1


@given(LIMITS, CALLS, st.integers(1, 60))
def test_retrying_when_told_succeeds_and_one_nanosecond_earlier_does_not(
    limit: Limit, calls: list[tuple[int, int]], cost: int
) -> None:
    now, tat = 0, 0
    for wait, taken in calls:
        now += wait
        _, tat = decide(tat, now, limit, taken)
    decision, kept = decide(tat, now, limit, cost)
    if decision.allowed:
        assert decision.retry_ns is None
        return
    assert kept == tat
    if decision.retry_ns is None:
        assert cost > limit.burst
        return
    assert decide(tat, now + decision.retry_ns, limit, cost)[0].allowed
    assert not decide(tat, now + decision.retry_ns - 1, limit, cost)[0].allowed


@given(LIMITS, CALLS, st.integers(1, 60))
def test_a_look_knows_what_a_call_would_be_told(limit: Limit, calls: list[tuple[int, int]], cost: int) -> None:
    limit = Limit(limit.limit, limit.period_s, limit.burst, cost=cost)
    now, tat = 0, 0
    for wait, taken in calls:
        now += wait
        _, tat = decide(tat, now, limit, taken)
    looked, kept = decide(tat, now, limit, 0)
    assert (looked.allowed, kept) == (True, tat)
    told, _ = decide(tat, now, limit, cost)
    assert told.allowed == (looked.remaining >= cost)
    if not told.allowed:
        assert judged(looked, limit, cost) == told


def test_a_bucket_made_smaller_by_a_reload_is_empty_not_in_debt() -> None:
    a_day_of_debt = 86_400 * S
    decision, tat = take(a_day_of_debt, 0, interval_ns=S, burst=10, cost=1)
    assert decision == Decision(False, 0, 10 * S, S)
    assert take(tat, S, interval_ns=S, burst=10, cost=1)[0].allowed


def test_a_clock_that_steps_back_finds_an_empty_bucket_that_refills() -> None:
    tat = 3_600 * S
    decision, tat = take(tat, 0, interval_ns=2 * S, burst=30, cost=1)
    assert (decision.allowed, decision.retry_ns) == (False, 2 * S)
    assert take(tat, 2 * S, interval_ns=2 * S, burst=30, cost=1)[0].allowed


@vectors.needed
@pytest.mark.parametrize("name", ["gcra_throttled_redis_cell"])
def test_it_agrees_with_other_projects_step_by_step(name: str) -> None:
    case: dict[str, Any] = vectors.read_json("limiter/gcra.json")[name]
    limit = Limit(case["rate_per_s"], 1, case["limit"])
    tat = 0
    for step in case["steps"]:
        decision, tat = decide(tat, step["t_ms"] * 1_000_000, limit, step["quantity"])
        retry_ms = -1 if decision.retry_ns is None else decision.retry_ns / 1_000_000
        assert (not decision.allowed, decision.remaining, decision.reset_ns / 1_000_000, retry_ms) == (
            step["limited"],
            step["remaining"],
            step["reset_after_ms"],
            step["retry_after_ms"],
        ), step
