"""Whose bucket a call takes from: the key of a limit's bucket, which no two callers, limits or routes share."""

from __future__ import annotations

import hashlib
import ipaddress
from functools import lru_cache
from typing import TYPE_CHECKING

from hms_svc.core.ports import Want

if TYPE_CHECKING:
    from hms_svc.core.model import Caller, Limit, Route

LONGEST_KEY = 200
"""Characters; a longer key is hashed, so that a bucket's size is bounded whatever a token says its subject is."""
_IPV6_HOST_BITS = 64
"""Of an IPv6 address. The rest is one customer's network, inside which addresses cost nothing (RFC 6177)."""


def wants(route: Route, caller: Caller, ip: str) -> list[Want]:
    """What a call takes, one for each limit of the route, in the file's order."""
    return [
        Want(bucket_key(route.name, i, limit, caller, ip), limit, limit.cost) for i, limit in enumerate(route.limits)
    ]


def bucket_key(route_name: str, index: int, limit: Limit, caller: Caller, ip: str) -> str:
    """The key of the bucket for this call under the route's limit number ``index``.

    A caller without what ``per`` counts by (no credential, no name) is counted by address. Every part of free text is
    preceded by its length, so no name can be made that reads as another key.
    """
    per = limit.per
    if per == "token" and caller.token_key:
        whose = f"token:{caller.token_key}"
    elif per == "caller" and caller.name:
        whose = f"caller:{caller.via}:{len(caller.issuer)}:{caller.issuer}:{caller.name}"
    elif per == "route":
        whose = "route"
    else:
        whose = f"ip:{network(ip) if ':' in ip else ip}"
    key = f"{key_prefix(route_name, index)}{whose}"
    return (
        key if len(key) <= LONGEST_KEY else f"sha256:{hashlib.sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()}"
    )


def key_prefix(route_name: str, index: int) -> str:
    """What the keys of all buckets of this limit begin with, but for those that are hashed."""
    return f"{len(route_name)}:{route_name}:{index}:"


@lru_cache(maxsize=4_096)
def network(ip: str) -> str:
    """The network an IPv6 address is counted by; an IPv4 address in IPv6 clothes (RFC 4291, 2.5.5.2) by itself."""
    try:
        address = ipaddress.IPv6Address(ip)
    except ValueError:
        return ip
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return f"{int(address) >> _IPV6_HOST_BITS:x}::/64"
