from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest
from doors import Door, problem
from worlds import drive, request, run

from hms_svc.core.config import Config, Forward, Issuer, Limit, Route, Target
from hms_svc.core.limit_keys import wants
from hms_svc.core.match import RouteTable
from hms_svc.core.model import Caller
from hms_svc.local.admin import Admin
from hms_svc.local.admin_limits import MAX_LISTED, LimitsDesk

if TYPE_CHECKING:
    from hms_svc.core.changes import Change

FAQ = Route(
    name="faq",
    path="/faq",
    action=Forward((Target("http", "faq", 80),)),
    auth=(),
    limits=(Limit(30, 60, 30), Limit(100, 60, 100, per="route")),
)


class Held:
    """The routes of a door."""

    def __init__(self, door: Door) -> None:
        self._door = door

    @property
    def config(self) -> Config:
        return self._door.gateway.table.config

    async def replace(self, data: bytes, source: str) -> tuple[Change, ...]:
        raise AssertionError((data, source))


@pytest.fixture
def door() -> Door:
    made = Door(FAQ)
    made.gateway.own = Admin(Held(made), "the-token", LimitsDesk(made.limits))
    return made


def asked(at: Door, method: str = "GET", *, token: str = "the-token", query: str = "", **fields: str) -> Any:
    headers = [("Host", "a"), ("Authorization", f"Bearer {token}")]
    query = query or urlencode(fields)
    return run(at.gateway.handle(request(method, "/_hms/limits", headers=headers, query=query)))


def told(at: Door, method: str = "GET", **fields: str) -> Any:
    response = asked(at, method, **fields)
    assert response.status == 200
    return json.loads(response.body)


def call(at: Door, ip: str = "192.0.2.7", times: int = 1) -> int:
    statuses: list[int] = [run(at.gateway.handle(request(path="/faq", peer_ip=ip))).status for _ in range(times)]
    return statuses[-1]


def test_a_callers_buckets_are_shown_and_nothing_is_taken(door: Door) -> None:
    call(door, times=3)
    for _ in range(2):
        answer = told(door, target="/faq", ip="192.0.2.7")
        assert answer["unnamed"] == []
        assert [(it["key"], it["remaining"], it["passes"]) for it in answer["buckets"]] == [
            ("3:faq:0:ip:192.0.2.7", 27, True),
            ("3:faq:1:route", 97, True),
        ]


def test_a_caller_whose_bucket_was_reset_may_call_at_once(door: Door) -> None:
    assert call(door, times=31) == 429
    answer = told(door, "DELETE", target="3:faq:0:ip:192.0.2.7")
    assert [(it["remaining"], it["was_in_use"]) for it in answer["buckets"]] == [(0, True)]
    assert call(door) == 200
    assert told(door, target="3:faq:0:ip:192.0.2.7")["buckets"][0]["remaining"] == 29


def test_a_bucket_that_is_full_is_reset_without_harm(door: Door) -> None:
    assert [it["was_in_use"] for it in told(door, "DELETE", target="faq", ip="192.0.2.9")["buckets"]] == [False, False]
    assert call(door, "192.0.2.9") == 200


def test_without_a_name_the_emptiest_buckets_are_listed_first_and_no_more_than_the_bound(door: Door) -> None:
    for number in range(MAX_LISTED + 10):
        call(door, f"198.51.100.{number}", times=1 + number % 2)
    call(door, "192.0.2.7", times=5)
    emptiest = told(door, target="faq")["emptiest"]
    assert len(emptiest) == MAX_LISTED
    assert (emptiest[0]["key"], emptiest[0]["remaining"]) == ("3:faq:0:ip:192.0.2.7", 25)
    assert [it["remaining"] for it in emptiest] == sorted(it["remaining"] for it in emptiest)


def test_a_reset_without_a_name_is_of_what_the_route_names_alone(door: Door) -> None:
    call(door, times=3)
    answer = told(door, "DELETE", target="faq")
    assert [it["key"] for it in answer["buckets"]] == ["3:faq:1:route"]
    assert answer["unnamed"] == ["30/m: say whose bucket by the address, --ip 192.0.2.7"]
    assert told(door, target="faq", ip="192.0.2.7")["buckets"][0]["remaining"] == 27


def test_without_the_token_nothing_is_told_or_done(door: Door) -> None:
    call(door, times=31)
    for method in ("GET", "DELETE", "PUT"):
        assert asked(door, method, token="wrong", target="faq", ip="192.0.2.7").status == 401
    assert call(door) == 429


def test_a_look_and_a_reset_are_on_record(door: Door) -> None:
    call(door, times=2)
    asked(door, target="faq")
    asked(door, "DELETE", target="3:faq:0:ip:192.0.2.7")
    look, reset = door.records[-2:]
    assert (look["api"]["operation"], reset["api"]["operation"]) == ("admin limits", "admin limits reset")
    assert reset["status_detail"] == "reset 3:faq:0:ip:192.0.2.7"


@pytest.mark.parametrize(
    "query",
    [
        "target=",
        "ip=192.0.2.7",
        "target=faq&target=faq",
        "target=faq&colour=red",
        "target=faq&ip=%ff",
        "target=nowhere",
        "target=faq&ip=here",
        "target=faq&plan=gold",
        "target=faq&plan=gold&plan=gold",
        "&" * 50,
        "target=faq&" * 50,
    ],
)
def test_a_query_that_names_nothing_is_refused(door: Door, query: str) -> None:
    for method in ("GET", "DELETE"):
        response = asked(door, method, query=query)
        assert response.status == 400
        assert problem(response)["detail"]


GOLD, BATCH = Caller(name="alice", via="oauth", claims={"plan": "gold"}), Caller(name="batch", via="oauth")
GOLDS, BATCHES = "5:tiles:0:plan:4:gold:caller:oauth:0::alice", "5:tiles:0:caller:oauth:0::batch"


def tiles(*limits: Limit) -> Route:
    own = [
        replace(limit, plan_claim="plan", plans={"gold": replace(limit, limit=5_000, burst=5_000, plan="gold")})
        for limit in limits
    ]
    return Route(name="tiles", path="/tiles", action=FAQ.action, auth=("oauth",), limits=tuple(own))


class Plans:
    """A gateway with a route whose limits have plans."""

    def __init__(self, *limits: Limit) -> None:
        self.route = tiles(*limits)
        self.door = Door(self.route, issuers=(Issuer("agency", "", ("api",)),))
        self.door.gateway.own = Admin(Held(self.door), "the-token", LimitsDesk(self.door.limits))

    def takes(self, caller: Caller, cost: int = 1) -> bool:
        """Whether the first limit admits the caller; all of them are taken from."""
        said = [
            drive(self.door.limits.take(want._replace(cost=cost))) for want in wants(self.route, caller, "192.0.2.7")
        ]
        return bool(said[0].allowed)

    def lines(self, place: str, method: str = "GET", **fields: str) -> list[tuple[str, str | None, int]]:
        return [
            (it["key"], it["plan"], it["remaining"]) for it in told(self.door, method, target="tiles", **fields)[place]
        ]


def test_a_listing_shows_each_bucket_by_the_limit_of_its_plan_and_refills_none() -> None:
    at = Plans(Limit(10, 86_400, 10, per="caller"))
    assert at.takes(GOLD, 5_000)
    assert at.takes(BATCH, 4)
    assert at.lines("emptiest") == [(GOLDS, "gold", 0), (BATCHES, None, 6)]
    assert at.lines("emptiest", plan="gold") == [(GOLDS, "gold", 0)]
    at.door.clock.advance(2)
    assert not at.takes(GOLD)


def test_a_listing_shows_a_quota_as_one_of_each_plan() -> None:
    at = Plans(Limit(10, 86_400, 10, per="caller", window="calendar"))
    at.takes(GOLD, 5)
    at.takes(GOLD, 15)
    key = "5:tiles:0:caller:oauth:0::alice"
    assert at.lines("emptiest") == [(key, None, 0), (key, "gold", 4_980)]
    assert at.lines("emptiest", plan="gold") == [(key, "gold", 4_980)]


def test_a_listing_leaves_out_buckets_of_plans_that_are_no_more() -> None:
    at = Plans(Limit(10, 86_400, 10, per="caller"))
    at.takes(replace(GOLD, claims={"plan": "gold"}), 9)
    at.door.gateway.table = RouteTable(
        Config(routes=(replace(at.route, limits=(Limit(10, 86_400, 10, per="caller"),)),))
    )
    assert at.lines("emptiest") == []


def test_a_reset_makes_the_callers_bucket_of_every_plan_full() -> None:
    at = Plans(Limit(10, 86_400, 10, per="caller"), Limit(10, 86_400, 10, per="caller", window="calendar"))
    at.takes(GOLD, 5_000)
    assert not at.takes(GOLD)
    answer = told(at.door, "DELETE", target="tiles", caller="alice")
    assert [(it["plan"], it["was_in_use"]) for it in answer["buckets"]] == [
        (None, False),
        ("gold", True),
        (None, True),
        ("gold", True),
    ]
    assert at.door.records[-1]["status_detail"] == (
        f"reset 5:tiles:0:caller:oauth:0::alice, {GOLDS}, 5:tiles:1:caller:oauth:0::alice"
    )
    assert at.takes(GOLD)


def test_a_reset_of_one_plan_leaves_the_others() -> None:
    at = Plans(Limit(10, 86_400, 10, per="caller"))
    alice = replace(GOLD, claims={})
    at.takes(alice, 3)
    at.takes(GOLD, 5_000)
    assert at.lines("buckets", "DELETE", caller="alice", plan="gold") == [(GOLDS, "gold", 0)]
    assert [left for *_, left in at.lines("buckets", caller="alice")] == [7, 5_000]


def test_a_plan_that_the_route_does_not_have_is_refused_and_the_others_are_named() -> None:
    at = Plans(Limit(10, 86_400, 10, per="caller"))
    response = asked(at.door, target="tiles", plan="lead")
    assert (response.status, problem(response)["detail"]) == (
        400,
        "the route tiles has no plan lead; its plans: gold",
    )


def test_other_methods_are_not_allowed(door: Door) -> None:
    response = asked(door, "PUT", target="faq")
    assert (response.status, response.headers["Allow"]) == (405, "DELETE, GET, HEAD")
