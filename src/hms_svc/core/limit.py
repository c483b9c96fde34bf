"""The step that counts a call against its route's limits, and what the answer says of them.

The most restrictive limit decides, and a call that one limit refuses takes nothing of the others: the store takes all
or none. A limit in shadow counts and is recorded; it never refuses, and the caller is told nothing of it.

Limits whose cost a policy says are asked after the policies, the others before: so these bound how often policies run.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from hms_svc.core.entry import LimitVerdict
from hms_svc.core.errors import TooManyCalls, Unavailable
from hms_svc.core.gcra import SECOND_NS, judged
from hms_svc.core.limit_keys import policy_name, wants
from hms_svc.core.policy_fields import cost
from hms_svc.core.ports import Decision, StoreUnavailable, Want
from hms_svc.core.windows import CALENDAR, MONTH_S

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from hms_svc.core.config import Limit, Route
    from hms_svc.core.entry import Entry
    from hms_svc.core.model import Caller
    from hms_svc.core.policy_fields import Fields
    from hms_svc.core.ports import LimitStore

MAX_INTEGER = 999_999_999_999_999
"""Of a structured field (RFC 9651, section 3.3.1)."""
Lines = tuple[tuple[str, str], ...]


class _Asked(NamedTuple):
    """What a call costs by one limit, and the limit's place in the route."""

    place: int
    want: Want


class _Answered(NamedTuple):
    """What a limit said."""

    place: int
    want: Want
    decision: Decision
    policy: str
    """As in ``RateLimit-Policy``."""


class _Instead(NamedTuple):
    """What stands for a decision that the store could not make."""

    decision: Decision | None
    """This environment's own; None: there is none, and ``on_error`` is all there is."""
    error: str
    on_error: str

    def closes(self, limit: Limit) -> bool:
        """Whether the call is refused for that."""
        return self.on_error == "deny" and not limit.shadow


class Told(NamedTuple):
    """What a call's limits have said so far."""

    lines: Lines = ()
    """For the header of its answer."""
    answered: tuple[_Answered, ...] = ()
    rest: tuple[_Asked, ...] = ()
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
        asked = [_Asked(index, want) for index, want in enumerate(wants(route, caller, ip))]
        rest = [it for it in asked if it.want.limit.cost_header]
        if rest:
            asked = [it for it in asked if not it.want.limit.cost_header]
        answered = await self._ask(asked, entry)
        if rest and any(_ends(it.want.limit, it.decision) for it in answered):
            _lines(sorted([*answered, *await self._seen(rest)], key=lambda it: it.place))  # which raises
        return Told(_lines(answered), tuple(answered), tuple(rest))

    async def take_rest(self, told: Told, fields: Fields, entry: Entry) -> Told:
        """Take what the call costs of the other limits, by the fields that policies set. Raises as `take` does.

        What `take` has taken stays taken when these refuse: the call has been through the policies.
        """
        asked = [_Asked(i, want._replace(cost=cost(want.limit, fields) or 0)) for i, want in told.rest]
        answered = sorted([*told.answered, *await self._ask(asked, entry)], key=lambda it: it.place)
        return Told(_lines(answered, taken=told.answered), tuple(answered))

    async def _ask(self, asked: list[_Asked], entry: Entry) -> list[_Answered]:
        """What the store says, noted in ``entry``; of a limit that it cannot decide, what that limit wants then.

        Raises `Unavailable` when such a limit says ``deny``.
        """
        decisions = await _taken(self._store, asked)
        if any(decision.fault for decision in decisions):
            return await self._in_part(asked, decisions, entry)
        answered = []
        for (place, want), decision in zip(asked, decisions, strict=True):
            limit = want.limit
            policy = _policy_of(place, limit)
            answered.append(_Answered(place, want, decision, policy))
            entry.limits.append(LimitVerdict(limit.per, policy, decision.allowed, decision.remaining, limit.shadow))
        return answered

    async def _in_part(self, asked: list[_Asked], decisions: list[Decision], entry: Entry) -> list[_Answered]:
        """`_ask`, where the store has left some open: ``on_error`` decides these, recorded with why."""
        by_place = {it.place: decision for it, decision in zip(asked, decisions, strict=True)}
        ends = any(_ends(it.want.limit, by_place[it.place]) for it in asked)
        instead = await self._instead(asked, by_place, is_a_look=ends)
        answered: list[_Answered] = []
        for place, want in asked:
            limit, policy = want.limit, _policy_of(place, want.limit)
            found = instead.get(place)
            decision = found.decision if found else by_place[place]
            error, on_error = (found.error, found.on_error) if found else ("", "")
            if decision is not None:
                answered.append(_Answered(place, want, decision, policy))
            allowed, left = (decision.allowed, decision.remaining) if decision else (on_error == "allow", 0)
            entry.limits.append(LimitVerdict(limit.per, policy, allowed, left, limit.shadow, error, on_error))
        closing = [found.error for it in asked if (found := instead.get(it.place)) and found.closes(it.want.limit)]
        if closing:
            raise Unavailable(cause=closing[0])
        return answered

    async def _instead(
        self, asked: list[_Asked], by_place: dict[int, Decision], *, is_a_look: bool
    ) -> dict[int, _Instead]:
        """What stands for the decisions that are none, by the limit's place."""
        instead = {
            it.place: _Instead(None, f"the limit store is unavailable: {fault}", it.want.limit.on_error)
            for it in asked
            if (fault := by_place[it.place].fault)
        }
        here = [it for it in asked if it.place in instead and it.want.limit.on_error == "local"]
        decisions = await (_looked if is_a_look else _taken)(self._fallback, here)
        for it, decision in zip(here, decisions, strict=True):
            found = instead[it.place]
            instead[it.place] = (
                _Instead(None, f"{found.error}; and here: {decision.fault}", "deny")
                if decision.fault
                else found._replace(decision=decision)
            )
        return instead

    async def _seen(self, asked: list[_Asked]) -> list[_Answered]:
        """What limits would say that are not asked; nothing of those that cannot say."""
        return [
            _Answered(place, want, decision, _policy_of(place, want.limit))
            for (place, want), decision in zip(asked, await _looked(self._store, asked), strict=True)
            if not decision.fault
        ]


async def _taken(store: LimitStore, asked: list[_Asked]) -> list[Decision]:
    """What ``store`` says of each. One limit is the usual case, and has a way of its own; a cost of 0 only looks."""
    if len(asked) == 1:
        return [await _unless_down(store.take(asked[0].want))]
    decisions = {index: await _unless_down(store.take(want)) for index, want in asked if not want.cost}
    costly = [it for it in asked if it.want.cost]
    if costly:
        said = await store.take_all([want for _, want in costly])
        decisions |= {it.place: decision for it, decision in zip(costly, said, strict=True)}
    return [decisions[index] for index, _ in asked]


async def _looked(store: LimitStore, asked: list[_Asked]) -> list[Decision]:
    """What ``store`` would say of each."""
    return [await _unless_down(store.look(want)) for _, want in asked]


def _ends(limit: Limit, decision: Decision) -> bool:
    """Whether the call ends by what the store said, or did not say, of this limit."""
    return not decision.allowed and not limit.shadow and (not decision.fault or limit.on_error == "deny")


async def _unless_down(decision: Awaitable[Decision]) -> Decision:
    try:
        return await decision
    except StoreUnavailable as error:
        return Decision(False, 0, 0, None, str(error))


def _policy_of(index: int, limit: Limit) -> str:
    """One item of ``RateLimit-Policy`` (draft-ietf-httpapi-ratelimit-headers): name, quota, window in seconds.

    Calendar months have no window, since not all have the same length.
    """
    window_s = 0 if limit.window == CALENDAR and limit.period_s == MONTH_S else limit.period_s
    return _policy(index, limit.name, limit.limit, window_s)


@lru_cache(maxsize=1_024)
def _policy(index: int, name: str, quota: int, window_s: int) -> str:
    return f'"{policy_name(index, name)}";q={quota}{f";w={window_s}" if window_s else ""}'


def _lines(answered: list[_Answered], taken: Sequence[_Answered] = ()) -> Lines:
    """What the caller is told of these limits: header lines, or a refusal that carries them.

    Of ``taken``, those among them that were asked before, the call has taken its cost, and will need it again.
    """
    shown = [it for it in answered if not it.want.limit.shadow]
    if not shown:
        return ()
    tightest = min(shown, key=_restriction) if len(shown) > 1 else shown[0]
    left, limit = tightest.decision, tightest.want.limit
    full_s = min(_whole_seconds(left.reset_ns), MAX_INTEGER)
    name = tightest.policy.partition(";")[0]
    lines: Lines = (
        ("RateLimit-Policy", ", ".join([it.policy for it in shown])),
        ("RateLimit", f"{name};r={left.remaining};t={full_s}"),
    )
    if limit.legacy_headers:
        lines += (
            ("X-RateLimit-Limit", str(limit.limit)),
            ("X-RateLimit-Remaining", str(left.remaining)),
            ("X-RateLimit-Reset", str(full_s)),
        )
    refusing = [it.decision for it in shown if not it.decision.allowed]
    if not refusing:
        return lines
    waits = [decision.retry_ns for decision in refusing if decision.retry_ns is not None]
    if len(waits) == len(refusing):
        again = [judged(it.decision, it.want.limit, it.want.cost) for it in shown if it in taken]
        waits += [decision.retry_ns for decision in again if decision.retry_ns is not None]
        lines += (("Retry-After", str(_whole_seconds(max(waits)))),)
    raise TooManyCalls(headers=lines)


def _restriction(it: _Answered) -> tuple[bool, float, int]:
    """Sorts the most restrictive limit first: refuses, and for longest; else has the fewest calls left."""
    decision = it.decision
    if decision.allowed:
        return True, decision.remaining // max(it.want.cost, 1), -decision.reset_ns
    return False, -decision.retry_ns if decision.retry_ns is not None else float("-inf"), 0


def _whole_seconds(ns: int) -> int:
    """Rounded up: at that second it has happened."""
    return -(-ns // SECOND_NS)
