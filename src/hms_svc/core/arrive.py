"""The first step: a request as its door received it becomes one with a normal path, a known origin and a name.

What a client says of its own address counts only when the connection comes from a configured proxy; then the last
address in ``X-Forwarded-For`` that is no such proxy is the caller's.
"""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from hms_svc.core.errors import Malformed
from hms_svc.core.match import Wanted
from hms_svc.core.path import normalise

if TYPE_CHECKING:
    from hms_svc.core.entry import Entry
    from hms_svc.core.model import Headers, Request
    from hms_svc.core.ports import Randomness

MAX_HOST = 255
MAX_HOPS = 32
"""Addresses read of one ``X-Forwarded-For``."""
_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~-]*)(?::[0-9]{0,5})?")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,128}")
_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")


class Arrival(NamedTuple):
    """A request that may be matched."""

    request: Request
    request_id: str
    ip: str
    """The caller's address."""
    scheme: str
    host: str
    """As the caller wrote it, with its port; may be empty in HTTP/1.0."""
    path: str
    """Normalised."""
    traceparent: str
    """For the service behind: the caller's trace, or a new one, with the gateway's own span (W3C Trace Context)."""
    trusted: bool
    """Whether the connection comes from a configured proxy."""

    def wanted(self) -> Wanted:
        """What decides which route serves it."""
        request = self.request
        return Wanted(request.method, self.path, bare_host(self.host), request.headers, request.query)


def name(request: Request, randomness: Randomness, *, trusted: bool) -> str:
    """The request's id: a trusted proxy's own, else a new one of 32 hexadecimal digits."""
    if trusted:
        given = request.headers.get("x-request-id")
        if given and _REQUEST_ID.fullmatch(given):
            return str(given)
    return randomness.hex(16)


def arrive(request: Request, entry: Entry, randomness: Randomness, proxies: tuple[str, ...]) -> Arrival:
    """Normalise ``request``. Raises `Malformed` when its path or host has no normal form."""
    headers = request.headers
    trusted = is_proxy(request.peer_ip, proxies)
    ip, scheme, host = request.peer_ip, request.scheme, headers.get("host", "")
    if trusted:
        ip = _caller_ip(headers, request.peer_ip, proxies)
        scheme = _one_of(headers.get("x-forwarded-proto"), ("http", "https")) or scheme
        host = headers.get("x-forwarded-host") or host
    entry.ip, entry.scheme = ip, scheme
    entry.trace_id, entry.span_id, flags = _trace(headers, randomness)
    if len(host) > MAX_HOST or not _HOST.fullmatch(host):
        raise Malformed("The Host is not a host name with an optional port")
    entry.host = host
    entry.path = normalise(request.path)
    traceparent = f"00-{entry.trace_id}-{entry.span_id}-{flags}"
    return Arrival(request, entry.request_id, ip, scheme, host, entry.path, traceparent, trusted)


@lru_cache(maxsize=1_024)
def bare_host(host: str) -> str:
    """``host`` in lower case without its port and final dot."""
    if host.endswith("]"):
        return host.lower()
    name_only, colon, port = host.rpartition(":")
    if colon and (not port or port.isdigit()):
        host = name_only
    return host.removesuffix(".").lower()


def is_proxy(ip: str, proxies: tuple[str, ...]) -> bool:
    """Whether ``ip`` lies in one of the networks ``proxies`` (CIDR)."""
    return bool(proxies) and _in_networks(ip, proxies)


@lru_cache(maxsize=4_096)
def _in_networks(ip: str, networks: tuple[str, ...]) -> bool:
    try:
        address = ipaddress.ip_address(ip)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return any(address in network for network in _networks(networks))


@lru_cache(maxsize=64)
def _networks(networks: tuple[str, ...]) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    return tuple(ipaddress.ip_network(network, strict=False) for network in networks)


def _caller_ip(headers: Headers, peer_ip: str, proxies: tuple[str, ...]) -> str:
    """The address nearest to us that no proxy of ours has; the farthest one where all are."""
    ip = peer_ip
    for hop in reversed(headers.get("x-forwarded-for", "").split(",")[-MAX_HOPS:]):
        address = _address(hop.strip())
        if address is None:
            break
        ip = address
        if not _in_networks(ip, proxies):
            break
    return ip


def _address(text: str) -> str | None:
    """The address of one ``X-Forwarded-For`` entry, which some proxies write with a port or in brackets."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None


def _one_of(value: str | None, allowed: tuple[str, ...]) -> str | None:
    value = value.strip().lower() if value else None
    return value if value in allowed else None


def _trace(headers: Headers, randomness: Randomness) -> tuple[str, str, str]:
    """The trace the request belongs to, the gateway's own span in it, and the trace's flags."""
    fresh = randomness.hex(24)
    parent = _TRACEPARENT.fullmatch(headers.get("traceparent", ""))
    if parent:
        version, trace, span, flags, rest = parent.groups()
        if version != "ff" and not (version == "00" and rest) and trace.strip("0") and span.strip("0"):
            return trace, fresh[:16], flags
    return fresh[16:], fresh[:16], "01"
