"""Where a request may carry an API key besides ``Authorization``: a header, and a query parameter if a route says so.

A key in a URL goes wherever URLs go: to the service behind, into jobs, redirections and logs. So `without_query_key`
takes it out of the request once its route is known, and only what identifies the caller sees the request as it came.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote_plus

from hms_svc.core.errors import Malformed

if TYPE_CHECKING:
    from hms_svc.core.arrive import Arrival
    from hms_svc.core.config import Config, Route
    from hms_svc.core.credentials.bearer import Authorization
    from hms_svc.core.model import Request

AUTHORIZATION = "Authorization"


def keys_at(request: Request, route: Route, config: Config) -> list[tuple[str, str]]:
    """What stands in each place where a key may be, good or not, and how the place is called."""
    header, parameter = config.api_key_header, route.api_key_query
    keys: list[tuple[str, str]] = []
    value: str | None = request.headers.get(header)
    if value is not None:
        # Repeated lines are joined with a comma, which no key holds, here or by a door (HTTP APIs) or proxy.
        keys = [(header, part.strip(" \t")) for part in value.split(",")] if "," in value else [(header, value)]
    if parameter is not None and request.query:
        place = f"the query parameter {parameter}"
        parts = (part.partition("=") for part in request.query.split("&"))
        keys += [(place, unquote_plus(text)) for name, _, text in parts if unquote_plus(name) == parameter]
    return keys


def the_key(
    request: Request, authorization: Authorization | None, route: Route, config: Config
) -> tuple[str, str] | None:
    """The one key that is presented, good or not, and how its place is called; None when there is none.

    Raises `Malformed` when there are several: it is not clear which one counts.
    """
    keys = keys_at(request, route, config)
    if authorization is not None and authorization.scheme == "apikey":
        keys.append((AUTHORIZATION, authorization.token))
    if len(keys) > 1:
        places = " and in ".join(dict.fromkeys(place for place, _ in keys))
        raise Malformed(f"There is more than one API key: in {places}")
    return keys[0] if keys else None


def without_query_key(arrival: Arrival, route: Route) -> Arrival:
    """``arrival`` as all may see it: without the route's query parameter for keys, the rest of the query untouched."""
    parameter, request = route.api_key_query, arrival.request
    if parameter is None or not request.query:
        return arrival
    kept = [part for part in request.query.split("&") if unquote_plus(part.partition("=")[0]) != parameter]
    return arrival._replace(request=request._replace(query="&".join(kept)))
