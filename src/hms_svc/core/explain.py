"""The journey of a request told instead of made: the same matching, no credential verified, nothing taken or sent."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING

from hms_svc.core.answer import preflight
from hms_svc.core.arrive import Arrival, arrive
from hms_svc.core.config import Enqueue, Forward, Redirect
from hms_svc.core.credentials.bearer import read_authorization
from hms_svc.core.credentials.key_places import keys_at
from hms_svc.core.credentials.presented import KEY_DIGITS
from hms_svc.core.entry import Entry
from hms_svc.core.errors import Refusal
from hms_svc.core.limit_keys import bucket_key, key_prefix
from hms_svc.core.model import Caller
from hms_svc.core.own import is_own
from hms_svc.core.rewrite import forwarded_path
from hms_svc.core.summary import limit_text
from hms_svc.core.what_if import what_if_text

if TYPE_CHECKING:
    from hms_svc.core.config import Config, Requirements, Route
    from hms_svc.core.match import Match, RouteTable
    from hms_svc.core.model import Request
    from hms_svc.core.ports import Randomness
    from hms_svc.core.what_if import Pace

Finding = tuple[str, str]
_DOTS_OF_A_JWT = 2
_WITH_CLAIMS = frozenset({"oauth", "api_key"})
"""Credentials that may name a plan."""


def explain(
    table: RouteTable, request: Request, randomness: Randomness, pace: Pace | None = None, plan: str = ""
) -> list[Finding]:
    """What each step would find, in order; the last line is the answer as far as it can be told beforehand.

    With a ``pace``, also what the route's limits would say if the request came so often. ``plan`` is what the claim of
    the credential is taken to name.
    """
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
        return findings + _served(arrival, match, table.config, pace, plan)
    except Refusal as refusal:
        allow = dict(refusal.headers).get("Allow")
        if allow and request.method == "OPTIONS":
            return [*findings, ("answer", f"204 by the gateway itself, Allow: {allow}")]
        detail = f"{refusal.response_status} {refusal.detail}" + (f", Allow: {allow}" if allow else "")
        return [*findings, ("answer", detail)]


def _served(arrival: Arrival, match: Match, config: Config, pace: Pace | None, plan: str) -> list[Finding]:
    route = match.route
    findings = [("match", f"route {route.name}" + "".join(f", {k} = {v!r}" for k, v in match.params.items()))]
    if route.auth:
        read_authorization(arrival.request.headers)  # which refuses several
    presented = [scheme for scheme in route.auth if _times(scheme, arrival.request, route, config)]
    if not route.auth:
        findings.append(("authenticate", "nobody needs to: the route is open (auth: none)"))
    elif presented:
        findings.append(("authenticate", f"{' and '.join(presented)} presented; verified only when it is sent"))
    else:
        ways = " or ".join(_way(scheme, route, config) for scheme in route.auth)
        findings.append(("authenticate", f"needs {ways}, none is presented"))
        return [*findings, ("answer", "401 Bad credentials")]
    if "api_key" in route.auth and _times("api_key", arrival.request, route, config) > 1:
        return [*findings, ("answer", "400 There is more than one API key")]
    needs = _names(route.require)
    if route.require.any_of:
        needs.append("one of " + " | ".join(" and ".join(_names(one)) for one in route.require.any_of))
    findings.append(("authorise", f"needs {', '.join(needs)}, else 403" if needs else "nothing more is needed"))
    limits = ", ".join(limit_text(limit) for limit in route.limits)
    findings.append(("limit", f"{limits}, else 429" if limits else "no limit"))
    findings += _plan(route, presented, plan)
    counting = _counting(route, presented, plan)
    findings += [("bucket", whose) for whose in _buckets(arrival, counting, config, presented)]
    if pace is not None:
        findings += [("what if", said) for said in what_if_text(counting.limits, pace)]
    policies = ", ".join(use.name for use in route.policies)
    findings.append(("policies", policies or "none"))
    findings.append(("body", f"up to {route.max_body} bytes, else 413"))
    findings.append(("answer", _destination(arrival, route)))
    return findings


def _plan(route: Route, presented: list[str], plan: str) -> list[Finding]:
    """By which plan the call would be counted, where a limit of the route has any."""
    plans = ", ".join(dict.fromkeys(name for limit in route.limits for name in limit.plans))
    if not plans:
        return []
    if _WITH_CLAIMS.isdisjoint(presented):
        why = "only tokens and API keys name a plan"
    elif any(plan in limit.plans for limit in route.limits):
        return [("plan", f"{plan}, as if the credential named it")]
    else:
        why = f"{plan} is none of them" if plan else "--plan NAME counts as if the credential named one"
    return [("plan", f"none of {plans}: {why}")]


def _counting(route: Route, presented: list[str], plan: str) -> Route:
    """The route with the limits that hold for who is on this plan."""
    held = "" if _WITH_CLAIMS.isdisjoint(presented) else plan
    return replace(route, limits=tuple(replace(limit.plans.get(held, limit), plans={}) for limit in route.limits))


def _names(require: Requirements) -> list[str]:
    return sorted(require.scopes) + sorted(require.claims)


def _times(scheme: str, request: Request, route: Route, config: Config) -> int:
    """How many credentials of this kind are there, good or not."""
    word = request.headers.get("authorization", "").partition(" ")[0].lower()
    match scheme:
        case "oauth":
            return int(word == "bearer")
        case "api_key":
            return len(keys_at(request, route, config)) + int(word == "apikey")
        case _:
            return int(request.certificate is not None)


def _way(scheme: str, route: Route, config: Config) -> str:
    """The credential, and of an API key where it is looked for."""
    if scheme != "api_key":
        return scheme
    query = f" or ?{route.api_key_query}=" if route.api_key_query else ""
    return f"api_key (in {config.api_key_header}{query})"


def _buckets(arrival: Arrival, route: Route, config: Config, presented: list[str]) -> list[str]:
    """The key of the bucket that each limit takes from, as far as it is known before the credential is verified."""
    via = presented[0] if presented else "none"
    caller = Caller(name="", via=via, token_key=_token_key(arrival.request, route, config, via))
    whose = []
    for index, limit in enumerate(route.limits):
        if limit.per == "caller" and presented:
            whose.append(
                f"{key_prefix(route.name, index, limit)}caller:{via}:… (of the caller whom the credential proves)"
            )
        else:
            whose.append(bucket_key(route.name, index, limit, caller, arrival.ip))
    return whose


def _token_key(request: Request, route: Route, config: Config, via: str) -> str:
    """The hash by which what is presented is counted; empty for what is none. Raises `Malformed`."""
    authorization = read_authorization(request.headers)
    credential = authorization.token if authorization else ""
    if via == "api_key":
        credential = next((key for _, key in keys_at(request, route, config)), credential)
    elif credential.count(".") == _DOTS_OF_A_JWT:  # which is counted by what is signed
        credential = credential.rpartition(".")[0]
    return sha256(credential.encode("utf-8", "surrogatepass")).hexdigest()[:KEY_DIGITS] if credential else ""


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
