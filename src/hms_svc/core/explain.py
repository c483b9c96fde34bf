"""The journey of a request told instead of made: the same matching, no credential verified, nothing taken or sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hms_svc.core.answer import preflight
from hms_svc.core.arrive import Arrival, arrive
from hms_svc.core.entry import Entry
from hms_svc.core.errors import Refusal
from hms_svc.core.model import Enqueue, Forward, Redirect
from hms_svc.core.own import is_own
from hms_svc.core.rewrite import forwarded_path
from hms_svc.core.summary import limit_text

if TYPE_CHECKING:
    from hms_svc.core.match import Match, RouteTable
    from hms_svc.core.model import Request, Requirements, Route
    from hms_svc.core.ports import Randomness

Finding = tuple[str, str]


def explain(table: RouteTable, request: Request, randomness: Randomness) -> list[Finding]:
    """What each step would find, in order; the last line is the answer as far as it can be told beforehand."""
    findings: list[Finding] = []
    try:
        arrival = arrive(request, Entry(request, "", 0, 0), randomness, table.config.trusted_proxies)
        same = " (as it came)" if arrival.path == request.path else f" (came as {request.path})"
        findings.append(("normalise", arrival.path + same))
        if is_own(arrival.path):
            return [*findings, ("answer", "by the gateway itself: /_hms/ is its own, no route ever serves it")]
        if preflight(table, arrival) is not None:
            return [*findings, ("answer", "204 by the gateway itself: a CORS preflight")]
        match = table.find(arrival.wanted())
    except Refusal as refusal:
        allow = dict(refusal.headers).get("Allow")
        if allow and request.method == "OPTIONS":
            return [*findings, ("answer", f"204 by the gateway itself, Allow: {allow}")]
        detail = f"{refusal.response_status} {refusal.detail}" + (f", Allow: {allow}" if allow else "")
        return [*findings, ("answer", detail)]
    return findings + _served(arrival, match)


def _served(arrival: Arrival, match: Match) -> list[Finding]:
    route = match.route
    findings = [("match", f"route {route.name}" + "".join(f", {k} = {v!r}" for k, v in match.params.items()))]
    presented = [scheme for scheme in route.auth if _is_presented(arrival.request, scheme)]
    if not route.auth:
        findings.append(("authenticate", "nobody needs to: the route is open (auth: none)"))
    elif presented:
        findings.append(("authenticate", f"{' and '.join(presented)} presented; verified only when it is sent"))
    else:
        findings.append(("authenticate", f"needs {' or '.join(route.auth)}, none is presented"))
        return [*findings, ("answer", "401 Bad credentials")]
    needs = _names(route.require)
    if route.require.any_of:
        needs.append("one of " + " | ".join(" and ".join(_names(one)) for one in route.require.any_of))
    findings.append(("authorise", f"needs {', '.join(needs)}, else 403" if needs else "nothing more is needed"))
    limits = ", ".join(limit_text(limit) for limit in route.limits)
    findings.append(("limit", f"{limits}, else 429" if limits else "no limit"))
    policies = ", ".join(use.name for use in route.policies)
    findings.append(("policies", policies or "none"))
    findings.append(("body", f"up to {route.max_body} bytes, else 413"))
    findings.append(("answer", _destination(arrival, route)))
    return findings


def _names(require: Requirements) -> list[str]:
    return sorted(require.scopes) + sorted(require.claims)


def _is_presented(request: Request, scheme: str) -> bool:
    """Whether a credential of this kind is there, good or not."""
    word = request.headers.get("authorization", "").partition(" ")[0].lower()
    match scheme:
        case "oauth":
            return bool(word == "bearer")
        case "api_key":
            return "x-api-key" in request.headers or word == "apikey"
        case _:
            return request.certificate is not None


def _destination(arrival: Arrival, route: Route) -> str:
    match route.action:
        case Forward(targets=targets):
            urls = [
                f"{target.scheme}://{target.authority}"
                + (forwarded_path(arrival.path, route.path, target.path) if target.path else arrival.path)
                for target in targets
            ]
            return "what comes back from " + " or ".join(urls)
        case Redirect(status=status):
            return f"{status} to another place"
        case Enqueue(queue=queue):
            return f"202, queued in {queue}"
