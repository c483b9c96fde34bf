"""An API key in the query opens the door and goes nowhere from there."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest
from doors import Door, problem
from worlds import CountingRandomness, request

from hms_svc import Policy, PolicyRequest, Verdict
from hms_svc.core.config import Enqueue, Forward, PolicyUse, Redirect, Route, Target
from hms_svc.core.credentials.api_keys import issue
from hms_svc.core.explain import explain

if TYPE_CHECKING:
    from hms_svc.core.model import Request

KEY, KEPT = issue(CountingRandomness(), name="n", owner="team", scopes=frozenset(), now_s=1, expires_s=None)
SERVICE = Forward((Target("http", "claims", 9000),))


class Dump(Policy):
    """Keeps all it is shown, and repeats it as its reason."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def check(self, req: PolicyRequest, route: Route) -> Verdict:
        told = (req.method, req.path, dict(req.params), dict(req.query), req.headers.lines, req.body, req.caller)
        self.seen.append(repr(told))
        return Verdict.block(f"no: {told}") if "refuse" in req.query else Verdict.pass_()


def door_to(action: Forward | Redirect | Enqueue = SERVICE, **more: Any) -> Door:
    parts = {"name": "claims", "path": "/claims/*", "auth": ("api_key",), "api_key_query": "api_key"} | more
    door = Door(Route(action=action, **parts))
    door.keys.append(KEPT)
    return door


def asked(query: str, *lines: tuple[str, str], **more: Any) -> Request:
    return request(path="/claims/7", query=query, headers=[("Host", "a"), *lines], **more)


@pytest.mark.parametrize("query", [f"a=1&api_key={KEY}&b=2", f"a=1&b=2&api%5Fkey=hms%5F{KEY[4:]}"])
@pytest.mark.parametrize(
    "action", [SERVICE, Redirect(host="elsewhere"), Enqueue("jobs")], ids=["forward", "redirect", "enqueue"]
)
@pytest.mark.parametrize("more", [{}, {"audit": "required"}, {"auth": ("oauth", "api_key")}])
def test_a_key_in_the_query_opens_the_door_and_appears_nowhere(
    query: str, action: Any, more: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    dump = Dump()
    door = door_to(action, policies=(PolicyUse("dump", dump),), **more)
    answer = door.ask(asked(query, ("Prefer", "respond-async")))
    assert answer.status in {200, 202, 302}
    assert door.records[-1]["actor"]["user"]["name"] == "team"
    everything = repr((answer, door.upstream.seen, door.jobs.jobs, door.sink.lines, dump.seen, caplog.text))
    assert KEY[4:] not in everything
    assert "a=1&b=2" in repr((answer.headers.lines, door.upstream.seen, door.jobs.jobs))


@pytest.mark.parametrize(
    "query",
    [
        f"api_key={KEY}&api_key={KEY}",
        f"api_key={KEY}x",
        f"api_key={KEY[:-1]}",
        f"api_key={KEY}&refuse=1",
        f"api_key={KEY}&api_key",
    ],
)
def test_nor_when_the_call_is_refused(query: str) -> None:
    dump = Dump()
    door = door_to(policies=(PolicyUse("dump", dump),))
    answer = door.ask(asked(query))
    assert answer.status in {400, 401, 403}
    assert KEY[4:-1] not in repr((answer, door.sink.lines, dump.seen))


def test_nor_on_a_path_that_no_route_serves() -> None:
    door = door_to()
    assert door.ask(request(path="/nowhere", query=f"api_key={KEY}")).status == 404
    assert KEY[4:] not in repr(door.sink.lines)


def test_the_record_tells_that_a_key_came_in_the_url() -> None:
    door = door_to()
    door.ask(asked(f"a=1&api_key={KEY}"))
    assert door.records[0]["unmapped"]["hms"]["query"] == {"names": ["a", "api_key"]}


def test_it_is_taken_out_also_when_another_credential_opens_the_door() -> None:
    door = door_to(auth=("oauth", "api_key"))
    answer = door.ask(asked(f"api_key={KEY}", ("Authorization", "Bearer alices-token")))
    assert answer.status == 200
    assert KEY[4:] not in repr(door.upstream.seen)


@pytest.mark.parametrize(
    ("query", "lines"),
    [
        (f"api_key={KEY}", [("X-API-Key", KEY)]),
        (f"api_key={KEY}", [("Authorization", f"ApiKey {KEY}")]),
        (f"api_key={KEY}&api_key={KEY}", []),
        ("", [("X-API-Key", KEY), ("X-API-Key", KEY)]),
        ("", [("X-API-Key", f"{KEY},{KEY}")]),
        ("", [("X-API-Key", f"{KEY},")]),
        ("", [("X-API-Key", KEY), ("Authorization", f"ApiKey {KEY}")]),
        ("", [("X-API-Key", KEY), ("X-API-Key", KEY), ("Authorization", "Bearer alices-token")]),
    ],
)
@pytest.mark.parametrize("auth", [("api_key",), ("api_key", "oauth"), ("oauth", "api_key"), ("mtls", "api_key")])
def test_a_key_in_several_places_at_once_is_400_whatever_else_is_good(
    query: str, lines: list[tuple[str, str]], auth: tuple[str, ...]
) -> None:
    door = door_to(auth=auth)
    answer = door.ask(asked(query, *lines))
    assert answer.status == 400
    assert "more than one API key" in problem(answer)["detail"]
    assert door.upstream.seen == []
    table = door.gateway.table
    told = dict(explain(table, asked(query, *lines), CountingRandomness()))
    assert told["answer"] == "400 There is more than one API key"


def test_a_place_with_many_keys_is_named_once() -> None:
    answer = door_to(auth=("api_key",)).ask(asked("", ("X-API-Key", "," * 8_000)))
    assert (answer.status, problem(answer)["detail"]) == (400, "There is more than one API key: in X-API-Key")


def test_without_the_setting_a_key_in_the_query_is_none_and_the_parameter_is_the_services_own() -> None:
    door = door_to(api_key_query=None)
    assert door.ask(asked(f"api_key={KEY}")).status == 401
    assert door.ask(asked("api_key=theirs", ("X-API-Key", KEY))).status == 200
    assert door.upstream.seen[0].path_and_query == "/claims/7?api_key=theirs"


def test_a_job_holds_no_key_whatever_the_header_is_called() -> None:
    door = Door(Route(name="r", path="/claims/*", action=Enqueue("jobs"), auth=("api_key",)), api_key_header="X-Pass")
    door.keys.append(KEPT)
    lines = [("X-Pass", KEY), ("Referer", f"https://a/?api_key={KEY}"), ("Accept", "text/csv")]
    assert door.ask(asked("", *lines)).status == 202
    (job,) = door.jobs.jobs
    assert KEY not in repr(job)
    assert "text/csv" in repr(job)


def test_a_free_text_of_the_record_holds_no_key_whatever_the_header_is_called() -> None:
    dump = Dump()
    route = Route(name="r", path="/claims/*", action=SERVICE, auth=("api_key",), policies=(PolicyUse("dump", dump),))
    door = Door(route, api_key_header="X-Pass")
    door.keys.append(KEPT)
    assert door.ask(asked("refuse=1", ("X-Pass", KEY))).status == 403
    assert KEY not in repr(door.sink.lines)
    assert door.ask(asked("", ("X-API-Key", KEY))).status == 401
