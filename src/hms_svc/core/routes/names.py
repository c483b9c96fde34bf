"""What routes are called: the file's ``name``, else one made of what the route matches. Unique in a file."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hms_svc.core.config import Route
    from hms_svc.core.routes.fields import RouteRead


def named(reads: Sequence[RouteRead]) -> tuple[Route, ...]:
    """The routes, each with its name. A name that is there twice is noted."""
    routes = tuple(read.route if read.route.name else replace(read.route, name=made_of(read.route)) for read in reads)
    first: dict[str, RouteRead] = {}
    for route, read in zip(routes, reads, strict=True):
        other = first.setdefault(route.name, read)
        if other is not read:
            later, earlier = (read, other) if read.route.name else (other, read)
            if later.route.name:
                later.fields.at("name").report(
                    f"is the name of {earlier.place.key} too ({earlier.place.position}); names are unique"
                )
    return routes


def made_of(route: Route) -> str:
    """``GET,POST claims.example/secure/claims/* ?v=2 X-Tenant:blue``: no two routes of a good file have the same."""
    methods = ",".join(sorted(route.methods)) if route.methods is not None else "any"
    parts = [f"{methods} {route.host or ''}{route.path}"]
    parts += [f"?{_words({part.name})}={_words(part.values)}" for part in route.query]
    parts += [f"{part.name}:{_words(part.values)}" for part in route.headers]
    return " ".join(parts)


def _words(words: frozenset[str] | set[str]) -> str:
    """Several values as one word, in which no value can look like two."""
    return "|".join(quote(word, safe="/:@!$'()*+,;~") for word in sorted(words))
