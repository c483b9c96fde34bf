from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import pytest
from worlds import CountingRandomness, request

from hms_svc import Policy
from hms_svc.core.config import Config, Cors, Enqueue, Forward, Limit, PolicyUse, Redirect, Requirements, Route, Target
from hms_svc.core.explain import explain
from hms_svc.core.match import RouteTable
from hms_svc.core.what_if import Pace

FORWARD = Forward((Target("http", "claims-svc", 9001), Target("https", "claims.b", 443, path="/v1")))
CLAIMS = Route(
    name="claims",
    path="/claims/{id}",
    action=FORWARD,
    auth=("oauth", "api_key", "mtls"),
    methods=frozenset({"GET"}),
    require=Requirements(scopes=frozenset({"claims:read"})),
    limits=(Limit(30, 60, 10, per="token", shadow=True),),
    policies=(PolicyUse("m.C", Policy()),),
    cors=Cors(("*",)),
)
OPEN = Route(name="open", path="/open", action=Redirect(), auth=())
JOBS = Route(name="jobs", path="/jobs", action=Enqueue("sqs:q"), auth=())


def explained(method: str, path: str, *headers: tuple[str, str], **more: Any) -> dict[str, str]:
    table = RouteTable(Config(routes=(CLAIMS, OPEN, JOBS)))
    made = request(method, path, headers=[("Host", "a"), *headers], **more)
    return dict(explain(table, made, CountingRandomness()))


def test_a_served_request_is_told_step_by_step() -> None:
    told = explained("GET", "/x/../claims/7", ("Authorization", "Bearer t"))
    assert told == {
        "normalise": "/claims/7 (came as /x/../claims/7)",
        "match": "route claims, id = '7'",
        "authenticate": "oauth presented; verified only when it is sent",
        "authorise": "needs claims:read, else 403",
        "limit": "30/m burst 10 per_token (shadow), else 429",
        "bucket": f"6:claims:0:token:{hashlib.sha256(b't').hexdigest()[:32]}",
        "policies": "m.C",
        "body": "up to 10000000 bytes, else 413",
        "answer": "what comes back from http://claims-svc:9001/claims/7 or https://claims.b/v1/7",
    }


@pytest.mark.parametrize(
    ("method", "path", "answer"),
    [
        ("GET", "/claims/7", "401 Bad credentials"),
        ("DELETE", "/claims/7", "405 DELETE is not allowed here, Allow: GET, HEAD, OPTIONS"),
        ("OPTIONS", "/claims/7", "204 by the gateway itself, Allow: GET, HEAD, OPTIONS"),
        ("GET", "/nowhere", "404 No such path"),
        ("GET", "/a%00", "400 The path holds an escaped control character"),
        ("GET", "/_hms/routes", "by the gateway itself: /_hms/ is its own, no route ever serves it"),
        ("GET", "/open", "302 to another place"),
        ("POST", "/jobs", "202, queued in sqs:q"),
    ],
)
def test_the_last_line_is_the_answer(method: str, path: str, answer: str) -> None:
    assert explained(method, path)["answer"] == answer


def test_a_preflight_is_told() -> None:
    asked = explained("OPTIONS", "/claims/7", ("Origin", "https://a"), ("Access-Control-Request-Method", "GET"))
    assert asked["answer"] == "204 by the gateway itself: a CORS preflight"


def test_where_a_key_is_looked_for_is_told() -> None:
    route = replace(CLAIMS, api_key_query="key")
    table = RouteTable(Config(routes=(route,), api_key_header="X-Agency-Key"))

    def told(query: str, *headers: tuple[str, str]) -> str:
        asked = request("GET", "/claims/7", query=query, headers=[("Host", "a"), *headers])
        return dict(explain(table, asked, CountingRandomness()))["authenticate"]

    assert told("") == "needs oauth or api_key (in X-Agency-Key or ?key=) or mtls, none is presented"
    assert told("", ("X-API-Key", "k")).endswith("none is presented")
    assert told("", ("X-Agency-Key", "k")).startswith("api_key presented")
    assert told("key=k").startswith("api_key presented")


@pytest.mark.parametrize("header", [("X-API-Key", "k"), ("Authorization", "ApiKey k")])
def test_an_api_key_is_seen_wherever_it_stands(header: tuple[str, str]) -> None:
    assert explained("GET", "/claims/7", header)["authenticate"].startswith("api_key presented")


def buckets(route: Route, *headers: tuple[str, str], ip: str = "192.0.2.7") -> list[str]:
    table = RouteTable(Config(routes=(route,)))
    made = request("GET", route.path.replace("{id}", "7"), headers=[("Host", "a"), *headers], peer_ip=ip)
    return [finding for step, finding in explain(table, made, CountingRandomness()) if step == "bucket"]


def test_whose_bucket_each_limit_takes_from_is_told() -> None:
    limits = tuple(Limit(30, 60, 30, per=per) for per in ("ip", "token", "caller", "route"))
    hashed = hashlib.sha256(b"k").hexdigest()[:32]
    assert buckets(replace(CLAIMS, limits=limits), ("X-API-Key", "k")) == [
        "6:claims:0:ip:192.0.2.7",
        f"6:claims:1:token:{hashed}",
        "6:claims:2:caller:api_key:… (of the caller whom the credential proves)",
        "6:claims:3:route",
    ]
    assert buckets(replace(OPEN, limits=limits), ip="2001:db8::1") == [
        f"4:open:{index}:{'route' if index == 3 else 'ip:20010db800000000::/64'}" for index in range(4)
    ]


def test_a_credential_twice_is_told_as_the_gateway_answers_it() -> None:
    told = explained("GET", "/claims/7", ("Authorization", "Bearer a"), ("Authorization", "Bearer b"))
    assert told["answer"] == "400 There is more than one Authorization field"


@pytest.mark.parametrize("value", ["Bearer a, Bearer b", "Basic a,ApiKey k"])
def test_credentials_that_were_joined_are_told_as_the_gateway_answers_them(value: str) -> None:
    told = explained("GET", "/claims/7", ("Authorization", value))
    assert told["answer"] == "400 There is more than one Authorization field"


def test_what_if_it_came_so_often_is_told_after_the_limits() -> None:
    table = RouteTable(Config(routes=(replace(OPEN, limits=(Limit(30, 60, 30),)),)))
    findings = explain(table, request(path="/open"), CountingRandomness(), Pace(100, 10**8))
    assert [finding for step, finding in findings if step == "what if"] == [
        "100 calls, one every 0.1 s: 34 pass, 66 refused",
        "first refused: call 32 after 3.1 s, by 30/m, Retry-After: 1",
    ]


TIERS = Limit(2, 60, 2, per="caller", plan_claim="plan", plans={"gold": Limit(5, 60, 5, per="caller", plan="gold")})


@pytest.mark.parametrize(
    ("plan", "said", "bucket", "passed"),
    [
        ("", "none of gold: --plan NAME counts as if the credential named one", "6:claims:0:", 2),
        ("gold", "gold, as if the credential named it", "6:claims:0:plan:4:gold:", 5),
        ("lead", "none of gold: lead is none of them", "6:claims:0:", 2),
    ],
)
def test_by_which_plan_it_would_be_counted_is_told(plan: str, said: str, bucket: str, passed: int) -> None:
    table = RouteTable(Config(routes=(replace(CLAIMS, limits=(TIERS,)),)))
    made = request(path="/claims/7", headers=[("Host", "a"), ("X-API-Key", "k")])
    findings = explain(table, made, CountingRandomness(), Pace(9, 0), plan)
    assert [finding for step, finding in findings if step in {"plan", "bucket", "what if"}][:3] == [
        said,
        f"{bucket}caller:api_key:… (of the caller whom the credential proves)",
        f"9 calls at once: {passed} pass, {9 - passed} refused",
    ]


def test_where_nobody_shows_claims_nobody_is_on_a_plan() -> None:
    table = RouteTable(Config(routes=(replace(OPEN, limits=(TIERS,)),)))
    findings = explain(table, request(path="/open"), CountingRandomness(), Pace(9, 0), "gold")
    assert ("plan", "none of gold: only tokens and API keys name a plan") in findings
    assert ("what if", "9 calls at once: 2 pass, 7 refused") in findings


def test_of_plans_nothing_is_told_where_no_limit_has_any() -> None:
    assert "plan" not in explained("GET", "/claims/7", ("X-API-Key", "k"))
