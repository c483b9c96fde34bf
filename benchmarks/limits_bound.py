"""What a limit allows, exactly: an exact bucket in whole numbers, never rounded.

A token is as many units here as there are nanoseconds in the limit's period, so that a nanosecond brings ``limit``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hms_svc.core.gcra import SECOND_NS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hms_svc.core.config import Limit


def over(admitted_ns: Iterable[int], limit: Limit) -> float:
    """Tokens by which calls of one token exceed burst + rate * time at most, over every span: a bucket in debt."""
    token, worst, at_ns = limit.period_s * SECOND_NS, 0, 0
    full = level = limit.burst * token
    for now_ns in sorted(admitted_ns):
        level = min(level + limit.limit * (now_ns - at_ns), full) - token
        at_ns = now_ns
        worst = max(worst, -level)
    return worst / token


def possible(offered_ns: Iterable[int], limit: Limit) -> int:
    """How many calls of one token one bucket, asked for all of them, would have admitted."""
    token, admitted, at_ns = limit.period_s * SECOND_NS, 0, 0
    full = level = limit.burst * token
    for now_ns in sorted(offered_ns):
        level = min(level + limit.limit * (now_ns - at_ns), full)
        at_ns = now_ns
        if level >= token:
            level -= token
            admitted += 1
    return admitted
