"""Rate limits that several environments share through a table: a `LimitStore` over a `BucketTable`.

Most decisions ask nobody: what is held (`leases`) is spent, and an empty bucket is known to be empty until the moment
it could have a token. Else one conditional write decides. Where its condition does not hold, the answer shows the
bucket, and the call is refused, or the other kind of write is made: one for a bucket in use, one for a new or full one.

Environments go by their own clocks. One that steps back makes its environment forget all it holds. A TAT further ahead
than the bucket is deep (its limit was lowered, or another clock is ahead) reads as an empty bucket. Only when it was
written `SETTLED_S` ago it is put back, to that of a bucket that was empty then. Else two clocks a millisecond apart, or
environments that have the old and the new routes.yml, would give each other room that the limit does not have.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from hms_svc.core.gcra import SECOND_NS, decide
from hms_svc.core.ports import Change, Decision, StoreUnavailable
from hms_svc.core.quotas import known as known_of
from hms_svc.core.windows import ROLLING, windowed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hms_svc.core.config import Limit
    from hms_svc.core.leases import Known
    from hms_svc.core.ports import Answer, BucketTable, Clock, Want

MAX_CALLS = 6
"""Of one decision on one bucket. The third and later ones are for buckets that many environments begin at the same
moment."""
BUDGET_S = 0.5
"""After this much time a decision begins no further call,"""
GIVING_BACK_S = 1.3
"""but to give back: such a call is made once, so it ends no later than another that began in time."""
SETTLED_S = 60
GIVEN_BACK_NS = 3 * SECOND_NS
"""How far ahead a piece must be to be given back: more than a decision can take."""
MAX_KNOWN = 10_000
"""Buckets that are remembered; some 6 MB. What is held of one that is forgotten lapses."""
_JITTER_NS = 10_000_000
_RESTS = "the table did not say a moment ago"
_OVERTAKEN = "another call of the same moment has spent what this one took"
_A_LOOK = Change(0, 0, -1, -1)
"""A change that is never made: its answer shows the bucket."""


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
        said = known.spend(now_ns, cost) or await self._acquire(want, known, now_ns, self._monotonic_ns)
        return said or _spent(known, now_ns, cost)

    async def look(self, want: Want) -> Decision:
        """What the bucket would say of a call of this cost, going by what is known here; never raises.

        A bucket that was not seen for a while is looked at. Where that cannot be done it is taken for a full one.
        """
        now_ns = self._now_ns()
        want = windowed(want, now_ns)
        if want.cost > want.limit.burst:
            return decide(now_ns, now_ns, want.limit, want.cost)[0]
        return await self._unasked(self._of(want.key, want.limit, now_ns), want, now_ns, self._monotonic_ns)

    async def take_all(self, wants: Sequence[Want]) -> list[Decision]:
        """Take what the call costs of all buckets or, where one refuses, of none. Never raises.

        Those known to be empty refuse for nothing. Of the others the slowest limit is asked first: what was taken of it
        goes back when a faster one refuses, and of a fast one nothing is taken when it does.
        """
        now_ns = self._now_ns()
        begun_ns = self._monotonic_ns
        wants = [windowed(want, now_ns) for want in wants]
        known = [self._of(want.key, want.limit, now_ns) for want in wants]
        said = [_said_already(it, want, now_ns) for it, want in zip(known, wants, strict=True)]
        taken: list[int] = []
        for index in sorted(range(len(wants)), key=lambda index: -known[index].figures.interval_ns):
            if _refuses(wants, said):
                break
            if said[index] is None and not known[index].holds(now_ns, wants[index].cost):
                try:
                    said[index] = await self._acquire(wants[index], known[index], now_ns, begun_ns)
                except StoreUnavailable as error:
                    said[index] = _undecided(str(error))
                taken.append(index)
        if _refuses(wants, said):
            for index in taken:
                if said[index] is None:
                    await self._give_back(wants[index], known[index], now_ns, begun_ns)
            return await self._refused(wants, known, said, now_ns, begun_ns)
        return [no or _spent_if_there(it, now_ns, want.cost) for no, it, want in zip(said, known, wants, strict=True)]

    async def _refused(
        self, wants: Sequence[Want], known: list[Known], said: list[Decision | None], now_ns: int, begun_ns: int
    ) -> list[Decision]:
        """What each says of a call that one refuses: those that were not asked, too, so Retry-After is the latest."""
        return [
            no or await self._unasked(it, want, now_ns, begun_ns)
            for no, it, want in zip(said, known, wants, strict=True)
        ]

    async def _unasked(self, known: Known, want: Want, now_ns: int, begun_ns: int) -> Decision:
        """What a bucket would have said, going by what is known of it; after a look where that is nothing."""
        if known.holds(now_ns, want.cost):
            return known.left(now_ns)
        if not known.is_trusted(now_ns) and not known.rests(now_ns) and self._is_within(BUDGET_S, begun_ns):
            try:
                known.saw(await self._change(want.key, _A_LOOK, known, now_ns), now_ns)
            except StoreUnavailable:
                known.unanswered(now_ns)
        return known.refusal(now_ns, want.cost) or known.left(now_ns)

    async def _acquire(self, want: Want, known: Known, now_ns: int, begun_ns: int) -> Decision | None:
        """Hold what the call costs. The decision where it is no; None where it is held."""
        key, _, cost = want
        for _ in range(MAX_CALLS):
            refusal = _believed(known, now_ns, cost)
            if refusal is not None:
                return refusal
            if known.rests(now_ns):
                raise StoreUnavailable(_RESTS)
            if not self._is_within(BUDGET_S, begun_ns):
                raise StoreUnavailable("the table is too slow for a decision in time")
            change = known.next_change(now_ns, cost)
            try:
                answer = await self._change(key, change, known, now_ns)
            except StoreUnavailable:
                known.unanswered(now_ns)
                raise
            known.learn(change, answer, now_ns)
            if known.holds(now_ns, cost):
                return None
            await self._put_back(key, answer, known, now_ns, begun_ns)
        raise StoreUnavailable("too many decide on one bucket at the same moment")

    async def _put_back(self, key: str, answer: Answer, known: Known, now_ns: int, begun_ns: int) -> None:
        """A TAT further ahead than can be, to that of a bucket that was empty when it was written, `SETTLED_S` ago.

        Nobody was admitted since. Where that cannot be done now, the bucket is taken for an empty one.
        """
        depth_ns, bucket = known.figures.depth_ns, answer.bucket
        if not bucket or bucket.tat_ns <= now_ns + depth_ns or now_ns // SECOND_NS - bucket.written_s < SETTLED_S:
            return
        empty_then_ns = (bucket.written_s + 1) * SECOND_NS + depth_ns
        if self._is_within(BUDGET_S, begun_ns):
            with suppress(StoreUnavailable):
                change = Change(empty_then_ns, 0, bucket.tat_ns, bucket.tat_ns)
                known.was_put_back(await self._change(key, change, known, now_ns), now_ns)

    async def _give_back(self, want: Want, known: Known, now_ns: int, begun_ns: int) -> None:
        """Undo what the call has taken here. Where that cannot be done it is lost to all, or lapses."""
        change = known.give_back(now_ns, want.cost, GIVEN_BACK_NS)
        if change is not None and self._is_within(GIVING_BACK_S, begun_ns):
            with suppress(StoreUnavailable):
                await self._change(want.key, change, known, now_ns)

    async def _change(self, key: str, change: Change, known: Known, now_ns: int) -> Answer:
        return await self._table.change(key, change, now_ns=now_ns, full_ns=now_ns + known.figures.depth_ns)

    def _is_within(self, seconds: float, begun_ns: int) -> bool:
        """Whether so little time has passed since a decision began."""
        return self._clock.monotonic_ns() <= begun_ns + round(seconds * SECOND_NS)

    def _of(self, key: str, limit: Limit, now_ns: int) -> Known:
        """What is known of the bucket; nothing at first, and when its limit has become another.

        Plans share the bucket of a calendar window, and each has its own idea of how much of it there is.
        """
        if limit.plan and limit.window != ROLLING:
            key = f"{key}:{limit.plan}"
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


def _said_already(known: Known, want: Want, now_ns: int) -> Decision | None:
    """What is known without asking: no, or that the table is not to be asked. None where it is held, or unknown."""
    cost = want.cost
    known.asked += cost
    if cost > want.limit.burst:
        return decide(now_ns, now_ns, want.limit, cost)[0]
    if known.holds(now_ns, cost):
        return None
    return _believed(known, now_ns, cost) or (_undecided(_RESTS) if known.rests(now_ns) else None)


def _believed(known: Known, now_ns: int, cost: int) -> Decision | None:
    """No, where that is known without asking."""
    return known.refusal(now_ns, cost) if known.is_trusted(now_ns) else None


def _undecided(fault: str) -> Decision:
    return Decision(False, 0, 0, None, fault)


def _spent(known: Known, now_ns: int, cost: int) -> Decision:
    decision = known.spend(now_ns, cost)
    if decision is None:
        raise StoreUnavailable(_OVERTAKEN)
    return decision


def _spent_if_there(known: Known, now_ns: int, cost: int) -> Decision:
    return known.spend(now_ns, cost) or _undecided(_OVERTAKEN)


def _refuses(wants: Sequence[Want], said: list[Decision | None]) -> bool:
    """Whether the call ends here: a limit that is not in shadow has said no, or cannot decide and denies then."""
    return any(
        no is not None and not want.limit.shadow and (not no.fault or want.limit.on_error == "deny")
        for want, no in zip(wants, said, strict=True)
    )
