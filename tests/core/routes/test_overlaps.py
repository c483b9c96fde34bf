from __future__ import annotations

from itertools import permutations

from fakes_routes import config, problems
from hypothesis import given, settings
from hypothesis import strategies as st

from hms_svc.core.config import Condition, Config, Forward, Route
from hms_svc.core.errors import Refusal
from hms_svc.core.match import RouteTable, Wanted
from hms_svc.core.model import Headers
from hms_svc.core.routes.overlaps import overlaps

PATHS = ("/a", "/a/*", "/*", "/{x}", "/{y}", "/a/{x}", "/{x}/b", "/%61", "/", "/a/")
names = st.sampled_from(["a", "A", "b", "c"])
values = st.frozensets(st.sampled_from(["1", "2", "3"]), min_size=1)


@st.composite
def routes(draw: st.DrawFn) -> Route:
    headers = draw(st.dictionaries(names, values, max_size=2))
    if len({name.lower() for name in headers}) < len(headers):
        headers = {}
    query = draw(st.dictionaries(names, values, max_size=2))
    methods = draw(st.none() | st.frozensets(st.sampled_from(["GET", "POST", "HEAD"]), min_size=1))
    return Route(
        name=str(draw(st.uuids())),
        path=draw(st.sampled_from(PATHS)),
        action=Forward(()),
        auth=(),
        methods=methods,
        host=draw(st.sampled_from([None, "x.example", "*.example", "*.x.example"])),
        headers=tuple(Condition(*pair) for pair in headers.items()),
        query=tuple(Condition(*pair) for pair in query.items()),
    )


requests = st.builds(
    Wanted,
    method=st.sampled_from(["GET", "POST", "HEAD", "PUT"]),
    path=st.sampled_from(["/", "/a", "/a/", "/a/b", "/b", "/b/b", "/a/b/c"]),
    host=st.sampled_from(["x.example", "y.example", "z.x.example", "other"]),
    headers=st.dictionaries(names, st.sampled_from("123")).map(lambda lines: Headers(lines.items())),
    query=st.dictionaries(names, st.sampled_from("123")).map(
        lambda pairs: "&".join(f"{name}={value}" for name, value in pairs.items())
    ),
)


def served_by(order: tuple[Route, ...], wanted: Wanted) -> str:
    try:
        return RouteTable(Config(routes=order)).find(wanted).route.name
    except Refusal as refusal:
        return f"{refusal.status} {refusal.headers}"


@settings(deadline=None, max_examples=300)
@given(table=st.lists(routes(), min_size=2, max_size=3), wanted=st.lists(requests, min_size=5, max_size=10))
def test_routes_without_overlap_serve_alike_in_any_order(table: list[Route], wanted: list[Wanted]) -> None:
    if list(overlaps(table)):
        return
    for one in wanted:
        assert len({served_by(order, one) for order in permutations(table)}) == 1


@settings(deadline=None, max_examples=300)
@given(table=st.lists(routes(), min_size=2, max_size=6))
def test_every_route_that_clashes_with_an_earlier_one_is_found(table: list[Route]) -> None:
    found = dict(overlaps(table))
    assert all(earlier < later for later, earlier in found.items())
    for later in range(len(table)):
        pairwise = [earlier for earlier in range(later) if list(overlaps([table[earlier], table[later]]))]
        assert found.get(later) == min(pairwise, default=None)


def clash(one: str, other: str) -> bool:
    text = "".join(f"- {{auth: none, forward_to: http://x, {more}}}\n" for more in (one, other))
    return any("matches the same requests" in problem for problem in problems(text))


def test_paths_of_one_shape_clash() -> None:
    assert clash("path: '/claims/{id}'", "path: '/claims/{name}'")
    assert clash("path: /straße", "path: /stra%c3%9fe")
    assert clash("path: '/%7Bid%7D'", "path: '/%7bid%7d'")


def test_paths_of_another_shape_do_not() -> None:
    assert not clash("path: '/claims/{id}'", "path: /claims/new")
    assert not clash("path: /claims", "path: /claims/")
    assert not clash("path: /claims", "path: /claims/*")
    assert not clash("path: '/{id}'", "path: '/%7Bid%7D'")
    assert not clash("path: /*", "path: /%2A")
    assert not clash("path: /Claims", "path: /claims")


def test_methods_tell_routes_apart() -> None:
    assert clash("path: /a, methods: [GET, POST]", "path: /a, methods: [PUT, POST]")
    assert clash("path: /a", "path: /a, methods: [PUT]")
    assert not clash("path: /a, methods: [GET]", "path: /a, methods: [HEAD]")


def test_hosts_tell_routes_apart() -> None:
    assert clash("path: /a, host: X.example", "path: /a, host: x.Example")
    assert not clash("path: /a, host: x.example", "path: /a")
    assert not clash("path: /a, host: x.example", "path: /a, host: '*.example'")


def test_values_tell_routes_apart_and_other_condition_names_do() -> None:
    assert clash("path: /a, headers: {A: '1'}", "path: /a, headers: {a: ['1', '2']}")
    assert not clash("path: /a, headers: {A: '1'}", "path: /a, headers: {A: '2'}")
    assert not clash("path: /a, headers: {A: '1'}", "path: /a, headers: {B: '1'}")
    assert not clash("path: /a, headers: {A: '1'}, query: {b: '1'}", "path: /a, headers: {A: '1'}, query: {b: '2'}")
    assert clash("path: /a, query: {b: '1'}", "path: /a, query: {b: '1'}, methods: [GET]")


def test_ten_thousand_routes_of_one_path_are_compared_by_their_values() -> None:
    """Compared pair by pair this would take minutes."""
    text = "".join(
        f"- {{path: /x, auth: none, forward_to: http://x, headers: {{X-Tenant: t{number}}}}}\n"
        for number in range(10_000)
    )
    assert len(config(text).routes) == 10_000
