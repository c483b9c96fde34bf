"""The route table as a tree: which route serves a request, independent of the order in the file.

A literal segment beats ``{name}`` beats ``*``, from left to right; then the longer; then a named host beats none; then
more header and query conditions; then, so that the answer is always the same, the longer condition names, then their
alphabetical order, a header before a query parameter of the same name. The most specific path whose host and conditions
hold decides: a method it does not serve is a 405, it never falls through to a wider route (which may be an open one).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qsl

from hms_svc.core.config import Config
from hms_svc.core.errors import Malformed, MethodNotAllowed, NoSuchPath
from hms_svc.core.model import EMPTY
from hms_svc.core.path import decode_segment, other_readings, segment_key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hms_svc.core.config import Route
    from hms_svc.core.model import Headers

NO_ROUTES_LOADED = (
    "No such path: no routes are loaded. Load some with `hms-svc reload routes.yml`, "
    "or start the gateway with `hms-svc start --routes routes.yml`"
)
MAX_QUERY_FIELDS = 1_000
ANY_METHOD = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
"""What ``Allow`` says of a route that takes any method."""


class Match(NamedTuple):
    """The route that serves a request, and what its ``{name}`` segments stand for."""

    route: Route
    params: Mapping[str, str]


class Wanted(NamedTuple):
    """What of a request decides which route serves it."""

    method: str
    path: str
    """Normalised."""
    host: str
    """Lower case, without the port; may be empty."""
    headers: Headers
    query: str


class RouteTable:
    """A configuration ready to match. Never changes; a reload makes a new one."""

    def __init__(self, config: Config | None = None) -> None:
        self.config = config or Config()
        self._root = _Node()
        for route in self.config.routes:
            self._root.add(route)

    def find(self, wanted: Wanted) -> Match:
        """The route for ``wanted``.

        Raises `NoSuchPath`, `MethodNotAllowed`, or `Malformed` when a backend could read the path as one that
        another route serves.
        """
        route, segments = self._lookup(wanted, wanted.path)
        readings = other_readings(wanted.path)
        if readings and any(self._reads_as(wanted, other) is not route for other in readings):
            raise Malformed("The path can be read in two ways: write escaped slashes and ;parameters some other way")
        return Match(route, _params(route, segments) if "{" in route.path else EMPTY)

    def _reads_as(self, wanted: Wanted, path: str) -> Route | None:
        try:
            return self._lookup(wanted, path)[0]
        except (NoSuchPath, MethodNotAllowed):
            return None

    def _lookup(self, wanted: Wanted, path: str) -> tuple[Route, list[str]]:
        segments = path.split("/")[1:]
        keys = [segment_key(segment) for segment in segments] if "%" in path else segments
        served = self._root.serving(keys, 0, wanted)
        if not served:
            raise NoSuchPath("" if self.config.routes else NO_ROUTES_LOADED)
        return _by_method(served, wanted.method), segments


class _Node:
    """The routes whose path has come this far, and where the next segment leads."""

    __slots__ = ("below", "exact", "literals", "parameter")

    def __init__(self) -> None:
        self.literals: dict[str, _Node] = {}
        self.parameter: _Node | None = None
        self.exact: list[Route] = []
        self.below: list[Route] = []

    def add(self, route: Route) -> None:
        node = self
        *inner, last = route.path.split("/")[1:]
        for segment in inner:
            node = node.child(segment)
        leaf = node.below if last == "*" else node.child(last).exact
        leaf.append(route)
        leaf.sort(key=_rank)

    def child(self, segment: str) -> _Node:
        if segment.startswith("{"):
            if self.parameter is None:
                self.parameter = _Node()
            return self.parameter
        return self.literals.setdefault(segment_key(segment), _Node())

    def serving(self, keys: list[str], depth: int, wanted: Wanted) -> list[Route]:
        """The routes of the most specific path pattern that fits and has one whose host and conditions hold."""
        served: list[Route] = []
        if depth == len(keys):
            served = [route for route in self.exact if _conditions_hold(route, wanted)]
        else:
            literal = self.literals.get(keys[depth])
            if literal is not None:
                served = literal.serving(keys, depth + 1, wanted)
            if not served and self.parameter is not None and keys[depth]:
                served = self.parameter.serving(keys, depth + 1, wanted)
        return served or [route for route in self.below if _conditions_hold(route, wanted)]


def _rank(route: Route) -> tuple[bool, bool, int, int, int, list[tuple[str, str]]]:
    """Sorts the routes of one path, the one to try first in front."""
    host = route.host or ""
    names = sorted(condition_names(route))
    return (not host, host.startswith("*"), -len(host), -len(names), -sum(len(name) for name, _ in names), names)


def condition_names(route: Route) -> list[tuple[str, str]]:
    """What the route's conditions are about: each name, and whether it is a header's or a query parameter's."""
    return [(part.name.lower(), "header") for part in route.headers] + [(part.name, "query") for part in route.query]


def _conditions_hold(route: Route, wanted: Wanted) -> bool:
    if route.host is not None and not _host_fits(route.host, wanted.host):
        return False
    for condition in route.headers:
        if wanted.headers.get(condition.name) not in condition.values:
            return False
    return not route.query or _query_fits(route, wanted.query)


def _host_fits(pattern: str, host: str) -> bool:
    return host.endswith(pattern[1:]) and len(host) >= len(pattern) if pattern.startswith("*.") else host == pattern


def _query_fits(route: Route, query: str) -> bool:
    """Whether each condition holds of the first parameter of its name."""
    first: dict[str, str] = {}
    for name, value in parse_query(query):
        first.setdefault(name, value)
    return all(first.get(condition.name) in condition.values for condition in route.query)


def parse_query(query: str) -> list[tuple[str, str]]:
    """The decoded parameters in order. Raises `Malformed` beyond `MAX_QUERY_FIELDS`."""
    try:
        return parse_qsl(query, keep_blank_values=True, max_num_fields=MAX_QUERY_FIELDS)
    except ValueError:
        raise Malformed(f"The query has over {MAX_QUERY_FIELDS} parameters") from None


def _by_method(routes: list[Route], method: str) -> Route:
    for route in routes:
        if route.methods is None or method in route.methods:
            return route
    if method == "HEAD":
        for route in routes:
            if route.methods is not None and "GET" in route.methods:
                return route
    raise MethodNotAllowed(method, allowed_methods(routes))


def allowed_methods(routes: list[Route]) -> tuple[str, ...]:
    """What ``Allow`` lists for routes of one path: theirs, HEAD beside GET, and OPTIONS, which the gateway answers."""
    methods: set[str] = {"OPTIONS"}
    for route in routes:
        methods |= ANY_METHOD_SET if route.methods is None else route.methods
    if "GET" in methods:
        methods.add("HEAD")
    return tuple(sorted(methods))


ANY_METHOD_SET = frozenset(ANY_METHOD)


def _params(route: Route, segments: list[str]) -> Mapping[str, str]:
    return {
        name[1:-1]: decode_segment(segment)
        for name, segment in zip(route.path.split("/")[1:], segments, strict=False)
        if name.startswith("{")
    }
