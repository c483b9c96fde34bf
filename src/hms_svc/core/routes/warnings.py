"""What a good routes file says that is likely not meant."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hms_svc.core.config import ClientCertificates, Issuer
    from hms_svc.core.routes.fields import RouteRead
    from hms_svc.core.routes.places import Place
    from hms_svc.core.routes.problems import Problem

EVERYBODY = ("0.0.0.0/0", "::/0")
_WITH_SCOPES = _WITH_CLAIMS = frozenset({"oauth", "api_key"})


def warnings(
    root: Place,
    reads: Sequence[RouteRead],
    issuers: Sequence[Issuer],
    proxies: Sequence[str],
    certificates: ClientCertificates,
) -> tuple[str, ...]:
    """One sentence each, with its place, as a problem has it."""
    found = [
        *_of_issuers(root, reads, issuers),
        *_of_proxies(root, proxies),
        *_of_keys(root, reads),
        *_of_certificates(root, reads),
        *_of_routes(reads, certificates),
    ]
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


def _of_keys(root: Place, reads: Sequence[RouteRead]) -> Iterator[Problem]:
    if root.has("api_keys") and not any("api_key" in read.route.auth for read in reads):
        yield root.below("api_keys").problem("no route takes API keys (auth: api_key), so the header is not used")
    for read in reads:
        if read.route.api_key_query is not None:
            place = read.fields.at("api_key")
            yield place.problem(
                "keys in URLs stay in browser histories and in the logs of every proxy on the way; callers who can send"
                " a header should"
            )


def _of_proxies(root: Place, proxies: Sequence[str]) -> Iterator[Problem]:
    for network in EVERYBODY:
        if network in proxies:
            place = root.below("trusted_proxies")
            yield place.problem(f"{network} is everybody: each caller can claim any address and any host")


def _of_certificates(root: Place, reads: Sequence[RouteRead]) -> Iterator[Problem]:
    if root.has("client_certificates") and not any("mtls" in read.route.auth for read in reads):
        place = root.below("client_certificates")
        yield place.problem("no route takes client certificates (auth: mtls), so this is not used")


def _claims_of(auth: tuple[str, ...]) -> set[str]:
    """The claims that callers can have who come without a token."""
    return {"plan"} if "api_key" in auth else set()


def _of_routes(reads: Sequence[RouteRead], certificates: ClientCertificates) -> Iterator[Problem]:
    with_scopes = _WITH_SCOPES | ({"mtls"} if any(rule.scopes for rule in certificates.callers) else set())
    for read in reads:
        route = read.route
        if route.require.scopes and with_scopes.isdisjoint(route.auth):
            place = read.fields.at("require")
            yield place.problem("no rule gives a client certificate scopes, so every call is refused")
        elif set(route.require.claims) - _claims_of(route.auth) and "oauth" not in route.auth:
            place = read.fields.at("require")
            yield place.problem("only tokens have claims (API keys: plan), so every call is refused")
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
