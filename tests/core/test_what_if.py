from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from worlds import OwnedClock, drive, request

from hms_svc.core.config import Forward, Limit, Route
from hms_svc.core.entry import Entry
from hms_svc.core.errors import TooManyCalls
from hms_svc.core.gcra import SECOND_NS
from hms_svc.core.limit import Limiter
from hms_svc.core.model import NOBODY
from hms_svc.core.what_if import Outcome, Pace, Refused, what_if, what_if_text
from hms_svc.local.limits import MemoryLimits

S = SECOND_NS
MINUTE = Limit(30, 60, 30)


def test_calls_at_once_pass_until_the_bucket_is_empty() -> None:
    assert what_if([MINUTE], Pace(100, 0)) == Outcome(30, Refused(31, 0, (0,), 2 * S), (70,))


def test_calls_no_faster_than_the_limit_all_pass() -> None:
    assert what_if([MINUTE], Pace(1_000, 2 * S)) == Outcome(1_000, None, (0,))


def test_the_first_refusal_comes_when_what_came_back_is_spent_too() -> None:
    assert what_if([MINUTE], Pace(100, S // 10)) == Outcome(34, Refused(32, 31 * S // 10, (0,), 9 * S // 10), (66,))


def test_a_call_that_costs_more_than_the_bucket_holds_never_passes() -> None:
    assert what_if([Limit(5, 1, 5, cost=6)], Pace(3, S)) == Outcome(0, Refused(1, 0, (0,), None), (3,))


def test_a_limit_in_shadow_refuses_nothing_and_is_counted() -> None:
    assert what_if([replace(MINUTE, shadow=True), Limit(40, 60, 40)], Pace(50, 0)) == Outcome(
        40, Refused(41, 0, (1,), 3 * S // 2), (20, 10)
    )


def test_without_limits_every_call_passes() -> None:
    assert what_if([], Pace(7, 0)) == Outcome(7, None, ())


@pytest.mark.parametrize(
    ("limits", "pace", "said"),
    [
        ([MINUTE], Pace(1, 0), ["1 call at once: all pass"]),
        (
            [MINUTE],
            Pace(100, S // 10),
            [
                "100 calls, one every 0.1 s: 34 pass, 66 refused",
                "first refused: call 32 after 3.1 s, by 30/m, Retry-After: 1",
            ],
        ),
        (
            [replace(MINUTE, cost=31)],
            Pace(2, S),
            ["2 calls, one every 1 s: 0 pass, 2 refused", "first refused: call 1 after 0 s, by 30/m, never passes"],
        ),
        ([replace(MINUTE, shadow=True)], Pace(40, 0), ["40 calls at once: all pass", "30/m (shadow) would refuse 10"]),
    ],
)
def test_it_is_told_in_a_few_sentences(limits: list[Limit], pace: Pace, said: list[str]) -> None:
    assert what_if_text(limits, pace) == said


LIMITS = st.builds(
    Limit,
    st.integers(1, 50),
    st.sampled_from([1, 7, 60]),
    st.integers(1, 12),
    cost=st.integers(1, 3),
    shadow=st.sampled_from([False, False, True]),
)


@pytest.mark.parametrize("calls", [60])
@given(st.lists(LIMITS, max_size=3), st.integers(0, 2 * S))
def test_it_says_what_a_gateway_does(calls: int, limits: list[Limit], every_ns: int) -> None:
    clock = OwnedClock()
    store = MemoryLimits(clock)
    route = Route(name="r", path="/r", action=Forward(()), auth=(), limits=tuple(limits))
    passed, first, retry = 0, 0, ""
    for number in range(1, calls + 1):
        try:
            drive(Limiter(store, store).take(route, NOBODY, "192.0.2.7", Entry(request(), "id", 0, 0)))
            passed += 1
        except TooManyCalls as refusal:
            if not first:
                first, retry = number, dict(refusal.headers).get("Retry-After", "")
        clock.ns += every_ns
    told = what_if(limits, Pace(calls, every_ns))
    assert (told.passed, told.first_refused.call if told.first_refused else 0) == (passed, first)
    if told.first_refused is not None:
        wait_ns = told.first_refused.retry_ns
        assert retry == ("" if wait_ns is None else str(-(-wait_ns // S)))
