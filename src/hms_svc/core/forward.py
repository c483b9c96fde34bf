"""Passing an admitted request on to a private service, and its answer back.

What the service sees is the caller's request less what belongs to one connection only (RFC 9110, section 7.6.1), plus
what the gateway alone may say: who calls, from where, under which name. The same names from a client are dropped, in
any case and with ``_`` for ``-``, which some servers read as the same; and so are those by which other proxies tell of
a client's certificate, as the service may believe them.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from hms_svc.core.errors import BadGateway, GatewayTimeout
from hms_svc.core.model import Caller, Headers, Response
from hms_svc.core.ports import (
    UpstreamBroken,
    UpstreamRequest,
    UpstreamResponse,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from hms_svc.core.rewrite import edit, forwarded_path

if TYPE_CHECKING:
    from hms_svc.core.arrive import Arrival
    from hms_svc.core.config import Forward, Route, Target
    from hms_svc.core.entry import Entry
    from hms_svc.core.ports import Clock, Randomness, Upstream

IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"})
"""RFC 9110, section 9.2.2: what may be sent again when it is not known whether it arrived."""
HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authentication-info",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Fields of one connection (RFC 9110, section 7.6.1, and what RFC 7235 and older clients add)."""
SET_BY_THE_GATEWAY = frozenset(
    {"host", "content-length", "expect", "forwarded", "x-real-ip", "x-request-id", "traceparent", "tracestate"}
)
_PREFIXES_OF_THE_GATEWAY = ("x-hms-", "x-forwarded-")
_WHO_CALLS = re.compile(
    r"x-hms-.*|(?:(?:x-|x-forwarded-)?(?:client-(?:cert|certificate|verify|dn)|(?:ssl|tls)-(?:client|cert|certificate))"
    r"|x-amzn-mtls-clientcert|cloudfront-viewer-cert|x-arr-clientcert)(?:-.*)?",
    re.DOTALL,
)
"""What the gateway says of a caller, and what proxies say of a client's certificate: RFC 9440, Envoy, nginx, AWS."""
_PRINTABLE = "".join(map(chr, range(0x21, 0x7F))).replace("%", "")


class Admitted(NamedTuple):
    """A request that was matched, identified, authorised and within its limits; the only kind that is forwarded."""

    arrival: Arrival
    route: Route
    caller: Caller
    body: bytes
    set_by_policies: tuple[tuple[str, str], ...] = ()
    """Fields, in place of what the caller sent under these names."""


class Forwarder:
    """The step that calls the service behind."""

    def __init__(self, upstream: Upstream, clock: Clock, randomness: Randomness) -> None:
        self._upstream = upstream
        self._clock = clock
        self._randomness = randomness

    async def forward(self, admitted: Admitted, action: Forward, entry: Entry) -> Response:
        """The service's answer, hop-by-hop fields removed, whatever its status.

        Raises `BadGateway` or `GatewayTimeout`; the whole call, retries too, has the route's ``timeout``.
        """
        started = self._clock.monotonic_ns()
        deadline = started + int(action.timeout_s * 1e9)
        headers = upstream_headers(admitted)
        targets = self._order(action)
        while True:
            target = targets[entry.attempts % len(targets)]
            entry.attempts += 1
            entry.upstream = target.authority
            timeout_s = (deadline - self._clock.monotonic_ns()) / 1e9
            try:
                answer = await self._upstream.send(_wire(admitted, action, target, headers, timeout_s))
            except UpstreamTimeout as error:
                raise GatewayTimeout(cause=str(error)) from error
            except UpstreamBroken as error:
                raise BadGateway(cause=str(error)) from error
            except UpstreamUnreachable as error:
                safe = not error.sent or admitted.arrival.request.method in IDEMPOTENT
                if not safe or entry.attempts > action.retries or self._clock.monotonic_ns() >= deadline:
                    raise BadGateway(cause=str(error)) from error
                continue
            finally:
                entry.upstream_ns = self._clock.monotonic_ns() - started
            entry.upstream_status = answer.status
            return _back(answer)

    def _order(self, action: Forward) -> tuple[Target, ...]:
        """The targets to try in turn, the first chosen by weight."""
        targets = action.targets
        if len(targets) == 1:
            return targets
        ticket = self._randomness.below(sum(target.weight for target in targets))
        for index, target in enumerate(targets):
            ticket -= target.weight
            if ticket < 0:
                return targets[index:] + targets[:index]
        return targets


def _wire(
    admitted: Admitted, action: Forward, target: Target, headers: list[tuple[str, str]], timeout_s: float
) -> UpstreamRequest:
    arrival = admitted.arrival
    path = forwarded_path(arrival.path, admitted.route.path, target.path) if target.path else arrival.path
    query = arrival.request.query
    host = target.authority if action.rewrite_host is None else action.rewrite_host.replace("{host}", arrival.host)
    return UpstreamRequest(
        target=target,
        method=arrival.request.method,
        path_and_query=f"{path}?{query}" if query else path,
        headers=Headers((("Host", host), *headers)),
        body=admitted.body,
        timeout_s=timeout_s,
    )


def upstream_headers(admitted: Admitted) -> list[tuple[str, str]]:
    """The header lines a service sees, but for ``Host``."""
    arrival, caller = admitted.arrival, admitted.caller
    received = arrival.request.headers
    fields = received.joined()
    lines = [line for line in received.lines if _goes_on(line[0])]
    if "connection" in fields:
        named = connection_options(received)
        lines = [line for line in lines if line[0].lower() not in named]
    if admitted.set_by_policies:
        replaced = {plain(name) for name, _ in admitted.set_by_policies}
        lines = [line for line in lines if plain(line[0]) not in replaced]
        lines += admitted.set_by_policies
    if admitted.route.request_headers.is_not_empty:
        lines = edit(lines, admitted.route.request_headers)
    if admitted.body or "content-length" in fields or "transfer-encoding" in fields:
        lines.append(("Content-Length", str(len(admitted.body))))
    lines += _forwarding(arrival)
    lines.append(("X-Request-Id", arrival.request_id))
    lines.append(("traceparent", arrival.traceparent))
    if "tracestate" in fields and arrival.traceparent[3:35] in fields.get("traceparent", ""):
        lines.append(("tracestate", fields["tracestate"]))
    lines += _identity(caller.via, caller.name, caller.scopes)
    return lines


@lru_cache(maxsize=1_024)
def _identity(via: str, name: str, scopes: frozenset[str]) -> tuple[tuple[str, str], ...]:
    """Who calls, as the service is told."""
    lines = [("X-HMS-Auth", via)]
    if name:
        lines.append(("X-HMS-Caller", quote(name, safe=_PRINTABLE)))
    if scopes:
        lines.append(("X-HMS-Scopes", quote(" ".join(sorted(scopes)), safe=_PRINTABLE + " ")))
    return tuple(lines)


def connection_options(headers: Headers) -> frozenset[str]:
    """The fields that ``Connection`` declares to be of this connection only, lower case."""
    options = headers.get("connection")
    return frozenset(option.strip().lower() for option in options.split(",")) if options else frozenset()


def plain(name: str) -> str:
    """A field's name as the most careless of servers reads it."""
    return name.lower().replace("_", "-")


@lru_cache(maxsize=2_048)
def is_the_callers(name: str) -> bool:
    """Whether a field is none that the gateway alone may set."""
    said = plain(name)
    return said not in HOP_BY_HOP | SET_BY_THE_GATEWAY and not said.startswith(_PREFIXES_OF_THE_GATEWAY)


@lru_cache(maxsize=2_048)
def says_who_calls(name: str) -> bool:
    """Whether a field is one by which a proxy says who calls: from the caller itself it is worth nothing.

    RFC 9440, section 2.4, wants such fields taken out, for a service behind believes that its proxy has made them.
    """
    return _WHO_CALLS.fullmatch(plain(name)) is not None


@lru_cache(maxsize=2_048)
def _goes_on(name: str) -> bool:
    """Whether a field goes on to the service as the caller sent it."""
    return is_the_callers(name) and not says_who_calls(name)


def _forwarding(arrival: Arrival) -> tuple[tuple[str, str], ...]:
    """``Forwarded`` (RFC 7239) and its older relatives; a trusted proxy's own are continued."""
    headers = arrival.request.headers
    before = (headers.get("forwarded"), headers.get("x-forwarded-for")) if arrival.trusted else (None, None)
    return _forwarding_lines(arrival.request.peer_ip, arrival.host, arrival.scheme, *before)


@lru_cache(maxsize=1_024)
def _forwarding_lines(
    peer: str, host: str, scheme: str, elements: str | None, addresses: str | None
) -> tuple[tuple[str, str], ...]:
    node = f'"[{peer}]"' if ":" in peer else peer
    own_host = f';host="{host}"' if host else ""
    element = f"for={node}{own_host};proto={scheme}"
    lines = [
        ("Forwarded", f"{elements}, {element}" if elements else element),
        ("X-Forwarded-For", f"{addresses}, {peer}" if addresses else peer),
        ("X-Forwarded-Proto", scheme),
    ]
    if host:
        lines.append(("X-Forwarded-Host", host))
    return tuple(lines)


def _back(answer: UpstreamResponse) -> Response:
    """The service's answer as the caller may see it."""
    lines = [line for line in answer.headers.lines if _comes_back(line[0])]
    if len(lines) != len(answer.headers.lines):
        named = connection_options(answer.headers)
        lines = [line for line in lines if line[0].lower() not in named]
    return Response(answer.status, Headers(lines), answer.body)


@lru_cache(maxsize=2_048)
def _comes_back(name: str) -> bool:
    """Whether a service's field goes on to the caller."""
    return name.lower() not in HOP_BY_HOP
