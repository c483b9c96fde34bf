"""Rate limits in the memory of one process: exact, and bounded however many callers come.

At most ``max_keys`` buckets are kept. Buckets that are full again are dropped first: a bucket that is not there is a
full one, so nothing is forgotten. When every bucket kept is in use, callers without one share a bucket of the same
limit, the overflow. A caller who then gets a bucket of their own finds in it what was left in the shared one; so no
caller is ever admitted more often than the limit says, flood or not.

For one thread: no method suspends, so decisions never interleave.
"""

from __future__ import annotations

from heapq import heappop, heappush, heapreplace, nlargest
from typing import TYPE_CHECKING

from hms_svc.core.gcra import decide, judged

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hms_svc.core.model import Limit
    from hms_svc.core.ports import Clock, Decision, Want

_SWEPT_PER_NEW_KEY = 8
"""Buckets looked at when one comes: the work of one call is bounded, and still more can go than come."""


class MemoryLimits:
    """A `LimitStore`. A decision is O(1), the first of a key O(log n)."""

    def __init__(self, clock: Clock, max_keys: int = 100_000) -> None:
        self._now_ns = clock.monotonic_ns
        self._max_keys = max_keys
        self._tats: dict[str, int] = {}
        self._by_tat: list[tuple[int, str]] = []
        """A heap with each key once, and a TAT that it had: its own has only grown since, or shrunk with its limit."""
        self._overflow: dict[Limit, int] = {}

    def __len__(self) -> int:
        """How many buckets are kept."""
        return len(self._tats) + len(self._overflow)

    async def take(self, want: Want) -> Decision:
        """Take what a call costs of the bucket if it is there; a cost of 0 only looks. Never raises."""
        return self._take(want, self._now_ns())

    async def take_all(self, wants: Sequence[Want]) -> list[Decision]:
        """Take what a call costs of all buckets or, where one refuses, of none. Never raises."""
        now_ns = self._now_ns()
        looked = [judged(self._take(want._replace(cost=0), now_ns), want.limit, want.cost) for want in wants]
        if any(not it.allowed and not want.limit.shadow for it, want in zip(looked, wants, strict=True)):
            return looked
        return [self._take(want, now_ns) for want in wants]

    def emptiest(self, prefix: str, count: int) -> list[str]:
        """The keys of at most ``count`` buckets in use that begin with ``prefix``: who lacks most, first.

        Looks at every bucket: for operators, some 10 ms where there are 100,000.
        """
        now_ns = self._now_ns()
        tats = ((tat_ns, key) for key, tat_ns in self._tats.items() if tat_ns > now_ns and key.startswith(prefix))
        return [key for _, key in nlargest(count, tats)]

    def reset(self, key: str) -> bool:
        """Make the bucket full; whether it was there and in use. What is shared by callers without one stays."""
        tat_ns = self._tats.get(key, 0)
        if tat_ns:
            self._tats[key] = 0
        return tat_ns > self._now_ns()

    def _take(self, want: Want, now_ns: int) -> Decision:
        key, limit, cost = want
        tat_ns = self._tats.get(key)
        if tat_ns is None:
            return self._first(key, now_ns, limit, cost)
        decision, self._tats[key] = decide(tat_ns, now_ns, limit, cost)
        return decision

    def _first(self, key: str, now_ns: int, limit: Limit, cost: int) -> Decision:
        """The decision on a key that has no bucket of its own yet."""
        shared_ns = now_ns
        if self._overflow:
            shared_ns = self._overflow.get(limit, now_ns)
            if shared_ns <= now_ns:
                self._overflow.pop(limit, None)
        decision, tat_ns = decide(shared_ns, now_ns, limit, cost)
        if tat_ns != shared_ns:
            if self._has_room(now_ns):
                self._tats[key] = tat_ns
                heappush(self._by_tat, (tat_ns, key))
            else:
                self._overflow[limit] = tat_ns
        return decision

    def _has_room(self, now_ns: int) -> bool:
        """Whether one more bucket may be kept, after dropping some that are full again."""
        heap, tats = self._by_tat, self._tats
        for _ in range(_SWEPT_PER_NEW_KEY):
            if not heap or heap[0][0] > now_ns:
                break
            key = heap[0][1]
            tat_ns = tats[key]
            if tat_ns > now_ns:
                heapreplace(heap, (tat_ns, key))
            else:
                heappop(heap)
                del tats[key]
        return len(tats) < self._max_keys
