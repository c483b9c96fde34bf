"""What one environment knows of the shared bucket of a calendar window: a count, that nothing comes back to.

Tokens do not lapse here as those of `leases` do, and one is like another. So none is taken before it is needed, and one
that another limit has refused goes back whatever others have taken since.

All moments are by the wall clock; the bucket's own stands still at the end of its window (see `gcra`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hms_svc.core.gcra import SECOND_NS
from hms_svc.core.leases import Figures, Known
from hms_svc.core.ports import Change, Decision
from hms_svc.core.windows import CALENDAR, end_ns

if TYPE_CHECKING:
    from hms_svc.core.config import Limit
    from hms_svc.core.ports import Answer

FIRST_NS = 10**18
"""The length of a token, for the order in which several limits are asked: quotas first, as they can be given back."""
_MOST = SECOND_NS
"""Tokens; no quota is as large, so no TAT is further ahead of the window's end."""


def known(limit: Limit, now_ns: int) -> Known:
    """What is known of a bucket of which nothing is known yet."""
    return KnownQuota(limit, now_ns) if limit.window == CALENDAR else Known(limit, now_ns)


class KnownQuota(Known):
    """One environment's knowledge of one window's bucket. Nothing of it is leased."""

    __slots__ = ("_burst", "_closes_ns", "_held")

    def __init__(self, limit: Limit, now_ns: int) -> None:
        super().__init__(limit, now_ns)
        self._closes_ns = end_ns(limit.period_s, now_ns)
        self._burst = limit.burst
        self._held = 0
        """Tokens that were taken and not spent."""
        self.figures = Figures(FIRST_NS, self._closes_ns - now_ns + 2 * _MOST, 0, 1)

    def spend(self, now_ns: int, cost: int) -> Decision | None:
        """Yes, out of what is held; None where that is not enough."""
        if self._held < cost:
            return None
        self._held -= cost
        return self.left(now_ns)

    def holds(self, now_ns: int, cost: int) -> bool:  # noqa: ARG002  (what is held of a quota does not lapse)
        """Whether that much could be spent."""
        return self._held >= cost

    def left(self, now_ns: int) -> Decision:
        """What there is, as far as is known here."""
        free = self._burst - max(self.tat_ns - self._closes_ns, 0)
        return Decision(True, max(free, 0) + self._held, self._closes_ns - now_ns)

    def refusal(self, now_ns: int, cost: int) -> Decision | None:
        """No, going by what was seen last; None where there was enough, or nothing was seen."""
        missing = cost - self._held
        if max(self.tat_ns, self._closes_ns) + missing <= self._closes_ns + self._burst:
            return None
        left = self.left(now_ns)
        return Decision(False, min(left.remaining, cost - 1), left.reset_ns, left.reset_ns)

    def next_change(self, now_ns: int, cost: int) -> Change:  # noqa: ARG002  (the window decides, not the moment)
        """What to write to hold ``cost`` tokens."""
        missing, closes_ns = cost - self._held, self._closes_ns
        if self.tat_ns >= closes_ns:
            return Change(missing, missing, closes_ns, closes_ns + self._burst - missing, is_added=True)
        return Change(closes_ns + missing, missing, 0, closes_ns - 1, or_absent=True)

    def saw(self, answer: Answer, now_ns: int) -> None:
        """Take in how the bucket stands."""
        super().saw(answer, now_ns)
        self.tat_ns = answer.bucket.tat_ns if answer.bucket else 0

    def learn(self, change: Change, answer: Answer, now_ns: int) -> None:
        """Take in what came of ``change``."""
        self.saw(answer, now_ns)
        if answer.made:
            self._held += change.piece_ns

    def give_back(self, now_ns: int, cost: int, margin_ns: int) -> Change | None:  # noqa: ARG002  (nothing lapses)
        """How to undo what a call has taken that another limit refused."""
        if self._held < cost:
            return None
        self._held -= cost
        self.tat_ns -= cost
        return Change(-cost, 0, self._closes_ns + cost, self._closes_ns + _MOST, is_added=True, is_once=True)
