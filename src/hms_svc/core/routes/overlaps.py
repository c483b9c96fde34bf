"""Routes that would serve the same requests with equal rank: found, never decided by their order in the file.

Two routes clash when their paths have the same shape (``{id}`` and ``{name}`` are one, literals compare decoded), their
hosts are the same, their conditions have the same names, and one request can meet the methods and values of both.
Routes that differ in more than values and methods land in different groups, and within a group each route is compared
only with those that share its rarest value.
"""

from __future__ import annotations

from heapq import merge
from typing import TYPE_CHECKING

from hms_svc.core.match import condition_names
from hms_svc.core.path import segment_key

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from hms_svc.core.config import Route

Kind = tuple[str, str]
"""``("header", "x-tenant")``, ``("query", "v")`` or ``("method", "")``."""
Asks = dict[Kind, frozenset[str] | None]
"""The values a request may have; None: any."""


def overlaps(routes: Sequence[Route]) -> Iterator[tuple[int, int]]:
    """For each route that clashes with one before it: the two indexes, the earlier one second."""
    groups: dict[object, _Group] = {}
    for index, route in enumerate(routes):
        earlier = groups.setdefault(_rank(route), _Group()).clash(index, route)
        if earlier is not None:
            yield index, earlier


def _rank(route: Route) -> object:
    """What the route table ranks by: routes that differ in it never tie."""
    shape = tuple("{}" if segment.startswith("{") else segment_key(segment) + "/" for segment in _segments(route.path))
    return route.path.endswith("/*"), shape, route.host, tuple(sorted(condition_names(route)))


def _segments(path: str) -> list[str]:
    return path.removesuffix("/*").split("/")[1:]


class _Group:
    """Routes of equal rank seen so far, found by any value they ask for."""

    def __init__(self) -> None:
        self._asks: dict[int, Asks] = {}
        self._by_value: dict[tuple[Kind, str | None], list[int]] = {}

    def clash(self, index: int, route: Route) -> int | None:
        """The first route seen that could serve a request of this one; and remember this one."""
        asks = _asks(route)
        rarest = min(
            (self._sharing(kind, values) for kind, values in asks.items()), key=lambda found: sum(map(len, found))
        )
        clashing = next((other for other in merge(*rarest) if _meet(asks, self._asks[other])), None)
        self._asks[index] = asks
        for kind, values in asks.items():
            for value in (None,) if values is None else values:
                self._by_value.setdefault((kind, value), []).append(index)
        return clashing

    def _sharing(self, kind: Kind, values: frozenset[str] | None) -> list[Collection[int]]:
        """The routes that take one of ``values``, and those that take any; each list in the file's order."""
        if values is None:
            return [self._asks]
        return [self._by_value.get((kind, value), ()) for value in (*values, None)]


def _asks(route: Route) -> Asks:
    asks: Asks = {("method", ""): route.methods}
    asks |= {("header", part.name.lower()): part.values for part in route.headers}
    asks |= {("query", part.name): part.values for part in route.query}
    return asks


def _meet(one: Asks, other: Asks) -> bool:
    """Whether one request can have what both ask for."""
    for kind, values in one.items():
        others = other.get(kind)
        if values is not None and others is not None and values.isdisjoint(others):
            return False
    return True
