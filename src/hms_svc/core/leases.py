"""What one environment knows of one shared bucket: what it holds of it, how fast it spends, when asking is of use.

A bucket is a timeline, as in `gcra`: the TAT is its end, and a token is a piece of it one interval long. **A token may
be spent up to the moment at which its piece begins; from then on it lies in the past, spent or not.** Whoever moves the
TAT from *a* to *b*, *a* not in the past and *b* no further ahead than the bucket is deep, holds the piece between,
alone. So the calls admitted from *s* to *e* have pieces that begin after *s* and end before *e* plus the depth, none
twice: never more than burst + rate * time, however many environments hold how much.

A lease is a piece of several tokens, taken by one write. What is not spent of it lapses by itself.

Times are nanoseconds by the environment's clock. Nothing here waits or writes: `next_change` says what to write,
`learn` is told what came of it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from hms_svc.core.gcra import SECOND_NS, interval_ns
from hms_svc.core.ports import Change, Decision

if TYPE_CHECKING:
    from hms_svc.core.config import Limit
    from hms_svc.core.ports import Answer

LEASED_FROM = 10
"""Tokens a second. A slower limit is kept token by token: what lies unused of it would be long in coming back."""
HOLD_NS = SECOND_NS // 2
"""For how long a lease is meant to last at most, but for keys that the table cannot keep up with."""
HOLD_SHARE, LEASE_SHARE = 3, 8
"""A lease lasts a third of the time the bucket takes to fill, and is an eighth of the burst, at most."""
WAIT_NS, WAIT_SHARE = 2 * SECOND_NS, 2
"""How long an environment lets others go first: at most, and at most half the time the bucket takes to fill."""
LATE_SHARE = 3
"""Of the lease it asked for an environment asks for so small a part when others were quicker."""
REST_NS, MAX_REST_NS = SECOND_NS // 20, 2 * SECOND_NS
TRUSTED_NS = 30 * SECOND_NS
"""For how long an empty bucket is taken to be on its way to full without a look: somebody may have reset it."""
_SMALLEST_LEASE = 2


class Figures(NamedTuple):
    """A limit in nanoseconds."""

    interval_ns: int
    depth_ns: int
    """How far ahead the TAT of an empty bucket is."""
    hold_ns: int
    """For how long a lease is meant to last as long as the table keeps up; 0: token by token."""
    max_lease: int
    """Tokens."""


@lru_cache(maxsize=4_096)
def figures(limit: Limit) -> Figures:
    """What follows from a limit."""
    one_ns = interval_ns(limit.limit, limit.period_s)
    depth_ns = limit.burst * one_ns
    max_lease = limit.burst // LEASE_SHARE
    if limit.limit < LEASED_FROM * limit.period_s or max_lease < _SMALLEST_LEASE:
        return Figures(one_ns, depth_ns, 0, 1)
    return Figures(one_ns, depth_ns, min(HOLD_NS, depth_ns // HOLD_SHARE), max_lease)


class Known:
    """One environment's knowledge of one bucket."""

    __slots__ = (
        "_end_ns",
        "_hold_ns",
        "_in_use",
        "_rest_ns",
        "_rested_ns",
        "_seen_ns",
        "_since_ns",
        "_size",
        "_start_ns",
        "_try_ns",
        "_wait_ns",
        "asked",
        "figures",
        "tat_ns",
    )

    def __init__(self, limit: Limit, now_ns: int) -> None:
        self.figures = figures(limit)
        self.tat_ns = 0
        """As it was last seen; the bucket's own is no smaller, unless somebody has reset it."""
        self._seen_ns = -TRUSTED_NS
        self._in_use = False
        """Whether others were found to use it when it could have been full: a guess at what the next change finds."""
        self._start_ns = self._end_ns = 0
        """The piece that is held and not spent yet."""
        self._hold_ns = self.figures.hold_ns
        self._size = 0
        """Tokens that the last change was meant to bring."""
        self.asked, self._since_ns = 0, now_ns
        """Tokens that calls have cost since then: how fast this environment would spend."""
        self._rest_ns = self._rested_ns = 0
        """Until when the table is not asked, because it has just not answered; for how long that was."""
        self._try_ns = self._wait_ns = 0
        """Not before this moment is it worth asking again; how long others are given their turn."""

    def spend(self, now_ns: int, cost: int) -> Decision | None:
        """Yes, out of what is held; None where that is not enough."""
        start_ns = max(now_ns, self._start_ns)
        end_ns = start_ns + cost * self.figures.interval_ns
        if end_ns > self._end_ns:
            return None
        self._start_ns = end_ns
        return self.left(now_ns)

    def holds(self, now_ns: int, cost: int) -> bool:
        """Whether that much could be spent."""
        return max(self._start_ns, now_ns) + cost * self.figures.interval_ns <= self._end_ns

    def left(self, now_ns: int) -> Decision:
        """What there is, as far as is known here: in the bucket, and of the piece."""
        one_ns, depth_ns, _, _ = self.figures
        tat_ns = max(now_ns, self.tat_ns)
        held_ns = self._end_ns - max(now_ns, self._start_ns)
        free_ns = now_ns + depth_ns - tat_ns + max(0, held_ns)
        return Decision(True, free_ns // one_ns if free_ns > 0 else 0, tat_ns - now_ns)

    def is_trusted(self, now_ns: int) -> bool:
        """Whether the bucket was seen, and so lately that a refusal is believed."""
        return now_ns < self._seen_ns + TRUSTED_NS

    def refusal(self, now_ns: int, cost: int) -> Decision | None:
        """No, going by what was seen last; None where there was enough, or nothing was seen."""
        free_ns = max(self.tat_ns + cost * self.figures.interval_ns - self.figures.depth_ns, self._try_ns)
        if free_ns <= now_ns:
            return None
        left = self.left(now_ns)
        return Decision(False, min(left.remaining, cost - 1), left.reset_ns, free_ns - now_ns)

    def next_change(self, now_ns: int, cost: int) -> Change:
        """What to write to hold ``cost`` tokens, and more where they will be spent soon."""
        one_ns, depth_ns, hold_ns = self.figures.interval_ns, self.figures.depth_ns, self._hold_ns
        tokens, skip_ns = cost, 0
        if hold_ns:
            room = (now_ns + depth_ns - max(self.tat_ns, now_ns)) // one_ns
            tokens = max(min(self._lease(now_ns, cost), room), cost)
            if tokens > cost:  # a slow spender takes its tokens from further ahead, so that none lapses before its turn
                lasts_ns = tokens * (now_ns - self._since_ns) // max(self.asked, cost)
                skip_ns = min(max(lasts_ns - tokens * one_ns, 0), hold_ns)
        piece_ns, low_ns = tokens * one_ns, now_ns + skip_ns // 2
        if self.tat_ns >= low_ns or (self._in_use and self.tat_ns):
            return Change(piece_ns, piece_ns, low_ns, now_ns + depth_ns - piece_ns, is_added=True)
        return Change(now_ns + skip_ns + piece_ns, piece_ns, 0, low_ns - 1, or_absent=True)

    def saw(self, answer: Answer, now_ns: int) -> None:
        """Take in how the bucket stands."""
        self._seen_ns = now_ns
        self._rest_ns = self._rested_ns = 0
        self.tat_ns = min(answer.bucket.tat_ns, now_ns + self.figures.depth_ns) if answer.bucket else 0

    def was_put_back(self, answer: Answer, now_ns: int) -> None:
        """Take in how the bucket stands now that it has been put back; whoever was waited for is done."""
        self.saw(answer, now_ns)
        self._try_ns = self._wait_ns = 0

    def learn(self, change: Change, answer: Answer, now_ns: int) -> None:
        """Take in what came of ``change``."""
        before_ns = self.tat_ns
        self.saw(answer, now_ns)
        if not (change.is_added and answer.made):
            self._in_use = change.or_absent and not answer.made
        if answer.made:
            self._hold_ns = max(self.figures.hold_ns, self._hold_ns - self._hold_ns // 32)
            self._hold(self.tat_ns - change.piece_ns, self.tat_ns)
            self.asked, self._since_ns = 0, now_ns
        self._pace(now_ns, was_late=not answer.made and self.tat_ns != before_ns)

    def unanswered(self, now_ns: int) -> None:
        """The table did not say: leave the bucket alone for a while, each time for longer, lest a hot one stays so.

        Leases last longer from now on, up to three quarters of the time the bucket takes to fill; with each write that
        succeeds a little less again. So of a key that too many environments ask for each comes to ask less often.
        """
        self._rested_ns = min(max(2 * self._rested_ns, REST_NS), MAX_REST_NS)
        self._rest_ns = now_ns + self._rested_ns
        self._hold_ns = min(self._hold_ns * 3 // 2, self.figures.depth_ns * 3 // 4)

    def rests(self, now_ns: int) -> bool:
        """Whether the table is not to be asked now."""
        return now_ns < self._rest_ns

    def give_back(self, now_ns: int, cost: int, margin_ns: int) -> Change | None:
        """How to undo what a call has taken that another limit refused; None where it is better left to lapse.

        All later pieces move by its length then, so they must have been spent by the time the change arrives: only a
        piece further ahead than ``margin_ns`` goes back, else only if there is no later one. And only one of a bucket
        of which nobody holds leases.
        """
        piece_ns, end_ns = cost * self.figures.interval_ns, self._end_ns
        if self.figures.hold_ns or self._start_ns + piece_ns > end_ns:
            return None
        self._end_ns -= piece_ns
        self.tat_ns -= piece_ns
        self._try_ns = 0
        if self._start_ns < now_ns + margin_ns:
            return Change(self._end_ns, 0, end_ns, end_ns, is_once=True)
        low_ns, high_ns = self._start_ns + piece_ns, now_ns + 2 * self.figures.depth_ns
        return Change(-piece_ns, 0, low_ns, high_ns, is_added=True, is_once=True)

    def _hold(self, start_ns: int, end_ns: int) -> None:
        """The piece held is this one from now on, together with an older one that it goes on from."""
        if self._end_ns != start_ns:
            self._start_ns = start_ns
        self._end_ns = end_ns

    def _lease(self, now_ns: int, cost: int) -> int:
        """Tokens to ask for: what will be spent while a lease lasts, and at most twice what was asked for before."""
        most, hold_ns = self.figures.max_lease, self._hold_ns
        elapsed_ns = now_ns - self._since_ns
        wanted = self.asked * hold_ns // elapsed_ns if elapsed_ns > 0 else most
        self._size = max(min(2 * self._size, wanted, most), 1)
        return max(self._size, cost)

    def _pace(self, now_ns: int, *, was_late: bool) -> None:
        """Where the bucket has less than half a lease, ask again when it has; twice as late when others were first.

        So environments that compete for a bucket come to ask in turn, each for a piece that is worth a write. Who was
        late asks for less: a full lease is what a bucket that others empty never has. Nobody waits for more than what
        comes back while a lease lasts, and token by token for no more than one.
        """
        one_ns, depth_ns, hold_ns, _ = self.figures
        enough_ns = max(min(self._size // 2, hold_ns // one_ns), 1) * one_ns
        free_ns = self.tat_ns + enough_ns - depth_ns
        if free_ns <= now_ns or not hold_ns:
            self._wait_ns //= 2
            self._try_ns = 0
            return
        if was_late:
            self._size //= LATE_SHARE
            self._wait_ns = min(2 * self._wait_ns + enough_ns, depth_ns // WAIT_SHARE, WAIT_NS)
        self._try_ns = max(free_ns, now_ns + self._wait_ns)
