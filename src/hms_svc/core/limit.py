"""The step that counts a call against its route's limits, and what the answer says of them.

The most restrictive limit decides, and a call that one limit refuses takes nothing of the others: the store takes all
or none. A limit in shadow counts and is recorded; it never refuses, and the caller is told nothing of it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from hms_svc.core.entry import LimitVerdict
from hms_svc.core.errors import TooManyCalls, Unavailable
from hms_svc.core.gcra import SECOND_NS
from hms_svc.core.limit_keys import bucket_key, policy_name
from hms_svc.core.plans import planned
from hms_svc.core.ports import Decision, StoreUnavailable, Want
from hms_svc.core.windows import CALENDAR, MONTH_S

if TYPE_CHECKING:
    from hms_svc.core.entry import Entry
    from hms_svc.core.model import Caller, Limit, Route
    from hms_svc.core.ports import LimitStore

Lines = tuple[tuple[str, str], ...]


class _Answered(NamedTuple):
    """What one limit said."""

    policy: str
    """As in ``RateLimit-Policy`` (draft-ietf-httpapi-ratelimit-headers): its name, quota and window in seconds."""
    limit: Limit
    decision: Decision | None
    """None: the store did not say, and the limit lets calls pass then."""
    error: str = ""


class Limiter:
    """Counts calls in ``store``; in ``fallback``, this environment's own, while the store is down."""

    def __init__(self, store: LimitStore, fallback: LimitStore) -> None:
        self._store = store
        self._fallback = fallback

    async def take(self, route: Route, caller: Caller, ip: str, entry: Entry) -> Lines:
        """Take what this call costs: the header lines its answer carries.

        Raises `TooManyCalls` when a limit refuses and `Unavailable` when one cannot be decided and says ``deny``.
        """
        if not route.limits:
            return ()
        limits = [planned(limit, caller) if limit.plans else limit for limit in route.limits]
        wants = [
            Want(bucket_key(route.name, i, limit, caller, ip), limit, limit.cost) for i, limit in enumerate(limits)
        ]
        answered = await self._ask(wants)
        for policy, limit, decision, error in answered:
            allowed, remaining = (decision.allowed, decision.remaining) if decision else (True, 0)
            entry.limits.append(LimitVerdict(limit.per, policy, allowed, remaining, limit.shadow, error))
        return _told([(it, it.decision) for it in answered if it.decision is not None and not it.limit.shadow])

    async def _ask(self, wants: list[Want]) -> list[_Answered]:
        """What the store says of the call; when it cannot say, what the limits want then."""
        try:
            decisions: dict[int, Decision] = await _taken(self._store, dict(enumerate(wants)))
            broken = ""
        except StoreUnavailable as error:
            broken = f"the limit store is unavailable: {error}"
            decisions = await self._without_store(wants, broken)
        return [
            _Answered(
                _policy(i, it.limit.name, it.limit.limit, _window_s(it.limit)), it.limit, decisions.get(i), broken
            )
            for i, it in enumerate(wants)
        ]

    async def _without_store(self, wants: list[Want], broken: str) -> dict[int, Decision]:
        """The decisions of those limits that are counted here then; the others let the call pass, or one refuses it."""
        local = {i: it for i, it in enumerate(wants) if it.limit.on_error == "local"}
        if any(it.limit.on_error == "deny" and not it.limit.shadow for it in wants):
            raise Unavailable(cause=broken)
        try:
            return await _taken(self._fallback, local)
        except StoreUnavailable as error:
            if all(it.limit.shadow for it in local.values()):
                return {}
            raise Unavailable(cause=f"{broken}; and here: {error}") from error


async def _taken(store: LimitStore, wants: dict[int, Want]) -> dict[int, Decision]:
    """What ``store`` says of each. One limit is the usual case, and has a way of its own."""
    if len(wants) == 1:
        ((index, want),) = wants.items()
        return {index: await store.take(want)}
    return dict(zip(wants, await store.take_all(list(wants.values())), strict=True)) if wants else {}


def _window_s(limit: Limit) -> int:
    """The length of its window; 0 for calendar months, of which not all have the same."""
    return 0 if limit.window == CALENDAR and limit.period_s == MONTH_S else limit.period_s


@lru_cache(maxsize=1_024)
def _policy(index: int, name: str, quota: int, window_s: int) -> str:
    """One item of ``RateLimit-Policy``. Its ``w`` is optional."""
    return f'"{policy_name(index, name)}";q={quota}{f";w={window_s}" if window_s else ""}'


def _told(shown: list[tuple[_Answered, Decision]]) -> Lines:
    """What the caller is told of these limits: header lines, or a refusal that carries them."""
    if not shown:
        return ()
    refusing = [decision for _, decision in shown if not decision.allowed]
    tightest, left = min(shown, key=_restriction) if len(shown) > 1 else shown[0]
    full_s = _whole_seconds(left.reset_ns)
    name = tightest.policy.partition(";")[0]
    lines: Lines = (
        ("RateLimit-Policy", ", ".join([it.policy for it, _ in shown])),
        ("RateLimit", f"{name};r={left.remaining};t={full_s}"),
    )
    if tightest.limit.legacy_headers:
        lines += (
            ("X-RateLimit-Limit", str(tightest.limit.limit)),
            ("X-RateLimit-Remaining", str(left.remaining)),
            ("X-RateLimit-Reset", str(full_s)),
        )
    if not refusing:
        return lines
    waits = [decision.retry_ns for decision in refusing if decision.retry_ns is not None]
    if len(waits) == len(refusing):
        lines += (("Retry-After", str(_whole_seconds(max(waits)))),)
    raise TooManyCalls(headers=lines)


def _restriction(pair: tuple[_Answered, Decision]) -> tuple[bool, float, int]:
    """Sorts the most restrictive limit first: refuses, and for longest; else has the fewest calls left."""
    answered, decision = pair
    if decision.allowed:
        return True, decision.remaining // max(answered.limit.cost, 1), -decision.reset_ns
    return False, -decision.retry_ns if decision.retry_ns is not None else float("-inf"), 0


def _whole_seconds(ns: int) -> int:
    """Rounded up: at that second it has happened."""
    return -(-ns // SECOND_NS)
