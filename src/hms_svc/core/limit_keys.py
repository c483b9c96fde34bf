"""What names a limit, and whose bucket a call takes from: a key that no two callers, limits or routes share."""

from __future__ import annotations

import hashlib
import ipaddress
import re
from functools import lru_cache
from typing import TYPE_CHECKING

from hms_svc.core.plans import planned
from hms_svc.core.ports import Want
from hms_svc.core.windows import ROLLING

if TYPE_CHECKING:
    from hms_svc.core.config import Limit, Route
    from hms_svc.core.model import Caller

_PLAN = "plan:"
"""Before the length and the name of a plan; nobody's bucket begins with it, see `bucket_key`."""
_LENGTH = re.compile(r"[1-9][0-9]{0,2}")
LONGEST_KEY = 200
"""Characters; a longer key is hashed, so that a bucket's size is bounded whatever a token says its subject is."""


def policy_name(index: int, name: str) -> str:
    """What the route's limit number ``index`` is called in ``RateLimit-Policy``; ``name`` may be empty."""
    return name or (f"default-{index + 1}" if index else "default")


def wants(route: Route, caller: Caller, ip: str) -> list[Want]:
    """What a call takes, one for each limit of the route, in the file's order; of a limit with plans, the caller's."""
    limits = [planned(limit, caller) if limit.plans else limit for limit in route.limits]
    return [Want(bucket_key(route.name, i, limit, caller, ip), limit, limit.cost) for i, limit in enumerate(limits)]


def bucket_key(route_name: str, index: int, limit: Limit, caller: Caller, ip: str) -> str:
    """The key of the bucket for this call under the route's limit number ``index``.

    A caller without what ``per`` counts by (no credential, no name) is counted by address. Every part of free text is
    preceded by its length, so no name can be made that reads as another key. A limit with a name keeps its buckets when
    it changes its place in the list. Plans have buckets of their own, but for calendar windows (see `plans`).
    """
    per = limit.per
    if per == "token" and caller.token_key:
        whose = f"token:{caller.token_key}"
    elif per == "caller" and caller.name:
        whose = f"caller:{caller.via}:{len(caller.issuer)}:{caller.issuer}:{caller.name}"
    elif per == "route":
        whose = "route"
    else:
        whose = f"ip:{network(ip, limit.ipv6_prefix) if ':' in ip else ip}"
    key = f"{key_prefix(route_name, index, limit)}{whose}"
    return (
        key if len(key) <= LONGEST_KEY else f"sha256:{hashlib.sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()}"
    )


def key_prefix(route_name: str, index: int, limit: Limit) -> str:
    """What the keys of all buckets of this limit begin with, those of its plans too; but for the hashed ones."""
    which = f"n{len(limit.name)}:{limit.name}" if limit.name else str(index)
    if limit.plan and limit.window == ROLLING:
        which += f":{_PLAN}{len(limit.plan)}:{limit.plan}"
    return f"{len(route_name)}:{route_name}:{which}:"


def limit_of(rest: str, limit: Limit) -> Limit | None:
    """By which limit a bucket that refills is kept whose key goes on with ``rest`` after the `key_prefix` of ``limit``.

    That is one of its plans, or the limit itself; None for a plan that it does not have (any more).
    """
    if not rest.startswith(_PLAN):
        return limit
    length, _, text = rest.removeprefix(_PLAN).partition(":")
    if not _LENGTH.fullmatch(length):
        return None
    name, after = text[: int(length)], text[int(length) :]
    return limit.plans.get(name) if after.startswith(":") else None


@lru_cache(maxsize=4_096)
def network(ip: str, prefix: int) -> str:
    """The network an IPv6 address is counted by; an IPv4 address in IPv6 clothes (RFC 4291, 2.5.5.2) by itself.

    One customer has a network of 64 bits or more, inside which addresses cost nothing (RFC 6177).
    """
    try:
        address = ipaddress.IPv6Address(ip)
    except ValueError:
        return ip
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return f"{int(address) >> (128 - prefix):x}::/{prefix}"
