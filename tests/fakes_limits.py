"""A table of buckets in memory, and an exact bucket in rational numbers to hold others against."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING

from hms_svc.core.gcra import SECOND_NS
from hms_svc.core.ports import Answer, Bucket, Change, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hms_svc.core.config import Limit


@dataclass
class MemoryTable:
    """A `BucketTable`."""

    buckets: dict[str, Bucket] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)
    down: bool = False
    answer_lost: Callable[[], bool] = lambda: False
    """Whether the answer to a change that was made never comes."""
    sent_again: Callable[[Change], bool] = lambda _: False
    """Whether the first answer to a change does not come, and the client sends it again, if that may be."""

    async def change(self, key: str, change: Change, *, now_ns: int, full_ns: int) -> Answer:
        self.changes.append(change)
        if self.down:
            raise StoreUnavailable("the table is down")
        if not change.is_once and self.sent_again(change):
            self._make(key, change, now_ns)
        answer = self._make(key, change, now_ns)
        if self.answer_lost():
            raise StoreUnavailable("the answer was lost")
        return answer

    def _make(self, key: str, change: Change, now_ns: int) -> Answer:
        stands = self.buckets.get(key)
        made = change.or_absent if stands is None else change.low_ns <= stands.tat_ns <= change.high_ns
        if made:
            tat_ns = change.tat_ns + (stands.tat_ns if stands and change.is_added else 0)
            stands = self.buckets[key] = Bucket(tat_ns, now_ns // SECOND_NS)
        return Answer(made, stands)


class Throttling(MemoryTable):
    """A table that serves no call for which ``is_throttled`` holds."""

    def __init__(self, is_throttled: Callable[[str, Change], bool]) -> None:
        super().__init__()
        self._is_throttled = is_throttled
        self.refused = 0

    async def change(self, key: str, change: Change, *, now_ns: int, full_ns: int) -> Answer:
        if self._is_throttled(key, change):
            self.refused += 1
            raise StoreUnavailable("throttled")
        return await super().change(key, change, now_ns=now_ns, full_ns=full_ns)


def excess(calls: Iterable[tuple[int, int]], limit: Limit) -> Fraction:
    """By how many tokens admitted calls (moment in ns, cost) are over burst + rate * time, over every span of time.

    An exact bucket that is never rounded, and goes into debt where it was exceeded.
    """
    rate = Fraction(limit.limit, limit.period_s * SECOND_NS)
    level, at_ns, worst = Fraction(limit.burst), 0, Fraction(0)
    for now_ns, cost in sorted(calls):
        level = min(level + rate * (now_ns - at_ns), Fraction(limit.burst)) - cost
        at_ns = now_ns
        worst = max(worst, -level)
    return worst
