"""Calendar windows, in UTC: when the hour, day or month that is now ends, and whose bucket is whose window's."""

from __future__ import annotations

from datetime import date, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hms_svc.core.ports import Want

ROLLING, CALENDAR = "rolling", "calendar"
HOUR_S, DAY_S = 3_600, 86_400
MONTH_S = 30 * DAY_S
"""What a month is to a rolling limit, and what stands for one in a limit's ``period_s``."""
WINDOWS_S = (HOUR_S, DAY_S, MONTH_S)
_SECOND_NS = 1_000_000_000
_1970 = date(1970, 1, 1)


def end_ns(period_s: int, now_ns: int) -> int:
    """When the window ends in which ``now_ns`` lies, and the next one begins. By the wall clock."""
    now_s = now_ns // _SECOND_NS
    end_s = _month_end_s(now_s // DAY_S) if period_s == MONTH_S else (now_s // period_s + 1) * period_s
    return end_s * _SECOND_NS


def windowed(want: Want, now_ns: int) -> Want:
    """``want`` with the key of the window that is now, by the wall clock; each window has a bucket of its own."""
    limit = want.limit
    if limit.window == ROLLING:
        return want
    return want._replace(key=f"{want.key}:{limit.period_s}:{end_ns(limit.period_s, now_ns) // _SECOND_NS}")


@lru_cache(maxsize=8)
def _month_end_s(day: int) -> int:
    """When the month of this day ends; both are counted from 1970."""
    first = (_1970 + timedelta(days=day)).replace(day=1)
    following = (first + timedelta(days=31)).replace(day=1)
    return (following - _1970).days * DAY_S
