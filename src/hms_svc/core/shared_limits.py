"""Rate limits that several environments share through a table: a `LimitStore` over a `BucketTable`.

Most decisions ask nobody: what is held (`leases`) is spent, and an empty bucket is known to be empty until the moment
it could have a token. Else one conditional write decides. Where its condition does not hold, the answer shows the
bucket, and the call is refused, or the other kind of write is made: one for a bucket in use, one for a new or full one.

Environments go by their own clocks. One that steps back makes its environment forget all it holds. A TAT further ahead
than the bucket is deep (its limit was lowered, or another clock is ahead) reads as an empty bucket; it is put back to
that only when nobody has written it for `SETTLED_S`. Else two clocks a millisecond apart, or environments that have the
old and the new routes.yml, would give each other room that the limit does not have.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hms_svc.core.gcra import SECOND_NS, decide
from hms_svc.core.ports import Change, StoreUnavailable
from hms_svc.core.quotas import known as known_of
from hms_svc.core.windows import windowed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hms_svc.core.config import Limit
    from hms_svc.core.leases import Known
    from hms_svc.core.ports import Answer, BucketTable, Clock, Decision, Want

MAX_CALLS = 6
"""Of one decision. The third and later ones are for buckets that many environments begin at the same moment."""
BUDGET_S = 0.5
"""After this much time a decision begins no further call."""
SETTLED_S = 60
GIVEN_BACK_NS = 3 * SECOND_NS
"""How far ahead a piece must be to be given back: more than a call to the table can take."""
MAX_KNOWN = 10_000
"""Buckets that are remembered; some 6 MB. What is held of one that is forgotten lapses."""
_JITTER_NS = 10_000_000


class SharedLimits:
    """A `LimitStore`."""

    def __init__(self, table: BucketTable, clock: Clock, *, max_known: int = MAX_KNOWN) -> None:
        self._table = table
        self._clock = clock
        self._max_known = max_known
        self._known: dict[str, tuple[Limit, Known]] = {}
        """The least recently used first."""
        self._wall_ns = self._monotonic_ns = 0

    async def take(self, want: Want) -> Decision:
        """Take what the call costs of the bucket, if it is there. Raises `StoreUnavailable`.

        A cost of 0 asks nobody: what is told is what is known here, a full bucket where nothing is.
        """
        now_ns = self._now_ns()
        key, limit, cost = want = windowed(want, now_ns)
        if cost > limit.burst:
            return decide(now_ns, now_ns, limit, cost)[0]
        known = self._of(key, limit, now_ns)
        if cost == 0:
            return known.left(now_ns)
        known.asked += cost
        return known.spend(now_ns, cost) or await self._acquire(want, known, now_ns) or _spent(known, now_ns, cost)

    async def take_all(self, wants: Sequence[Want]) -> list[Decision]:
        """Take what the call costs of all buckets or, where one refuses, of none. Raises `StoreUnavailable`.

        Those known to be empty refuse for nothing. Of the others the slowest limit is asked first: what was taken of it
        goes back when a faster one refuses, and of a fast one nothing is taken when it does.
        """
        now_ns = self._now_ns()
        wants = [windowed(want, now_ns) for want in wants]
        known = [self._of(want.key, want.limit, now_ns) for want in wants]
        said: list[Decision | None] = []
        for it, (_, limit, cost) in zip(known, wants, strict=True):
            it.asked += cost
            too_much = decide(now_ns, now_ns, limit, cost)[0] if cost > limit.burst else None
            said.append(too_much or (None if it.holds(now_ns, cost) else _believed(it, now_ns, cost)))
        taken: list[int] = []
        for index in sorted(range(len(wants)), key=lambda index: -known[index].figures.interval_ns):
            if _refuses(wants, said):
                break
            if said[index] is None and not known[index].holds(now_ns, wants[index].cost):
                said[index] = await self._acquire(wants[index], known[index], now_ns)
                taken.append(index)
        if _refuses(wants, said):
            for index in taken:
                if said[index] is None:
                    await self._give_back(wants[index], known[index], now_ns)
            # Those that were not asked tell what they know, so that Retry-After is the latest of all.
            return [
                no or (None if it.holds(now_ns, want.cost) else it.refusal(now_ns, want.cost)) or it.left(now_ns)
                for no, it, want in zip(said, known, wants, strict=True)
            ]
        return [no or _spent(it, now_ns, want.cost) for no, it, want in zip(said, known, wants, strict=True)]

    async def _acquire(self, want: Want, known: Known, now_ns: int) -> Decision | None:
        """Hold what the call costs. The decision where it is no; None where it is held."""
        key, _, cost = want
        until_ns = self._clock.monotonic_ns() + round(BUDGET_S * SECOND_NS)
        for _ in range(MAX_CALLS):
            refusal = _believed(known, now_ns, cost)
            if refusal is not None:
                return refusal
            if known.rests(now_ns):
                raise StoreUnavailable("the table did not say a moment ago")
            if self._clock.monotonic_ns() > until_ns:
                break
            change = known.next_change(now_ns, cost)
            try:
                answer = await self._change(key, change, known, now_ns)
            except StoreUnavailable:
                known.unanswered(now_ns)
                raise
            known.learn(change, answer, now_ns)
            if known.holds(now_ns, cost):
                return None
            await self._put_back(key, answer, known, now_ns)
        raise StoreUnavailable("too many decide on one bucket at the same moment")

    async def _put_back(self, key: str, answer: Answer, known: Known, now_ns: int) -> None:
        """A TAT further ahead than can be, to that of an empty bucket, if nobody has written it for `SETTLED_S`."""
        full_ns, bucket = now_ns + known.figures.depth_ns, answer.bucket
        if bucket and bucket.tat_ns > full_ns and now_ns // SECOND_NS - bucket.written_s >= SETTLED_S:
            await self._change(key, Change(full_ns, 0, bucket.tat_ns, bucket.tat_ns), known, now_ns)

    async def _give_back(self, want: Want, known: Known, now_ns: int) -> None:
        change = known.give_back(now_ns, want.cost, GIVEN_BACK_NS)
        if change is not None:
            await self._change(want.key, change, known, now_ns)

    async def _change(self, key: str, change: Change, known: Known, now_ns: int) -> Answer:
        return await self._table.change(key, change, now_ns=now_ns, full_ns=now_ns + known.figures.depth_ns)

    def _of(self, key: str, limit: Limit, now_ns: int) -> Known:
        """What is known of the bucket; nothing at first, and when its limit has become another."""
        kept = self._known.pop(key, None)
        if kept is None or (kept[0] is not limit and kept[0] != limit):
            kept = (limit, known_of(limit, now_ns))
            if len(self._known) >= self._max_known:
                del self._known[next(iter(self._known))]
        self._known[key] = kept
        return kept[1]

    def _now_ns(self) -> int:
        """The wall clock; when it has stepped back, all that went by it is forgotten."""
        wall_ns, monotonic_ns = self._clock.wall_ns(), self._clock.monotonic_ns()
        went_ns = monotonic_ns - self._monotonic_ns
        if wall_ns < self._wall_ns + went_ns - went_ns // 1_000 - _JITTER_NS:
            self._known.clear()
        self._wall_ns, self._monotonic_ns = wall_ns, monotonic_ns
        return wall_ns


def _believed(known: Known, now_ns: int, cost: int) -> Decision | None:
    """No, where that is known without asking."""
    return known.refusal(now_ns, cost) if known.is_trusted(now_ns) else None


def _spent(known: Known, now_ns: int, cost: int) -> Decision:
    decision = known.spend(now_ns, cost)
    if decision is None:
        raise StoreUnavailable("another call of the same moment has spent what this one took")
    return decision


def _refuses(wants: Sequence[Want], said: list[Decision | None]) -> bool:
    """Whether a limit that is not in shadow has said no."""
    return any(no is not None and not want.limit.shadow for want, no in zip(wants, said, strict=True))
