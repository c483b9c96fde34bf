"""The token bucket as one whole number (GCRA): no clock, no store, no floats.

A bucket is its *theoretical arrival time*, TAT: the moment at which it will be full again. Taking a token moves it one
interval ahead; a token is there as long as the TAT is no further ahead of now than the bucket is deep. All times are
nanoseconds by one clock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hms_svc.core.ports import Decision

if TYPE_CHECKING:
    from hms_svc.core.model import Limit

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
    """`take`, by the figures of a route's limit."""
    return take(tat_ns, now_ns, interval_ns=interval_ns(limit.limit, limit.period_s), burst=limit.burst, cost=cost)


def judged(looked: Decision, limit: Limit, cost: int) -> Decision:
    """What a call of ``cost`` tokens would have been told by a bucket that was only looked at."""
    if looked.remaining >= cost:
        return looked
    missing = cost - limit.burst
    retry_ns = looked.reset_ns + missing * interval_ns(limit.limit, limit.period_s) if missing <= 0 else None
    return Decision(False, looked.remaining, looked.reset_ns, retry_ns)
