"""The step that counts a call against its route's limits, and what the answer says of them.

The most restrictive limit decides, and a call that one limit refuses takes nothing of the others: the store takes all
or none. A limit in shadow counts and is recorded; it never refuses, and the caller is told nothing of it.

Limits whose cost a policy says are asked after the policies, the others before: so these bound how often policies run.
"""

from __future__ import annotations

from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from hms_svc.core.entry import LimitVerdict
from hms_svc.core.errors import TooManyCalls, Unavailable
from hms_svc.core.gcra import SECOND_NS, judged
from hms_svc.core.limit_keys import bucket_key, policy_name
from hms_svc.core.plans import planned
from hms_svc.core.policy_fields import cost
from hms_svc.core.ports import Decision, StoreUnavailable, Want
from hms_svc.core.windows import CALENDAR, MONTH_S

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hms_svc.core.entry import Entry
    from hms_svc.core.model import Caller, Limit, Route
    from hms_svc.core.policy_fields import Fields
    from hms_svc.core.ports import LimitStore

Lines = tuple[tuple[str, str], ...]


class _Answered(NamedTuple):
    """What one limit said."""

    policy: str
    """As in ``RateLimit-Policy`` (draft-ietf-httpapi-ratelimit-headers): its name, quota and window in seconds."""
    want: Want
    decision: Decision | None
    """None: the store did not say, and the limit lets calls pass then."""


class Told(NamedTuple):
    """What a call's limits have said so far."""

    lines: Lines = ()
    """For the header of its answer."""
    answered: Mapping[int, _Answered] = MappingProxyType({})
    """By their place among the route's limits."""
    rest: Mapping[int, Want] = MappingProxyType({})
    """What is not asked for yet, as its cost is the policies' to say."""


_NOTHING = Told()


class Limiter:
    """Counts calls in ``store``; in ``fallback``, this environment's own, while the store is down."""

    def __init__(self, store: LimitStore, fallback: LimitStore) -> None:
        self._store = store
        self._fallback = fallback

    async def take(self, route: Route, caller: Caller, ip: str, entry: Entry) -> Told:
        """Take what this call costs, of the limits that know it.

        Raises `TooManyCalls` when a limit refuses and `Unavailable` when one cannot be decided and says ``deny``.
        """
        if not route.limits:
            return _NOTHING
        limits = [planned(limit, caller) if limit.plans else limit for limit in route.limits]
        wants = {i: Want(bucket_key(route.name, i, it, caller, ip), it, it.cost) for i, it in enumerate(limits)}
        rest = {i: want for i, want in wants.items() if want.limit.cost_header}
        if rest:
            wants = {i: want for i, want in wants.items() if i not in rest}
        answered = await self._ask(wants, entry)
        return Told(_lines(answered), answered, rest)

    async def take_rest(self, told: Told, fields: Fields, entry: Entry) -> Told:
        """Take what the call costs of the other limits, by the fields that policies set. Raises as `take` does.

        What `take` has taken stays taken when these refuse: the call has been through the policies.
        """
        answered = await self._ask(
            {i: want._replace(cost=cost(want.limit, fields) or 0) for i, want in told.rest.items()}, entry
        )
        both = dict(sorted({**told.answered, **answered}.items()))
        return Told(_lines(both, taken=told.answered), both)

    async def _ask(self, wants: dict[int, Want], entry: Entry) -> dict[int, _Answered]:
        """What the store says of the call; when it cannot say, what the limits want then. It is noted in ``entry``."""
        if not wants:
            return {}
        try:
            decisions = await _taken(self._store, wants)
            broken = ""
        except StoreUnavailable as error:
            broken = f"the limit store is unavailable: {error}"
            decisions = await self._without_store(wants, broken)
        answered: dict[int, _Answered] = {}
        for i, want in wants.items():
            limit, decision = want.limit, decisions.get(i)
            policy = _policy(i, limit.name, limit.limit, _window_s(limit))
            answered[i] = _Answered(policy, want, decision)
            allowed, remaining = (decision.allowed, decision.remaining) if decision else (True, 0)
            entry.limits.append(LimitVerdict(limit.per, policy, allowed, remaining, limit.shadow, broken))
        return answered

    async def _without_store(self, wants: dict[int, Want], broken: str) -> dict[int, Decision]:
        """The decisions of those limits that are counted here then; the others let the call pass, or one refuses it."""
        local = {i: it for i, it in wants.items() if it.limit.on_error == "local"}
        if any(it.limit.on_error == "deny" and not it.limit.shadow for it in wants.values()):
            raise Unavailable(cause=broken)
        try:
            return await _taken(self._fallback, local)
        except StoreUnavailable as error:
            if all(it.limit.shadow for it in local.values()):
                return {}
            raise Unavailable(cause=f"{broken}; and here: {error}") from error


async def _taken(store: LimitStore, wants: dict[int, Want]) -> dict[int, Decision]:
    """What ``store`` says of each. One limit is the usual case, and has a way of its own; a cost of 0 only looks."""
    if len(wants) == 1:
        ((index, want),) = wants.items()
        return {index: await store.take(want)}
    decisions = {i: await store.take(want) for i, want in wants.items() if not want.cost}
    costly = {i: want for i, want in wants.items() if want.cost}
    if costly:
        decisions.update(zip(costly, await store.take_all(list(costly.values())), strict=True))
    return decisions


def _window_s(limit: Limit) -> int:
    """The length of its window; 0 for calendar months, of which not all have the same."""
    return 0 if limit.window == CALENDAR and limit.period_s == MONTH_S else limit.period_s


@lru_cache(maxsize=1_024)
def _policy(index: int, name: str, quota: int, window_s: int) -> str:
    """One item of ``RateLimit-Policy``. Its ``w`` is optional."""
    return f'"{policy_name(index, name)}";q={quota}{f";w={window_s}" if window_s else ""}'


def _lines(answered: Mapping[int, _Answered], taken: Mapping[int, _Answered] = _NOTHING.answered) -> Lines:
    """What the caller is told of these limits: header lines, or a refusal that carries them.

    Of ``taken``, those among them that were asked before, the call has taken its cost, and will need it again.
    """
    shown = [(it, it.decision) for it in answered.values() if it.decision is not None and not it.want.limit.shadow]
    if not shown:
        return ()
    tightest, left = min(shown, key=_restriction) if len(shown) > 1 else shown[0]
    full_s = _whole_seconds(left.reset_ns)
    name = tightest.policy.partition(";")[0]
    lines: Lines = (
        ("RateLimit-Policy", ", ".join([it.policy for it, _ in shown])),
        ("RateLimit", f"{name};r={left.remaining};t={full_s}"),
    )
    if tightest.want.limit.legacy_headers:
        lines += (
            ("X-RateLimit-Limit", str(tightest.want.limit.limit)),
            ("X-RateLimit-Remaining", str(left.remaining)),
            ("X-RateLimit-Reset", str(full_s)),
        )
    refusing = [decision for _, decision in shown if not decision.allowed]
    if not refusing:
        return lines
    waits = [decision.retry_ns for decision in refusing if decision.retry_ns is not None]
    if len(waits) == len(refusing):
        again = [judged(decision, it.want.limit, it.want.cost) for it, decision in shown if it in taken.values()]
        waits += [decision.retry_ns for decision in again if decision.retry_ns is not None]
        lines += (("Retry-After", str(_whole_seconds(max(waits)))),)
    raise TooManyCalls(headers=lines)


def _restriction(pair: tuple[_Answered, Decision]) -> tuple[bool, float, int]:
    """Sorts the most restrictive limit first: refuses, and for longest; else has the fewest calls left."""
    answered, decision = pair
    if decision.allowed:
        return True, decision.remaining // max(answered.want.cost, 1), -decision.reset_ns
    return False, -decision.retry_ns if decision.retry_ns is not None else float("-inf"), 0


def _whole_seconds(ns: int) -> int:
    """Rounded up: at that second it has happened."""
    return -(-ns // SECOND_NS)
