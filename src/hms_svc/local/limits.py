"""Rate limits in the memory of one process: exact, and bounded however many callers come.

At most ``max_keys`` buckets are kept, and as many of calendar windows. Buckets that are full again are dropped first:
one that is not there is a full one, so nothing is forgotten. When all are in use, callers without one share
a bucket of the same limit, the overflow. A caller who then gets a bucket of their own finds in it what was left in the
shared one; so no caller is ever admitted more often than the limit says, flood or not.

Buckets go by the monotonic clock, which never steps. A calendar window goes by the wall clock, and is dropped when it
is long over by both: a wall clock that steps ahead and back again finds what was counted.

For one thread: no method suspends, so decisions never interleave.
"""

from __future__ import annotations

from heapq import heappop, heappush, heapreplace, nlargest
from operator import itemgetter
from typing import TYPE_CHECKING

from hms_svc.core.gcra import SECOND_NS, decide, interval_ns, judged
from hms_svc.core.ports import Want
from hms_svc.core.windows import ROLLING, windowed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hms_svc.core.config import Limit
    from hms_svc.core.ports import Clock, Decision

_SWEPT_PER_NEW_KEY = 8
"""Buckets looked at when one comes: the work of one call is bounded, and still more can go than come."""

_SLACK_NS = 300 * SECOND_NS
"""How long a window is kept when it is over: so far may the wall clock be set back."""


class MemoryLimits:
    """A `LimitStore`. A decision is O(1), the first of a key O(log n)."""

    def __init__(self, clock: Clock, max_keys: int = 100_000) -> None:
        self._monotonic_ns = clock.monotonic_ns
        self._wall_ns = clock.wall_ns
        self._begun_ns = clock.wall_ns() - clock.monotonic_ns()
        """The wall clock's time when the monotonic one was 0, going by the moment this began."""
        self._buckets = _Buckets(max_keys)
        self._windows = _Buckets(max_keys)

    def __len__(self) -> int:
        """How many buckets are kept."""
        return len(self._buckets) + len(self._windows)

    async def take(self, want: Want) -> Decision:
        """Take what a call costs of the bucket if it is there; a cost of 0 looks and writes nothing. Never raises."""
        return self._take(want, self._monotonic_ns(), self._wall_ns())

    async def look(self, want: Want) -> Decision:
        """What the bucket would say of a call of this cost. Never raises."""
        return judged(await self.take(want._replace(cost=0)), want.limit, want.cost)

    async def take_all(self, wants: Sequence[Want]) -> list[Decision]:
        """Take what a call costs of all buckets or, where one refuses, of none. Never raises."""
        now = self._monotonic_ns(), self._wall_ns()
        looked = [judged(self._weigh(want, *now), want.limit, want.cost) for want in wants]
        if any(not it.allowed and not want.limit.shadow for it, want in zip(looked, wants, strict=True)):
            return looked
        return [self._take(want, *now) for want in wants]

    def emptiest(
        self, prefix: str, limit: Limit, count: int, own: Callable[[str], Limit | None] | None = None
    ) -> list[str]:
        """The keys of at most ``count`` buckets of ``limit`` in use that begin with ``prefix``: who lacks most, first.

        ``own`` says by which limit a bucket that refills is kept, if not all by this one; those by none are left out.
        Looks at every bucket: for operators, some 10 ms where there are 100,000, ten times that with ``own``.
        """
        if limit.window == ROLLING:
            return self._buckets.emptiest(prefix, "", self._monotonic_ns(), count, own)
        now_ns = self._wall_ns()
        window = windowed(Want("", limit, 0), now_ns).key
        return [key.removesuffix(window) for key in self._windows.emptiest(prefix, window, now_ns, count)]

    def reset(self, want: Want) -> bool:
        """Make the bucket full; whether it was there and in use. What is shared by callers without one stays."""
        if want.limit.window == ROLLING:
            return self._buckets.reset(want.key, self._monotonic_ns())
        now_ns = self._wall_ns()
        return self._windows.reset(windowed(want, now_ns).key, now_ns)

    def _weigh(self, want: Want, monotonic_ns: int, wall_ns: int) -> Decision:
        if want.limit.window == ROLLING:
            return self._buckets.weigh(want, monotonic_ns)
        return self._windows.weigh(windowed(want, wall_ns), wall_ns)

    def _take(self, want: Want, monotonic_ns: int, wall_ns: int) -> Decision:
        if want.limit.window == ROLLING:
            return self._buckets.take(want, monotonic_ns, monotonic_ns)
        past_ns = min(wall_ns, monotonic_ns + self._begun_ns) - _SLACK_NS
        return self._windows.take(windowed(want, wall_ns), wall_ns, past_ns)


class _Buckets:
    """Buckets by one clock. What was full by ``past_ns`` may be forgotten."""

    def __init__(self, max_keys: int) -> None:
        self._max_keys = max_keys
        self._tats: dict[str, int] = {}
        self._by_tat: list[tuple[int, str]] = []
        """A heap with each key once, and a TAT that it had: its own has only grown since, or shrunk with its limit."""
        self._overflow: dict[Limit, int] = {}

    def __len__(self) -> int:
        return len(self._tats) + len(self._overflow)

    def emptiest(
        self, prefix: str, suffix: str, now_ns: int, count: int, own: Callable[[str], Limit | None] | None = None
    ) -> list[str]:
        in_use = (
            (key, tat_ns)
            for key, tat_ns in self._tats.items()
            if tat_ns > now_ns and key.startswith(prefix) and key.endswith(suffix)
        )
        if own is None:
            return [key for key, _ in nlargest(count, in_use, key=itemgetter(1))]
        lacking = ((_share(limit, tat_ns - now_ns), key) for key, tat_ns in in_use if (limit := own(key)))
        return [key for _, key in nlargest(count, lacking)]

    def reset(self, key: str, now_ns: int) -> bool:
        tat_ns = self._tats.get(key, 0)
        if tat_ns:
            self._tats[key] = 0
        return tat_ns > now_ns

    def look(self, want: Want, now_ns: int) -> Decision:
        """Whose limit it is looked at by may be another than the bucket is kept by: so nothing is written."""
        return decide(self._tat_ns(want, now_ns), now_ns, want.limit, 0)[0]

    def weigh(self, want: Want, now_ns: int) -> Decision:
        """As `look`, for a call, by the bucket's own limit: when that was lowered, the bucket is but an empty one."""
        decision, kept_ns = decide(self._tat_ns(want, now_ns), now_ns, want.limit, 0)
        if want.key in self._tats:
            self._tats[want.key] = kept_ns
        return decision

    def take(self, want: Want, now_ns: int, past_ns: int) -> Decision:
        key, limit, cost = want
        if not cost:
            return self.look(want, now_ns)
        tat_ns = self._tats.get(key)
        if tat_ns is None:
            return self._first(want, now_ns, past_ns)
        decision, self._tats[key] = decide(tat_ns, now_ns, limit, cost)
        return decision

    def _tat_ns(self, want: Want, now_ns: int) -> int:
        tat_ns = self._tats.get(want.key)
        return self._overflow.get(want.limit, now_ns) if tat_ns is None else tat_ns

    def _first(self, want: Want, now_ns: int, past_ns: int) -> Decision:
        """The decision on a key that has no bucket of its own yet."""
        key, limit, cost = want
        shared_ns = now_ns
        if self._overflow:
            shared_ns = self._overflow.get(limit, now_ns)
            if shared_ns <= past_ns:
                self._overflow.pop(limit, None)
        decision, tat_ns = decide(shared_ns, now_ns, limit, cost)
        if tat_ns != shared_ns:
            if self._has_room(past_ns):
                self._tats[key] = tat_ns
                heappush(self._by_tat, (tat_ns, key))
            else:
                self._overflow[limit] = tat_ns
        return decision

    def _has_room(self, past_ns: int) -> bool:
        """Whether one more bucket may be kept, after dropping some that are full again."""
        heap, tats = self._by_tat, self._tats
        for _ in range(_SWEPT_PER_NEW_KEY):
            if not heap or heap[0][0] > past_ns:
                break
            key = heap[0][1]
            tat_ns = tats[key]
            if tat_ns > past_ns:
                heapreplace(heap, (tat_ns, key))
            else:
                heappop(heap)
                del tats[key]
        return len(tats) < self._max_keys


def _share(limit: Limit, missing_ns: int) -> float:
    """How much of a bucket is gone: 1 for all."""
    return missing_ns / (limit.burst * interval_ns(limit.limit, limit.period_s))
