"""What an operator asks of the buckets of a route: which ones a caller has, and what is in them. Takes nothing.

Nobody shows a token here, so the plan of a caller is not known: without its name each bucket is shown as one of each
plan. Plans have buckets of their own but in a calendar window; that one bucket is shown several times.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from hms_svc.core.credentials.presented import KEY_DIGITS
from hms_svc.core.gcra import judged
from hms_svc.core.limit_keys import LONGEST_KEY, bucket_key, key_prefix, limit_of
from hms_svc.core.model import Caller
from hms_svc.core.ports import Want
from hms_svc.core.summary import limit_text
from hms_svc.core.windows import ROLLING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from hms_svc.core.config import Config, Limit, Route
    from hms_svc.core.ports import Decision

WHO = ("ip", "caller", "via", "issuer", "token_sha256")
"""What says whose bucket is meant."""
MAX_TEXT = 2_000
"""Characters of each of them, and of the target."""
_VIAS = ("oauth", "api_key", "mtls")
_HASH = re.compile(rf"[0-9a-f]{{{KEY_DIGITS},64}}")
_HASHED = re.compile(r"sha256:[0-9a-f]{64}")
_MS = 1_000_000
_NO_PLANS: Mapping[str, Limit] = MappingProxyType({})
_NEEDS = {
    "ip": "the address, --ip 192.0.2.7",
    "token": "the hash of the credential, --token-sha256 HEX",
    "caller": "the caller, --caller NAME",
}


class TargetInvalid(Exception):  # noqa: N818  (named for what it means)
    """No bucket is meant by what was given; the message is one sentence for whoever asked."""


class Found(NamedTuple):
    """The buckets that are meant."""

    wants: tuple[tuple[Route, Want], ...]
    unnamed: tuple[tuple[Route, int], ...]
    """Limits whose bucket what was given does not name, by their number."""


class Buckets(Protocol):
    """A store of buckets, as far as an operator needs it."""

    async def take(self, want: Want) -> Decision:
        """As `LimitStore.take`: only looks for a cost of 0."""
        ...


def find(config: Config, target: str, who: Mapping[str, str], plan: str = "") -> Found:
    """The buckets that ``target`` means: a route by its name or path, or one bucket by its key.

    ``who`` has some of `WHO`. With a ``plan``, only what holds for who is on it. Raises `TargetInvalid`.
    """
    if any(len(text) > MAX_TEXT for text in (target, plan, *who.values())):
        raise TargetInvalid(f"no name, path or key is longer than {MAX_TEXT} characters")
    named = [route for route in config.routes if route.name == target]
    routes = named or [route for route in config.routes if route.path == target]
    if not routes:
        return Found(_by_key(config, target, who, plan), ())
    if len(routes) > 1:
        raise TargetInvalid(f"{len(routes)} routes have the path {target}; name one: {_names(routes)}")
    (route,) = routes
    if not route.limits:
        raise TargetInvalid(f"the route {route.name} has no rate_limit")
    _check_plan(plan, route.limits, f"the route {route.name}")
    caller, ip = _who(config, route, who)
    wants: list[tuple[Route, Want]] = []
    unnamed = []
    for index, limit in enumerate(route.limits):
        if _is_named(route, limit, caller, ip):
            wants += [
                (route, Want(bucket_key(route.name, index, own, caller, ip), own, own.cost))
                for own in views(limit, plan)
            ]
        else:
            unnamed.append((route, index))
    return Found(tuple(wants), tuple(unnamed))


def views(limit: Limit, plan: str) -> tuple[Limit, ...]:
    """What holds for who is on ``plan``: the limit itself if it has no such plan. Without one: on none, and on each."""
    return (limit.plans.get(plan, limit),) if plan else (limit, *limit.plans.values())


def unnamed_text(route: Route, index: int) -> str:
    """What is missing to name the bucket of this limit."""
    limit = route.limits[index]
    return f"{limit_text(limit)}: say whose bucket by {_NEEDS[limit.per]}"


async def look(store: Buckets, found: tuple[tuple[Route, Want], ...]) -> list[dict[str, Any]]:
    """What is in each bucket, and whether the route's next call would pass. Raises `StoreUnavailable`."""
    return [_row(route, want, await store.take(want._replace(cost=0))) for route, want in found]


def reset_each(found: tuple[tuple[Route, Want], ...], reset: Callable[[Want], bool]) -> list[bool]:
    """Make each bucket full, once however many plans it is shown for; for each line whether it was in use."""
    were_in_use: dict[tuple[str, int], bool] = {}
    for _, want in found:
        bucket = want.key, want.limit.period_s
        if bucket not in were_in_use:
            were_in_use[bucket] = reset(want)
    return [were_in_use[want.key, want.limit.period_s] for _, want in found]


def _row(route: Route, want: Want, looked: Decision) -> dict[str, Any]:
    call = judged(looked, want.limit, want.cost)
    return {
        "route": route.name,
        "limit": limit_text(replace(want.limit, plans=_NO_PLANS)),
        "plan": want.limit.plan or None,
        "key": want.key,
        "remaining": looked.remaining,
        "burst": want.limit.burst,
        "full_in_s": _seconds(looked.reset_ns),
        "passes": call.allowed,
        "passes_in_s": 0 if call.allowed else None if call.retry_ns is None else _seconds(call.retry_ns),
    }


def _seconds(ns: int) -> float:
    """To the millisecond, rounded up: at that moment it has happened."""
    return -(-ns // _MS) / 1_000


def _by_key(config: Config, key: str, who: Mapping[str, str], plan: str) -> tuple[tuple[Route, Want], ...]:
    if _HASHED.fullmatch(key):
        raise TargetInvalid(f"a key of more than {LONGEST_KEY} characters is hashed and tells no limit: give the route")
    for route in config.routes:
        for index, limit in enumerate(route.limits):
            prefix = key_prefix(route.name, index, limit)  # which is that of its plans, too
            if key.startswith(prefix):
                if who:
                    raise TargetInvalid("a bucket's key says whose it is: leave out who calls")
                return tuple(
                    (route, Want(key, own, own.cost)) for own in _of_key(key.removeprefix(prefix), limit, plan)
                )
    raise TargetInvalid(f"no route has the name or path {key[:LONGEST_KEY]}, and it is no bucket's key")


def _of_key(rest: str, limit: Limit, plan: str) -> tuple[Limit, ...]:
    """By which limits the bucket may be kept: by one, or in a calendar window by that of any plan."""
    whose = f"the limit {limit_text(replace(limit, plans=_NO_PLANS))}"
    _check_plan(plan, (limit,), whose)
    if limit.window != ROLLING:
        return views(limit, plan)
    own = limit_of(rest, limit)
    if own is None:
        raise TargetInvalid(f"{whose} has no plan such as the key names{_plans_text((limit,))}")
    if plan and own.plan != plan:
        raise TargetInvalid("a bucket's key says its plan: leave the plan out")
    return (own,)


def _check_plan(plan: str, limits: Iterable[Limit], whose: str) -> None:
    if plan and not any(plan in limit.plans for limit in limits):
        raise TargetInvalid(f"{whose} has no plan {plan[:LONGEST_KEY]}{_plans_text(limits)}")


def _plans_text(limits: Iterable[Limit]) -> str:
    names = dict.fromkeys(name for limit in limits for name in limit.plans)
    return f"; its plans: {', '.join(names)}" if names else ", and none at all"


def _who(config: Config, route: Route, who: Mapping[str, str]) -> tuple[Caller, str]:
    if not set(who) <= set(WHO):
        raise TargetInvalid(f"who calls is said by {', '.join(WHO)}")
    name, token = who.get("caller", ""), who.get("token_sha256", "").lower()
    if token and not _HASH.fullmatch(token):
        raise TargetInvalid(f"a credential's SHA-256 has 64 hexadecimal digits, of which the first {KEY_DIGITS} count")
    if not name and (who.get("via") or who.get("issuer")):
        raise TargetInvalid("how and by whom a caller is proved goes with the caller's name")
    via = who.get("via") or (route.auth[0] if len(route.auth) == 1 else "")
    if name and via not in _VIAS:
        raise TargetInvalid(f"how the caller is proved is one of {', '.join(_VIAS)}; the route takes {_auth(route)}")
    issuer = _issuer(config, via, who.get("issuer", "")) if name else ""
    return Caller(name=name, via=via, issuer=issuer, token_key=token[:KEY_DIGITS]), _address(who.get("ip", ""))


def _issuer(config: Config, via: str, given: str) -> str:
    """As it stands in a caller: the ``iss`` of a token, by the name in the file too; a certificate's issuer."""
    if via == "api_key":
        return ""
    if via == "mtls":
        if not given:
            raise TargetInvalid("a caller with a certificate is told apart by its issuer too: give its name, CN=…")
        return given
    known = {issuer.name: issuer.issuer for issuer in config.issuers}
    if not given and len(known) == 1:
        return next(iter(known.values()))
    if given not in known and given not in known.values():
        raise TargetInvalid(f"the token's issuer is one of {', '.join(known) or 'none: the file has no issuers'}")
    return known.get(given, given)


def _is_named(route: Route, limit: Limit, caller: Caller, ip: str) -> bool:
    """Whether the bucket is that of this caller, and not of the address for want of knowing more."""
    match limit.per:
        case "route":
            return True
        case "token" if caller.token_key:
            return True
        case "caller" if caller.name:
            return True
        case "ip":
            return bool(ip)
        case _:
            return bool(ip) and not route.auth


def _address(text: str) -> str:
    if not text:
        return ""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise TargetInvalid(f"{text[:60]} is no IP address") from None


def _auth(route: Route) -> str:
    return " or ".join(route.auth) or "none"


def _names(routes: list[Route]) -> str:
    return "; ".join(route.name for route in routes)
