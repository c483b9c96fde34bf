"""The admin interface under ``/_hms/`` of a gateway on one machine: health, routes in force, a reload, limits.

Everything but health needs the admin token. Without a token configured there is no admin interface at all.
"""

from __future__ import annotations

import hmac
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Protocol
from urllib.parse import parse_qs

from hms_svc.core.errors import BadCredentials, Forbidden, MethodNotAllowed
from hms_svc.core.model import Caller, Headers, Response
from hms_svc.core.own import health, json_response
from hms_svc.core.routes import RoutesInvalid
from hms_svc.core.summary import summary
from hms_svc.local.admin_limits import LIMITS

if TYPE_CHECKING:
    from hms_svc.core.arrive import Arrival
    from hms_svc.core.changes import Change
    from hms_svc.core.config import Config
    from hms_svc.core.entry import Entry
    from hms_svc.local.admin_limits import LimitsDesk

ROUTES = "/_hms/routes"
_DONE = {
    ROUTES: {"GET": "routes", "PUT": "reload", "POST": "reload"},
    LIMITS: {"GET": "limits", "DELETE": "limits reset"},
}
"""What the record says an admin request did, by path and method."""
ADMIN = Caller(name="admin", via="admin_token")
"""Who the record says called: there is one admin token, not one a person."""
MAX_ROUTES_FILE = 8 * 1024 * 1024
"""Bytes of a routes.yml that the interface takes."""


class RoutesInForce(Protocol):
    """The table the gateway uses, and the way to exchange it."""

    @property
    def config(self) -> Config:
        """The configuration in force."""
        ...

    async def replace(self, data: bytes, source: str) -> tuple[Change, ...]:
        """Put ``data`` in force and tell what changed; raises `RoutesInvalid`, and then nothing has changed."""
        ...


class Admin:
    """The own paths of a gateway with an admin interface."""

    def __init__(self, routes: RoutesInForce, token: str | None, limits: LimitsDesk) -> None:
        self._routes = routes
        self._limits = limits
        self._token = token.encode() if token else None

    async def answer(self, arrival: Arrival, entry: Entry) -> Response:
        """Dispatch one admin request; what it did is in the record."""
        if arrival.path not in _DONE:
            entry.admin = "health"
            return health(arrival)
        method = arrival.request.method
        entry.admin = _DONE[arrival.path].get(method) or _DONE[arrival.path]["GET"]
        self._authenticate(arrival)
        entry.caller = ADMIN
        if arrival.path == LIMITS:
            return await self._limits.answer(arrival, self._routes.config, entry)
        if method in {"GET", "HEAD"}:
            config = self._routes.config
            return json_response(200, {"sha256": config.sha256, "routes": [summary(route) for route in config.routes]})
        if method in {"PUT", "POST"}:
            return await self._reload(arrival, entry)
        raise MethodNotAllowed(method, ("GET", "HEAD", "POST", "PUT"))

    def _authenticate(self, arrival: Arrival) -> None:
        if self._token is None:
            raise Forbidden("The admin interface is off: start the gateway with HMS_SVC_TOKEN set to turn it on")
        lines = arrival.request.headers.all("authorization")
        scheme, _, given = lines[0].partition(" ") if len(lines) == 1 else ("", "", "")
        good = hmac.compare_digest(given.strip().encode("utf-8", "surrogateescape"), self._token)
        if not good or scheme.lower() != "bearer":
            raise BadCredentials(cause="not the admin token", challenges=('Bearer realm="hms-svc admin"',))

    async def _reload(self, arrival: Arrival, entry: Entry) -> Response:
        data = await arrival.request.body.read(MAX_ROUTES_FILE)
        entry.request_bytes = len(data)
        source = parse_qs(arrival.request.query).get("source", ["routes.yml"])[0]
        source = "".join(character for character in source if character.isprintable())[-200:]
        try:
            changed = await self._routes.replace(data, source)
        except RoutesInvalid as invalid:
            entry.refusal = "routes-invalid"
            entry.detail = f"{len(invalid.problems)} problems; the routes in force stay"
            return _problems(invalid, arrival.request_id)
        config = self._routes.config
        entry.detail = f"{len(changed)} changes; now {config.sha256}"
        return json_response(
            200,
            {
                "sha256": config.sha256,
                "routes": len(config.routes),
                "changes": [asdict(change) for change in changed],
                "warnings": list(config.warnings),
            },
        )


def _problems(invalid: RoutesInvalid, request_id: str) -> Response:
    """Every problem of the file, as problem details (RFC 9457) with a member ``problems``."""
    count = len(invalid.problems)
    problem = {
        "type": "urn:problem:hms-svc:routes-invalid",
        "title": "Routes not loaded",
        "status": 422,
        "detail": f"{count} problem{'s' if count != 1 else ''} found; the routes in force stay",
        "request_id": request_id,
        "problems": [problem.as_dict() for problem in invalid.problems],
    }
    return Response(422, Headers((("Content-Type", "application/problem+json"),)), json.dumps(problem).encode())
