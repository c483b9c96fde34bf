"""The token bucket as one whole number (GCRA): no clock, no store, no floats.

A bucket is its *theoretical arrival time*, TAT: the moment at which it will be full again. Taking a token moves it one
interval ahead; a token is there as long as the TAT is no further ahead of now than the bucket is deep. All times are
nanoseconds by one clock.

The quota of a calendar window is such a bucket, too: its time stands still at the end of the window, and its tokens are
a nanosecond long. So nothing comes back before the end, and from then on it is full and may be forgotten like others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hms_svc.core.ports import Decision
from hms_svc.core.windows import CALENDAR, end_ns

if TYPE_CHECKING:
    from hms_svc.core.config import Limit

SECOND_NS = 1_000_000_000


def interval_ns(limit: int, period_s: int) -> int:
    """The time one token takes to come back, rounded up to whole nanoseconds so that the rate is never exceeded."""
    return -(-period_s * SECOND_NS // limit)


def take(tat_ns: int, now_ns: int, *, interval_ns: int, burst: int, cost: int) -> tuple[Decision, int]:
    """Take ``cost`` tokens if they are there: the decision, and the TAT to keep.

    A refused call, and a cost of 0, take nothing. A TAT further ahead than the bucket is deep is that of a deeper
    bucket (the limit was changed) or of another clock; it is read, and handed back, as that of an empty bucket.
    """
    full_ns = now_ns + burst * interval_ns
    kept_ns = min(tat_ns, full_ns)
    base_ns = max(kept_ns, now_ns)
    new_ns = base_ns + cost * interval_ns
    if new_ns > full_ns:
        retry_ns = new_ns - full_ns if cost <= burst else None
        return Decision(False, (full_ns - base_ns) // interval_ns, base_ns - now_ns, retry_ns), kept_ns
    return Decision(True, (full_ns - new_ns) // interval_ns, new_ns - now_ns), new_ns if cost else kept_ns


def decide(tat_ns: int, now_ns: int, limit: Limit, cost: int) -> tuple[Decision, int]:
    """`take`, by the figures of a route's limit; that of a calendar window goes by the wall clock."""
    if limit.window == CALENDAR:
        return _decide_in_window(tat_ns, now_ns, limit, cost)
    return take(tat_ns, now_ns, interval_ns=interval_ns(limit.limit, limit.period_s), burst=limit.burst, cost=cost)


def judged(looked: Decision, limit: Limit, cost: int) -> Decision:
    """What a call of ``cost`` tokens would have been told by a bucket that was only looked at."""
    if looked.remaining >= cost:
        return looked
    if limit.window == CALENDAR:
        return looked._replace(allowed=False, retry_ns=looked.reset_ns if cost <= limit.burst else None)
    missing = cost - limit.burst
    retry_ns = looked.reset_ns + missing * interval_ns(limit.limit, limit.period_s) if missing <= 0 else None
    return Decision(False, looked.remaining, looked.reset_ns, retry_ns)


def _decide_in_window(tat_ns: int, now_ns: int, limit: Limit, cost: int) -> tuple[Decision, int]:
    closes_ns = end_ns(limit.period_s, now_ns)
    said, new_ns = take(tat_ns, closes_ns, interval_ns=1, burst=limit.burst, cost=cost)
    left_ns = closes_ns - now_ns
    retry_ns = None if said.retry_ns is None else left_ns
    return Decision(said.allowed, said.remaining, left_ns, retry_ns), new_ns if said.allowed and cost else tat_ns
