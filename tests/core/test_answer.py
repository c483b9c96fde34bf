from __future__ import annotations

from typing import Any

import pytest
from worlds import CountingRandomness, request

from hms_svc.core.answer import finish, preflight, redirect
from hms_svc.core.arrive import Arrival, arrive
from hms_svc.core.config import Config, Cors, Forward, HeaderEdits, Redirect, Route, Target
from hms_svc.core.entry import Entry
from hms_svc.core.match import RouteTable
from hms_svc.core.model import Headers, Request, Response


def arrival(path: str = "/old/a", host: str = "api.example:8080", **more: Any) -> Arrival:
    headers = [("Host", host), *more.pop("headers", [])]
    made = request(path=path, headers=headers, **more)
    return arrive(made, Entry(made, "id", 0, 0), CountingRandomness(), ())


def route(**more: Any) -> Route:
    action = Forward((Target("http", "svc", 80),))
    parts: dict[str, Any] = {"name": "r", "path": "/old/*", "action": action, "auth": ()}
    return Route(**(parts | more))


@pytest.mark.parametrize(
    ("action", "location"),
    [
        (Redirect(host="example.org"), "http://example.org:8080/old/a?x=1"),
        (Redirect(scheme="https"), "https://api.example/old/a?x=1"),
        (Redirect(scheme="https", port=8443), "https://api.example:8443/old/a?x=1"),
        (Redirect(port=80), "http://api.example/old/a?x=1"),
        (Redirect(path="/new"), "http://api.example:8080/new/a?x=1"),
    ],
)
def test_a_redirect_changes_the_parts_it_names(action: Redirect, location: str) -> None:
    response = redirect(arrival(query="x=1"), route(), action)
    assert (response.status, response.headers["Location"]) == (302, location)


def test_a_redirect_of_an_exact_path_replaces_it_whole() -> None:
    response = redirect(arrival("/old/a"), route(path="/old/{x}"), Redirect(status=308, path="/new"))
    assert (response.status, response.headers["Location"]) == (308, "http://api.example:8080/new")


CORS = Cors(
    ("https://app.example", "https://*.app.example"),
    methods=("GET", "PUT"),
    headers=("X-One",),
    expose=("X-Two",),
    credentials=True,
    max_age_s=60,
)


def asked(origin: str, method: str = "PUT", cors: Cors | None = CORS) -> Response | None:
    table = RouteTable(Config(routes=(route(cors=cors, methods=frozenset({"GET", "PUT"})),)))
    headers = [("Origin", origin), ("Access-Control-Request-Method", method)]
    return preflight(table, arrival(method="OPTIONS", headers=headers))


@pytest.mark.parametrize("origin", ["https://app.example", "https://x.app.example", "https://x.y.app.example"])
def test_a_preflight_from_an_allowed_origin_is_answered(origin: str) -> None:
    answer = asked(origin)
    assert answer is not None
    assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (204, origin)
    assert answer.headers["Access-Control-Allow-Methods"] == "GET, PUT"
    assert answer.headers["Access-Control-Allow-Headers"] == "X-One"
    assert answer.headers["Access-Control-Allow-Credentials"] == "true"
    assert answer.headers["Access-Control-Max-Age"] == "60"
    assert "Origin" in answer.headers["Vary"]


@pytest.mark.parametrize("origin", ["https://evil.example", "https://evilapp.example", "http://app.example", "null"])
def test_a_preflight_from_elsewhere_allows_nothing(origin: str) -> None:
    answer = asked(origin)
    assert answer is not None
    assert not any(name.startswith("access-control") for name in answer.headers)


def test_without_cors_a_preflight_is_an_ordinary_request() -> None:
    assert asked("https://app.example", cors=None) is None
    assert asked("https://app.example", method="DELETE") is None


def sent_from(origin: str) -> Request:
    return request(headers=[("Origin", origin)])


def test_an_answer_gets_cors_fields_of_the_gateway_not_of_the_service() -> None:
    response = Response(200, Headers([("Access-Control-Allow-Origin", "*"), ("X-Two", "2")]))
    done = finish(response, "id", route=route(cors=CORS), request=sent_from("https://app.example"), extra=())
    assert done.headers.all("access-control-allow-origin") == ["https://app.example"]
    assert done.headers["Access-Control-Expose-Headers"] == "X-Two"
    assert done.headers["Vary"] == "Origin"
    elsewhere = finish(response, "id", route=route(cors=CORS), request=sent_from("https://evil.example"), extra=())
    assert "Access-Control-Allow-Origin" not in elsewhere.headers


def test_an_open_cors_allows_everybody() -> None:
    done = finish(
        Response(200),
        "id",
        route=route(cors=Cors(("*",))),
        request=sent_from("https://any.example"),
        extra=(),
    )
    assert done.headers["Access-Control-Allow-Origin"] == "*"


def test_an_answer_carries_one_request_id_the_limits_and_the_routes_edits() -> None:
    edits = HeaderEdits(remove=frozenset({"Server"}), set=(("Cache-Control", "no-store"),), add=(("X-A", "1"),))
    response = Response(200, Headers([("X-Request-Id", "theirs"), ("Server", "s"), ("cache-control", "public")]))
    done = finish(response, "ours", route=route(response_headers=edits), request=request(), extra=(("RateLimit", "r"),))
    assert done.headers.lines == (
        ("Cache-Control", "no-store"),
        ("X-A", "1"),
        ("RateLimit", "r"),
        ("X-Request-Id", "ours"),
    )
