"""Answers the gateway gives by itself, and what it adds to every answer on its way out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hms_svc.core.errors import Refusal
from hms_svc.core.model import Headers, Response
from hms_svc.core.rewrite import edit, forwarded_path

if TYPE_CHECKING:
    from hms_svc.core.arrive import Arrival
    from hms_svc.core.config import Cors, Redirect, Route
    from hms_svc.core.match import RouteTable
    from hms_svc.core.model import Request

_CORS_FIELDS = frozenset(
    {
        "access-control-allow-origin",
        "access-control-allow-credentials",
        "access-control-expose-headers",
        "access-control-allow-methods",
        "access-control-allow-headers",
        "access-control-max-age",
    }
)


def redirect(arrival: Arrival, route: Route, action: Redirect) -> Response:
    """The redirection a route declares, the request's query kept."""
    path = arrival.path
    if action.path is not None:
        path = forwarded_path(path, route.path, action.path) if route.path.endswith("*") else action.path
    scheme = action.scheme or arrival.scheme
    host, colon, port = arrival.host.rpartition(":") if not arrival.host.endswith("]") else (arrival.host, "", "")
    if not colon:
        host, port = arrival.host, ""
    if action.host is not None:
        host = action.host
    if action.port is not None:
        port = str(action.port)
    elif action.scheme is not None:
        port = ""
    port = "" if port == {"http": "80", "https": "443"}[scheme] else port
    query = f"?{arrival.request.query}" if arrival.request.query else ""
    location = f"{scheme}://{host}{':' if port else ''}{port}{path}{query}"
    return Response(action.status, Headers((("Location", location),)))


def options(allow: str) -> Response:
    """The answer to ``OPTIONS`` on a path whose routes do not serve it themselves (RFC 9110, section 9.3.7)."""
    return Response(204, Headers((("Allow", allow),)))


def preflight(table: RouteTable, arrival: Arrival) -> Response | None:
    """The answer to a CORS preflight, or None if the request is none or its route declares no ``cors``.

    Answered without a credential, as the Fetch standard sends it without one.
    """
    if arrival.request.method != "OPTIONS":
        return None
    headers = arrival.request.headers
    origin, method = headers.get("origin"), headers.get("access-control-request-method")
    if not origin or not method:
        return None
    try:
        cors = table.find(arrival.wanted()._replace(method=method)).route.cors
    except Refusal:
        return None
    if cors is None:
        return None
    lines = _allow_origin(cors, origin)
    if lines:
        lines.append(("Access-Control-Allow-Methods", ", ".join(cors.methods)))
        if cors.headers:
            lines.append(("Access-Control-Allow-Headers", ", ".join(cors.headers)))
        lines.append(("Access-Control-Max-Age", str(cors.max_age_s)))
    return Response(204, Headers([*lines, ("Vary", "Origin, Access-Control-Request-Method")]))


def finish(
    response: Response,
    request_id: str,
    *,
    route: Route | None,
    request: Request,
    extra: tuple[tuple[str, str], ...],
) -> Response:
    """``response`` as it leaves: the route's edits, CORS fields, rate limit fields and ``X-Request-Id`` added."""
    lines: list[tuple[str, str]] = [line for line in response.headers.lines if line[0].lower() != "x-request-id"]
    if route is not None:
        if route.cors is not None:
            origin = request.headers.get("origin")
            lines = [line for line in lines if line[0].lower() not in _CORS_FIELDS]
            if origin:
                lines += _allow_origin(route.cors, origin)
                if route.cors.expose:
                    lines.append(("Access-Control-Expose-Headers", ", ".join(route.cors.expose)))
            lines.append(("Vary", "Origin"))
        if route.response_headers.is_not_empty:
            lines = edit(lines, route.response_headers)
    lines += extra
    lines.append(("X-Request-Id", request_id))
    return Response(response.status, Headers(lines), response.body)


def _allow_origin(cors: Cors, origin: str) -> list[tuple[str, str]]:
    """The fields that let ``origin`` read the answer; none when it may not."""
    if "*" in cors.origins:
        return [("Access-Control-Allow-Origin", "*")]
    if not any(_origin_fits(pattern, origin) for pattern in cors.origins):
        return []
    lines = [("Access-Control-Allow-Origin", origin)]
    if cors.credentials:
        lines.append(("Access-Control-Allow-Credentials", "true"))
    return lines


def _origin_fits(pattern: str, origin: str) -> bool:
    before, star, after = pattern.partition("*")
    if not star:
        return origin == pattern
    return origin.startswith(before) and origin.endswith(after) and len(origin) > len(before) + len(after)
