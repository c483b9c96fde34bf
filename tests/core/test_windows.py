from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hms_svc.core.config import Limit
from hms_svc.core.gcra import SECOND_NS, decide, judged
from hms_svc.core.ports import Decision, Want
from hms_svc.core.windows import DAY_S, HOUR_S, MONTH_S, end_ns, windowed


def ns(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * SECOND_NS


@pytest.mark.parametrize(
    ("period_s", "now", "end"),
    [
        (HOUR_S, "2027-01-31T23:59:59Z", "2027-02-01T00:00:00Z"),
        (HOUR_S, "2027-01-31T22:00:00Z", "2027-01-31T23:00:00Z"),
        (DAY_S, "2028-02-28T12:00:00Z", "2028-02-29T00:00:00Z"),
        (MONTH_S, "2027-01-01T00:00:00Z", "2027-02-01T00:00:00Z"),
        (MONTH_S, "2027-02-28T23:59:59Z", "2027-03-01T00:00:00Z"),
        (MONTH_S, "2028-02-28T23:59:59Z", "2028-03-01T00:00:00Z"),
        (MONTH_S, "2027-12-31T23:59:59Z", "2028-01-01T00:00:00Z"),
    ],
)
def test_a_window_ends_where_the_calendar_says(period_s: int, now: str, end: str) -> None:
    assert end_ns(period_s, ns(now)) == ns(end)


@given(st.sampled_from([HOUR_S, DAY_S, MONTH_S]), st.integers(0, 4_000_000_000 * SECOND_NS))
def test_windows_follow_one_another_without_a_gap(period_s: int, now_ns: int) -> None:
    end = end_ns(period_s, now_ns)
    assert now_ns < end
    assert end_ns(period_s, end - 1) == end
    following = end_ns(period_s, end)
    begins, ends = (datetime.fromtimestamp(at // SECOND_NS, UTC) for at in (end, following))
    longest = timedelta(days=31) if period_s == MONTH_S else timedelta(seconds=period_s)
    assert timedelta(0) < ends - begins <= longest
    assert (begins.minute, begins.second) == (0, 0)
    assert period_s == HOUR_S or begins.hour == 0
    assert period_s != MONTH_S or begins.day == 1


def test_each_window_has_a_bucket_of_its_own() -> None:
    daily = Want("key", Limit(9, DAY_S, 9, window="calendar"), 1)
    assert windowed(daily, ns("2027-01-31T00:00:00Z")) == windowed(daily, ns("2027-01-31T23:59:59Z"))
    monthly = Want("key", Limit(9, MONTH_S, 9, window="calendar"), 1)
    on_the_last_day = [windowed(want, ns("2027-01-31T12:00:00Z")).key for want in (daily, monthly)]
    tomorrow = windowed(daily, ns("2027-02-01T00:00:00Z")).key
    assert len({*on_the_last_day, tomorrow}) == 3
    rolling = Want("key", Limit(9, DAY_S, 9), 1)
    assert windowed(rolling, 0) == rolling


QUOTA = Limit(10, HOUR_S, 10, window="calendar")


def test_nothing_comes_back_before_the_window_ends() -> None:
    now_ns = ns("2027-01-31T12:00:00Z")
    decision, tat_ns = decide(0, now_ns, QUOTA, 10)
    assert decision == Decision(True, 0, HOUR_S * SECOND_NS)
    decision, kept_ns = decide(tat_ns, now_ns + 3_599 * SECOND_NS, QUOTA, 1)
    assert (decision, kept_ns) == (Decision(False, 0, SECOND_NS, SECOND_NS), tat_ns)
    assert decide(tat_ns, now_ns + HOUR_S * SECOND_NS, QUOTA, 1)[0].remaining == 9


def test_a_call_that_costs_more_than_the_quota_never_comes_through() -> None:
    assert decide(0, 0, QUOTA, 11)[0] == Decision(False, 10, HOUR_S * SECOND_NS, None)


@given(st.integers(0, 12), st.integers(0, 12), st.integers(0, 2 * HOUR_S * SECOND_NS))
def test_looking_first_tells_the_same(used: int, cost: int, now_ns: int) -> None:
    tat_ns = decide(0, now_ns, QUOTA, used)[1]
    looked = decide(tat_ns, now_ns, QUOTA, 0)[0]
    said = decide(tat_ns, now_ns, QUOTA, cost)[0]
    judgement = judged(looked, QUOTA, cost)
    assert (judgement.allowed, judgement.retry_ns) == (said.allowed, said.retry_ns)


def test_a_quota_that_is_made_smaller_and_larger_again_keeps_its_count() -> None:
    _, tat_ns = decide(0, 0, QUOTA, 8)
    smaller = Limit(5, HOUR_S, 5, window="calendar")
    decision, tat_ns = decide(tat_ns, 0, smaller, 1)
    assert (decision.allowed, decision.remaining) == (False, 0)
    assert decide(tat_ns, 0, QUOTA, 0)[0].remaining == 2
