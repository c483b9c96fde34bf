"""What a good routes file says that is likely not meant."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hms_svc.core.model import Issuer
    from hms_svc.core.routes.fields import RouteRead
    from hms_svc.core.routes.places import Place
    from hms_svc.core.routes.problems import Problem

EVERYBODY = ("0.0.0.0/0", "::/0")
_WITH_SCOPES = _WITH_CLAIMS = frozenset({"oauth", "api_key"})


def warnings(
    root: Place, reads: Sequence[RouteRead], issuers: Sequence[Issuer], proxies: Sequence[str]
) -> tuple[str, ...]:
    """One sentence each, with its place, as a problem has it."""
    found = [*_of_issuers(root, reads, issuers), *_of_proxies(root, proxies), *_of_routes(reads)]
    return tuple(str(problem) for problem in sorted(found))


def _of_issuers(root: Place, reads: Sequence[RouteRead], issuers: Sequence[Issuer]) -> Iterator[Problem]:
    with_tokens = [read for read in reads if "oauth" in read.route.auth]
    if with_tokens and not issuers:
        more = f" (so for {len(with_tokens)} routes in all)" if len(with_tokens) > 1 else ""
        remedy = "begin the file with issuers: and put the list below routes:" if root.is_list() else "add issuers:"
        auth = with_tokens[0].fields.at("auth")
        yield auth.problem(f"the file names no issuers, so every token is refused{more}; {remedy}")
    if issuers and not with_tokens:
        place = root.below("issuers")
        yield place.problem("no route takes tokens (auth: oauth), so the issuers are not used")


def _of_proxies(root: Place, proxies: Sequence[str]) -> Iterator[Problem]:
    for network in EVERYBODY:
        if network in proxies:
            place = root.below("trusted_proxies")
            yield place.problem(f"{network} is everybody: each caller can claim any address and any host")


def _of_routes(reads: Sequence[RouteRead]) -> Iterator[Problem]:
    for read in reads:
        route = read.route
        if route.require.scopes and _WITH_SCOPES.isdisjoint(route.auth):
            yield read.fields.at("require").problem("a client certificate has no scopes, so every call is refused")
        elif route.require.claims and "oauth" not in route.auth:
            yield read.fields.at("require").problem("only tokens have claims, so every call is refused")
        for place, limit in zip(_places_of_limits(read), route.limits, strict=True):
            if limit.per in {"token", "caller"} and not route.auth:
                yield place.problem(f"nobody has a {limit.per} where auth is none, so calls are counted per ip")
            if limit.cost_header and not route.policies:
                yield place.problem(f"no policy sets {limit.cost_header} here, so every call costs {limit.cost}")
            if limit.plans and _WITH_CLAIMS.isdisjoint(route.auth):
                yield place.problem(f"nobody has the claim {limit.plan_claim} here, so nobody is on a plan")


def _places_of_limits(read: RouteRead) -> tuple[Place, ...]:
    if not read.route.limits:
        return ()
    place = read.fields.at("rate_limit")
    return place.each() if place.is_list() else (place,)
