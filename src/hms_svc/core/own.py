"""What lives under ``/_hms/``: the gateway's own paths, never matched by a route and never forwarded."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Protocol

from hms_svc.core.errors import MethodNotAllowed, NoSuchPath
from hms_svc.core.model import Headers, Response

if TYPE_CHECKING:
    from hms_svc.core.arrive import Arrival
    from hms_svc.core.entry import Entry

PREFIX = "/_hms"
HEALTH = "/_hms/health"


class OwnPaths(Protocol):
    """Whatever answers below ``/_hms/``."""

    async def answer(self, arrival: Arrival, entry: Entry) -> Response:
        """The answer to a request for an own path; raises a `Refusal` for one that is not there."""
        ...


def is_own(path: str) -> bool:
    """Whether a normalised path is the gateway's own."""
    return path.startswith(PREFIX) and (len(path) == len(PREFIX) or path[len(PREFIX)] == "/")


class HealthOnly:
    """The own paths where there is no admin interface: whether the gateway answers at all."""

    async def answer(self, arrival: Arrival, entry: Entry) -> Response:
        """Health, and 404 for the rest."""
        entry.admin = "health"
        return health(arrival)


def health(arrival: Arrival) -> Response:
    """200 while the gateway serves, for load balancers; raises `NoSuchPath` for any other path."""
    if arrival.path != HEALTH:
        raise NoSuchPath
    if arrival.request.method not in {"GET", "HEAD"}:
        raise MethodNotAllowed(arrival.request.method, ("GET", "HEAD"))
    return json_response(200, {"status": "ok"})


def json_response(status: int, value: object) -> Response:
    """``value`` as a JSON answer that nobody stores."""
    lines = (("Content-Type", "application/json"), ("Cache-Control", "no-store"))
    return Response(status, Headers(lines), json.dumps(value).encode() + b"\n")
