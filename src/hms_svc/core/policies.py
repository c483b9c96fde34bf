"""The step that asks a route's policies, in their order, until one says no.

It fails closed: a policy that raises, returns no verdict or overstays its time refuses the request. The caller is told
nothing of that; the record names the policy and what it did.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hms_svc.core.entry import PolicyVerdict
from hms_svc.core.errors import InternalError, PolicyBlocked, TooManyCalls
from hms_svc.core.policy import Verdict
from hms_svc.core.policy_faults import LONGEST, described
from hms_svc.core.policy_fields import fault, joined

if TYPE_CHECKING:
    from collections.abc import Callable

    from hms_svc.core.config import PolicyUse, Route
    from hms_svc.core.entry import Entry
    from hms_svc.core.policy import PolicyRequest
    from hms_svc.core.policy_fields import Fields
    from hms_svc.core.ports import PolicyRunner

_VERDICT_PARTS = ("allowed", "status", "reason", "retry_after_s", "headers")


class PolicyStep:
    """Runs policies on ``runner``; each has ``timeout_s`` seconds of its own."""

    def __init__(self, runner: PolicyRunner, timeout_s: float = 1.0) -> None:
        self._runner = runner
        self._timeout_s = timeout_s

    async def check(self, request: PolicyRequest, route: Route, entry: Entry) -> Fields:
        """When every policy lets ``request`` pass, the fields that they set on it; of one name the last.

        Raises `PolicyBlocked` or `TooManyCalls` when one says no and `InternalError` when one fails.
        """
        fields: Fields = ()
        for use in route.policies:
            verdict = await self._ask(use, request, route)
            if isinstance(verdict, str):
                entry.policies.append(PolicyVerdict(use.name, allowed=False, error=verdict))
                raise InternalError(cause=f"policy {use.name} {verdict}")
            reason = verdict.reason[:LONGEST]
            entry.policies.append(PolicyVerdict(use.name, verdict.allowed, reason))
            if not verdict.allowed:
                raise _refusal(verdict, reason)
            if verdict.headers:
                fields = joined(fields, verdict.headers)
        return fields

    async def _ask(self, use: PolicyUse, request: PolicyRequest, route: Route) -> Verdict | str:
        """What the policy says, or what is wrong with it."""
        try:
            return await self._runner.run(_guarded(use, request, route), self._timeout_s)
        except TimeoutError as error:
            return str(error) or f"did not return within {self._timeout_s:g} s"


def _guarded(use: PolicyUse, request: PolicyRequest, route: Route) -> Callable[[], Verdict | str]:
    """The policy's check, told apart here, where it runs, from any exception of the runner's own."""

    def check() -> Verdict | str:
        try:
            return _checked(use.policy.check(request, route), route)
        except BaseException as error:  # noqa: BLE001  (sys.exit() in a plug-in must not end a worker, or the gateway)
            return f"raised {described(error)}"

    return check


def _checked(verdict: Any, route: Route) -> Verdict | str:
    """What a policy returned, or what is wrong with it. A `Verdict` can be built without its rules."""
    if not isinstance(verdict, Verdict):
        return f"returned {type(verdict).__name__} instead of a Verdict"
    allowed, status, reason, retry, headers = (getattr(verdict, name) for name in _VERDICT_PARTS)
    passes = allowed is True and isinstance(headers, Mapping)
    refuses = (
        allowed is False
        and type(status) is int
        and 400 <= status <= 599  # noqa: PLR2004  (client and server errors, RFC 9110, section 15)
        and (retry is None or (isinstance(retry, int | float) and 0 <= retry < math.inf))
        and not headers
    )
    if not isinstance(reason, str) or not (passes or refuses):
        return "returned a Verdict that pass_, block and limit would not have built"
    if not headers:
        return verdict
    fields = dict(headers)  # the policy's own may change later
    return fault(fields, route.limits) or replace(verdict, headers=fields)


def _refusal(verdict: Verdict, reason: str) -> PolicyBlocked | TooManyCalls:
    if verdict.retry_after_s is not None:
        return TooManyCalls(reason, headers=(("Retry-After", str(math.ceil(verdict.retry_after_s))),))
    return PolicyBlocked(reason, status=verdict.status)
