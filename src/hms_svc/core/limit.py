"""The step that counts a call against its route's limits, and what the answer says of them.

The most restrictive limit decides, and a call that one limit refuses takes nothing of the others: the store takes all
or none. A limit in shadow counts and is recorded; it never refuses, and the caller is told nothing of it.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import count
from typing import TYPE_CHECKING

from hms_svc.core.entry import LimitVerdict
from hms_svc.core.errors import TooManyCalls, Unavailable
from hms_svc.core.gcra import SECOND_NS
from hms_svc.core.limit_keys import wants
from hms_svc.core.ports import StoreUnavailable

if TYPE_CHECKING:
    from hms_svc.core.entry import Entry
    from hms_svc.core.model import Caller, Limit, Route
    from hms_svc.core.ports import Decision, LimitStore, Want

Lines = tuple[tuple[str, str], ...]


class Limiter:
    """Counts calls in ``store``; in ``fallback``, this environment's own, while the store is down."""

    def __init__(self, store: LimitStore, fallback: LimitStore) -> None:
        self._store = store
        self._fallback = fallback

    async def take(self, route: Route, caller: Caller, ip: str, entry: Entry) -> Lines:
        """Take what this call costs: the header lines its answer carries.

        Raises `TooManyCalls` when a limit refuses and `Unavailable` when one cannot be decided and says ``deny``.
        """
        limits = route.limits
        if not limits:
            return ()
        calls = wants(route, caller, ip)
        try:
            said = await _taken(self._store, calls)
        except StoreUnavailable as error:
            return await self._without_store(limits, calls, f"the limit store is unavailable: {error}", entry)
        for i, (allowed, remaining, _, _) in enumerate(said):
            limit = limits[i]
            entry.limits.append(
                LimitVerdict(limit.per, _policy(i, limit.limit, limit.period_s), allowed, remaining, limit.shadow)
            )
        return _told([it for it in zip(count(), limits, said) if not it[1].shadow])

    async def _without_store(self, limits: tuple[Limit, ...], calls: list[Want], broken: str, entry: Entry) -> Lines:
        """What each limit's ``on_error`` says, recorded with what is ``broken``."""
        closing = [i for i, limit in enumerate(limits) if limit.on_error == "deny"]
        here = [i for i, limit in enumerate(limits) if limit.on_error == "local"]
        local: dict[int, Decision] = {}
        if all(limits[i].shadow for i in closing):  # else the call ends here, and takes nothing
            try:
                local = dict(zip(here, await _taken(self._fallback, [calls[i] for i in here]), strict=True))
            except StoreUnavailable as error:
                broken = f"{broken}; and here: {error}"
                closing += here
        for i, limit in enumerate(limits):
            decision = local.get(i)
            allowed, remaining = (decision.allowed, decision.remaining) if decision else (i not in closing, 0)
            on_error = "deny" if i in closing else limit.on_error
            verdict = LimitVerdict(
                limit.per, _policy(i, limit.limit, limit.period_s), allowed, remaining, limit.shadow, broken, on_error
            )
            entry.limits.append(verdict)
        if any(not limits[i].shadow for i in closing):
            raise Unavailable(cause=broken)
        return _told([(i, limits[i], decision) for i, decision in local.items() if not limits[i].shadow])


async def _taken(store: LimitStore, calls: list[Want]) -> list[Decision]:
    """What ``store`` says of each. One limit is the usual case, and has a way of its own."""
    if len(calls) == 1:
        return [await store.take(calls[0])]
    return await store.take_all(calls) if calls else []


@lru_cache(maxsize=1_024)
def _policy(index: int, quota: int, window_s: int) -> str:
    """One item of ``RateLimit-Policy`` (draft-ietf-httpapi-ratelimit-headers): name, quota, window in seconds."""
    return f"{_name(index)};q={quota};w={window_s}"


def _told(shown: list[tuple[int, Limit, Decision]]) -> Lines:
    """What the caller is told of these limits, each with its number: header lines, or a refusal that carries them."""
    if not shown:
        return ()
    index, limit, left = min(shown, key=_restriction) if len(shown) > 1 else shown[0]
    full_s = _whole_seconds(left.reset_ns)
    policies = [_policy(i, it.limit, it.period_s) for i, it, _ in shown]
    lines: Lines = (
        ("RateLimit-Policy", ", ".join(policies)),
        ("RateLimit", f"{_name(index)};r={left.remaining};t={full_s}"),
    )
    if limit.legacy_headers:
        lines += (
            ("X-RateLimit-Limit", str(limit.limit)),
            ("X-RateLimit-Remaining", str(left.remaining)),
            ("X-RateLimit-Reset", str(full_s)),
        )
    refusing = [decision for _, _, decision in shown if not decision.allowed]
    if not refusing:
        return lines
    waits = [decision.retry_ns for decision in refusing if decision.retry_ns is not None]
    if len(waits) == len(refusing):
        lines += (("Retry-After", str(_whole_seconds(max(waits)))),)
    raise TooManyCalls(headers=lines)


def _restriction(shown: tuple[int, Limit, Decision]) -> tuple[bool, float, int]:
    """Sorts the most restrictive limit first: refuses, and for longest; else has the fewest calls left."""
    _, limit, decision = shown
    if decision.allowed:
        return True, decision.remaining // max(limit.cost, 1), -decision.reset_ns
    return False, -decision.retry_ns if decision.retry_ns is not None else float("-inf"), 0


def _name(index: int) -> str:
    return f'"default-{index + 1}"' if index else '"default"'


def _whole_seconds(ns: int) -> int:
    """Rounded up: at that second it has happened."""
    return -(-ns // SECOND_NS)
