from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from doors import Door, problem
from worlds import request, run

from hms_svc.core.changes import Change, changes
from hms_svc.core.match import RouteTable
from hms_svc.core.routes import load
from hms_svc.local.admin import Admin
from hms_svc.local.admin_limits import LimitsDesk

if TYPE_CHECKING:
    from hms_svc import Policy
    from hms_svc.core.config import Config

GOOD = b"- {path: /a, forward_to: 'http://a', auth: none}\n"


def no_policy(use: str, options: Any) -> Policy:
    raise AssertionError((use, options))


class Held:
    """The table of a door, exchanged."""

    def __init__(self, door: Door) -> None:
        self._door = door

    @property
    def config(self) -> Config:
        return self._door.gateway.table.config

    async def replace(self, data: bytes, source: str) -> tuple[Change, ...]:
        config = load(data, source=source, build_policy=no_policy)
        changed = changes(self.config, config)
        self._door.gateway.table = RouteTable(config)
        return changed


def door(token: str | None = "the-token") -> Door:
    made = Door()
    made.gateway.own = Admin(Held(made), token, LimitsDesk(made.limits))
    return made


def asked(at: Door, method: str, token: str = "Bearer the-token", body: bytes = b"", query: str = "") -> Any:
    headers = [("Host", "a"), ("Authorization", token)] if token else [("Host", "a")]
    return run(at.gateway.handle(request(method, "/_hms/routes", headers=headers, body=body, query=query)))


def test_a_reload_tells_what_changed() -> None:
    at = door()
    response = asked(at, "PUT", body=GOOD)
    told = json.loads(response.body)
    assert response.status == 200
    assert told["routes"] == 1
    assert [change["kind"] for change in told["changes"]] == ["added"]
    assert [route["path"] for route in json.loads(asked(at, "GET").body)["routes"]] == ["/a"]


def test_a_broken_file_changes_nothing_and_tells_every_problem() -> None:
    at = door()
    asked(at, "PUT", body=GOOD)
    before = at.gateway.table
    response = asked(at, "PUT", body=b"- {path: a, forward_to: x}\n", query="source=new.yml")
    assert response.status == 422
    told = problem(response)
    assert len(told["problems"]) >= 3
    assert {found["source"] for found in told["problems"]} == {"new.yml"}
    assert at.gateway.table is before


@pytest.mark.parametrize("token", ["", "Bearer wrong", "Bearer ", "the-token", "Basic the-token", "Bearer the-token2"])
def test_without_the_token_nothing_is_told_or_done(token: str) -> None:
    at = door()
    for method in ("GET", "PUT", "DELETE"):
        assert asked(at, method, token, body=GOOD).status == 401
    assert at.gateway.table.config.routes == ()


def test_the_admin_interface_is_off_without_a_token_configured() -> None:
    at = door(None)
    for token in ("", "Bearer ", "Bearer None", "Bearer the-token"):
        response = asked(at, "PUT", token, body=GOOD)
        assert response.status == 403
        assert "HMS_SVC_TOKEN" in problem(response)["detail"]


def test_admin_requests_are_on_record_without_the_token() -> None:
    at = door()
    asked(at, "PUT", body=GOOD)
    asked(at, "PUT", "Bearer wrong-guess", body=GOOD)
    lines = b"".join(at.sink.lines)
    assert len(at.sink.lines) == 2
    assert lines.count(b"reload") >= 2
    assert b"the-token" not in lines
    assert b"wrong-guess" not in lines


def test_other_own_paths_are_health_or_nothing() -> None:
    at = door()
    for path, status in (("/_hms/health", 200), ("/_hms/", 404), ("/_hms/routes/x", 404)):
        assert run(at.gateway.handle(request("GET", path))).status == status
    assert asked(at, "DELETE").status == 405
