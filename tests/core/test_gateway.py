from __future__ import annotations

from typing import Any

import pytest
from doors import Door, problem
from worlds import Pieces, content, drive, request, run

from hms_svc import Policy, PolicyRequest, Verdict
from hms_svc.core.config import Enqueue, Forward, Limit, PolicyUse, Redirect, Requirements, Route, Target
from hms_svc.core.errors import BadGateway, Malformed
from hms_svc.core.model import Headers, Request, Response
from hms_svc.core.ports import UpstreamBroken, UpstreamRequest, UpstreamResponse

FAQ = Forward((Target("http", "faq-svc", 9000),))


def route(path: str = "/public/faq", **more: Any) -> Route:
    parts: dict[str, Any] = {"name": path, "path": path, "action": FAQ, "auth": ()}
    return Route(**(parts | more))


class Says(Policy):
    """A policy that does as it is told."""

    def __init__(self, verdict: Any = None, error: BaseException | None = None) -> None:
        super().__init__()
        self._verdict, self._error = verdict, error
        self.seen: list[PolicyRequest] = []

    def check(self, req: PolicyRequest, route: Route) -> Verdict:
        self.seen.append(req)
        if self._error:
            raise self._error
        return self._verdict  # type: ignore[no-any-return]  # also verdicts that are none


def bearer(token: str) -> list[tuple[str, str]]:
    return [("Host", "a"), ("Authorization", f"Bearer {token}")]


def test_an_open_call_is_forwarded_answered_and_recorded() -> None:
    door = Door(route())
    response = door.ask(request(path="/public/faq"))
    assert (response.status, response.body) == (200, b"ok")
    assert len(response.headers["X-Request-Id"]) == 32
    assert door.upstream.seen[0].target.host == "faq-svc"
    assert len(door.records) == 1


def test_any_other_path_is_a_404_and_recorded() -> None:
    door = Door(route())
    response = door.ask(request(path="/elsewhere"))
    assert response.status == 404
    told = problem(response)
    assert (told["status"], told["detail"]) == (404, "No such path")
    assert told["request_id"] == response.headers["X-Request-Id"]
    assert door.upstream.seen == []
    assert len(door.records) == 1


def test_without_routes_the_404_says_how_to_load_some() -> None:
    response = Door().ask(request(path="/public/faq"))
    assert "hms-svc reload routes.yml" in problem(response)["detail"]


def test_a_path_with_no_normal_form_is_a_400() -> None:
    assert Door(route()).ask(request(path="/a%00")).status == 400


def test_a_wrong_method_is_a_405_with_allow() -> None:
    response = Door(route(methods=frozenset({"GET"}))).ask(request("DELETE", "/public/faq"))
    assert (response.status, response.headers["Allow"]) == (405, "GET, HEAD, OPTIONS")


def test_options_is_answered_by_the_gateway_where_no_route_serves_it() -> None:
    door = Door(route(methods=frozenset({"GET"}), auth=("oauth",)))
    response = door.ask(request("OPTIONS", "/public/faq"))
    assert (response.status, response.headers["Allow"]) == (204, "GET, HEAD, OPTIONS")
    assert door.upstream.seen == []


def test_options_is_forwarded_where_a_route_serves_it() -> None:
    door = Door(route())
    assert door.ask(request("OPTIONS", "/public/faq")).status == 200
    assert door.upstream.seen[0].method == "OPTIONS"


@pytest.mark.parametrize("headers", [[("Host", "a")], bearer("wrong"), [("Host", "a"), ("Authorization", "Basic x")]])
def test_no_or_a_bad_credential_is_a_401_that_tells_nothing(headers: list[tuple[str, str]]) -> None:
    door = Door(route(auth=("oauth",)))
    response = door.ask(request(path="/public/faq", headers=headers))
    assert response.status == 401
    assert problem(response)["detail"] == "Bad credentials"
    assert response.headers["WWW-Authenticate"].startswith("Bearer")
    assert door.upstream.seen == []


def test_a_good_credential_names_the_caller_to_the_service() -> None:
    door = Door(route(auth=("oauth",)))
    assert door.ask(request(path="/public/faq", headers=bearer("alices-token"))).status == 200
    assert door.upstream.seen[0].headers["X-HMS-Caller"] == "alice"


def test_a_missing_scope_is_a_403_that_names_it() -> None:
    door = Door(route(auth=("oauth",), require=Requirements(scopes=frozenset({"claims:read"}))))
    assert door.ask(request(path="/public/faq", headers=bearer("alices-token"))).status == 200
    response = door.ask(request(path="/public/faq", headers=bearer("guests-token")))
    assert response.status == 403
    assert "claims:read" in problem(response)["detail"]


def test_the_31st_call_inside_a_minute_is_a_429_with_retry_after() -> None:
    door = Door(route(limits=(Limit(30, 60, 30),)))
    answers = [door.ask(request(path="/public/faq")) for _ in range(31)]
    assert [answer.status for answer in answers] == [200] * 30 + [429]
    assert answers[0].headers["RateLimit-Policy"] == '"default";q=30;w=60'
    assert answers[0].headers["RateLimit"] == '"default";r=29;t=2'
    assert answers[30].headers["Retry-After"] == "2"
    assert problem(answers[30])["detail"] == "Too many calls"
    door.clock.advance(2)
    assert door.ask(request(path="/public/faq")).status == 200


def test_a_refused_caller_takes_nothing_of_anybodys_limit() -> None:
    door = Door(route(auth=("oauth",), limits=(Limit(1, 60, 1, per="route"),)))
    for _ in range(5):
        assert door.ask(request(path="/public/faq", headers=bearer("wrong"))).status == 401
    assert door.ask(request(path="/public/faq", headers=bearer("alices-token"))).status == 200


def policy_route(policy: Policy, **more: Any) -> Route:
    return route(policies=(PolicyUse("says.Says", policy),), **more)


def test_a_policy_is_not_told_by_the_caller_who_it_is() -> None:
    """A policy knows that from ``req.caller``; one that reads the gateway's own fields must not be led astray."""
    says = Says(Verdict.pass_())
    forged = [
        "X-HMS-Caller",
        "x_hms_scopes",
        "X-Hms-Auth",
        "Client-Cert",
        "X_SSL_Client_Cert",
        "X-Forwarded-Client-Cert",
    ]
    lines = [("Host", "a"), *((name, "admin") for name in forged), ("X-Forwarded-For", "192.0.2.9"), ("X-Own", "1")]
    assert Door(policy_route(says)).ask(request(path="/public/faq", headers=lines)).status == 200
    (req,) = says.seen
    assert [line for line in req.headers.lines if line[1] == "admin"] == []
    assert (req.headers["Host"], req.headers["X-Forwarded-For"], req.headers["X-Own"]) == ("a", "192.0.2.9", "1")


@pytest.mark.parametrize(
    ("verdict", "status", "detail"),
    [
        (Verdict.block("closed on Sundays"), 403, "closed on Sundays"),
        (Verdict.block("gone", status=410), 410, "gone"),
        (Verdict.limit("slow down", retry_after=7), 429, "slow down"),
    ],
)
def test_a_policys_no_is_the_answer(verdict: Verdict, status: int, detail: str) -> None:
    door = Door(policy_route(Says(verdict)))
    response = door.ask(request(path="/public/faq"))
    assert (response.status, problem(response)["detail"]) == (status, detail)
    assert response.headers.get("Retry-After") == ("7" if status == 429 else None)
    assert door.upstream.seen == []


@pytest.mark.parametrize("policy", [Says(error=ValueError("secret inside")), Says(True), Says(None)])
def test_a_policy_that_fails_refuses_the_call_and_the_caller_learns_nothing(policy: Policy) -> None:
    door = Door(policy_route(policy))
    response = door.ask(request(path="/public/faq"))
    assert response.status == 500
    assert b"secret" not in bytes(response.body)  # type: ignore[arg-type]  # a refusal is bytes
    assert b"says.Says" in door.sink.lines[0]
    assert door.upstream.seen == []


def test_a_policy_sees_a_complete_normalised_request() -> None:
    policy = Says(Verdict.pass_())
    door = Door(policy_route(policy, path="/claims/{id}/*"))
    headers = [("Host", "a"), ("Transfer-Encoding", "chunked")]
    door.ask(request("POST", "/claims/x/../caf%C3%A9/b", query="a=1&a=2&b", headers=headers, body=b"12345"))
    (seen,) = policy.seen
    assert (seen.method, seen.path, seen.params) == ("POST", "/claims/caf%C3%A9/b", {"id": "café"})
    assert seen.query == {"a": ("1", "2"), "b": ("",)}
    assert (seen.headers["content-length"], seen.body, seen.ip) == ("5", b"12345", "192.0.2.7")
    assert "transfer-encoding" not in seen.headers
    assert seen.caller.via == "none"


COSTLY = Limit(10, 60, 10, cost_header="X-Cost", max_cost=10)


def test_a_policy_says_what_a_call_costs_and_no_client_does() -> None:
    door = Door(policy_route(Says(Verdict.pass_(headers={"X-Cost": "4"})), limits=(Limit(30, 60, 30), COSTLY)))
    sent = [("Host", "a"), ("X-Cost", "0"), ("x_cost", "0")]
    answers = [door.ask(request(path="/public/faq", headers=sent)) for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 429]
    assert answers[0].headers.all("RateLimit-Policy") == ['"default";q=30;w=60, "default-2";q=10;w=60']
    assert [answer.headers.all("RateLimit") for answer in answers] == [
        ['"default-2";r=6;t=24'],
        ['"default-2";r=2;t=48'],
        ['"default-2";r=2;t=48'],
    ]
    assert answers[2].headers.all("Retry-After") == ["12"]
    assert [line for line in door.upstream.seen[0].headers.lines if "cost" in line[0].lower()] == [("X-Cost", "4")]
    assert [it["remaining"] for it in door.records[2]["unmapped"]["hms"]["limits"]] == [27, 2]


def test_a_clients_cost_counts_for_nothing_where_no_policy_says_one() -> None:
    door = Door(policy_route(Says(Verdict.pass_()), limits=(COSTLY,)))
    answer = door.ask(request(path="/public/faq", headers=[("Host", "a"), ("X-Cost", "0")]))
    assert answer.headers["RateLimit"] == '"default";r=9;t=6'


def test_a_cost_that_is_none_is_the_policys_fault() -> None:
    door = Door(policy_route(Says(Verdict.pass_(headers={"X-Cost": "many"})), limits=(COSTLY,)))
    assert door.ask(request(path="/public/faq")).status == 500
    assert b"says.Says set X-Cost to what is no whole number from 0 to 10" in door.sink.lines[0]
    assert door.upstream.seen == []


def test_a_call_that_a_policy_blocks_costs_only_what_is_known_before() -> None:
    blocked = Door(policy_route(Says(Verdict.block("no")), limits=(Limit(2, 60, 2), COSTLY)))
    answers = [blocked.ask(request(path="/public/faq")) for _ in range(3)]
    assert [answer.status for answer in answers] == [403, 403, 429]
    assert answers[0].headers["RateLimit"] == '"default";r=1;t=30'


def test_a_job_carries_what_policies_set() -> None:
    door = Door(policy_route(Says(Verdict.pass_(headers={"X-Tenant": "blue"})), action=Enqueue("sqs:jobs")))
    assert door.ask(request("POST", "/public/faq", headers=[("Host", "a"), ("X-Tenant", "red")])).status == 202
    assert '["X-Tenant","blue"]' in door.jobs.jobs[0].message["hmsheaders"]


def test_a_body_over_the_limit_is_a_413_that_says_the_limit() -> None:
    door = Door(route(max_body=4))
    assert door.ask(request("POST", "/public/faq", body=b"1234")).status == 200
    response = door.ask(request("POST", "/public/faq", body=b"12345"))
    assert response.status == 413
    assert "4 bytes" in problem(response)["detail"]


def test_a_body_is_read_only_for_a_caller_who_may() -> None:
    class Unread:
        async def read(self, limit: int) -> bytes:
            raise AssertionError("read")

    door = Door(route(auth=("oauth",)))
    asked = Request("POST", "/public/faq", "", Headers([("Host", "a")]), Unread(), "192.0.2.7")
    assert door.ask(asked).status == 401


def test_a_bug_is_a_500_without_its_message_and_the_record_has_the_place() -> None:
    def broken(_: UpstreamRequest) -> UpstreamResponse:
        raise RuntimeError("hunter2")

    door = Door(route())
    door.upstream.answer = broken
    response = door.ask(request(path="/public/faq"))
    assert response.status == 500
    assert b"hunter2" not in door.sink.lines[0] + bytes(response.body)  # type: ignore[arg-type]  # a refusal is bytes
    assert b"RuntimeError at" in door.sink.lines[0]


def test_a_redirect_asks_nobody() -> None:
    door = Door(route(action=Redirect(path="/new")))
    response = door.ask(request(path="/public/faq"))
    assert (response.status, response.headers["Location"]) == (302, "http://api.agency.example/new")
    assert door.upstream.seen == []


def test_a_job_is_stored_and_answered_202() -> None:
    door = Door(route(action=Enqueue("sqs:jobs", status_url="/jobs/{id}"), auth=("oauth",)))
    response = door.ask(request("POST", "/public/faq", headers=bearer("alices-token"), body=b"do it"))
    assert response.status == 202
    (job,) = door.jobs.jobs
    assert response.headers["Location"] == f"/jobs/{job.id}"
    assert "alices-token" not in str(job)


def test_without_a_stored_job_there_is_no_202() -> None:
    door = Door(route(action=Enqueue("sqs:jobs")))
    door.jobs.down = True
    response = door.ask(request("POST", "/public/faq"))
    assert response.status == 503
    assert "Retry-After" in response.headers


CHOICE = Forward((Target("http", "claims-svc", 9001),), if_async=Enqueue("sqs:jobs", status_url="/jobs/{id}"))


def test_who_prefers_not_to_wait_gets_a_job() -> None:
    door = Door(route(action=CHOICE))
    response = door.ask(request("POST", "/public/faq", headers=[("Host", "x"), ("Prefer", "respond-async")]))
    (job,) = door.jobs.jobs
    assert (response.status, response.headers["Preference-Applied"]) == (202, "respond-async")
    assert door.records[0]["unmapped"]["hms"]["job_id"] == job.id
    assert door.upstream.seen == []


def test_who_does_not_gets_the_services_answer() -> None:
    door = Door(route(action=CHOICE))
    response = door.ask(request("POST", "/public/faq", headers=[("Host", "x"), ("Prefer", "wait=10")]))
    assert (response.status, len(door.upstream.seen), door.jobs.jobs) == (200, 1, [])
    assert "Preference-Applied" not in response.headers


def test_what_needs_its_record_is_not_forwarded_without() -> None:
    door = Door(route(audit="required"))
    door.sink.down = True
    response = door.ask(request(path="/public/faq"))
    assert response.status == 503
    assert door.upstream.seen == []


def test_what_needs_its_record_has_a_line_before_and_one_after() -> None:
    door = Door(route(audit="required"))
    assert door.ask(request(path="/public/faq")).status == 200
    first, second = door.records
    assert first["metadata"]["uid"] == second["metadata"]["uid"] or first["metadata"] != second["metadata"]
    assert first != second


def test_other_calls_go_on_while_the_record_is_down() -> None:
    door = Door(route())
    door.sink.down = True
    assert door.ask(request(path="/public/faq")).status == 200


@pytest.mark.parametrize("path", ["/_hms", "/_hms/", "/_hms/routes", "/_hms/../_hms/x", "/%5fhms/routes"])
def test_the_gateways_own_paths_are_never_forwarded(path: str) -> None:
    door = Door(route("/*"))
    assert door.ask(request(path=path)).status == 404
    assert door.upstream.seen == []


def test_health_is_told_to_everybody() -> None:
    door = Door()
    assert door.ask(request(path="/_hms/health")).status == 200
    assert door.ask(request("POST", "/_hms/health")).status == 405


def test_a_path_beside_the_gateways_own_is_like_any_other() -> None:
    assert Door(route("/*")).ask(request(path="/_hmsx")).status == 200


def test_a_streamed_answer_is_recorded_when_its_last_piece_has_gone() -> None:
    door = Door(route())
    door.upstream.answer = lambda _: UpstreamResponse(200, Headers(), Pieces(b"one ", b"two"))
    response = door.ask(request(path="/public/faq"))
    assert door.records == []
    assert run(content(response)) == b"one two"
    assert len(door.records) == 1


def test_a_streamed_answer_that_breaks_is_recorded_as_incomplete() -> None:
    door = Door(route())
    door.upstream.answer = lambda _: UpstreamResponse(200, Headers(), Pieces(b"one ", UpstreamBroken("reset")))
    response = door.ask(request(path="/public/faq"))
    with pytest.raises(UpstreamBroken):
        run(content(response))
    assert b"broke off" in door.sink.lines[0]


def test_a_stream_that_the_caller_leaves_is_closed_and_recorded() -> None:
    door = Door(route())
    pieces = Pieces(b"one ", b"two")
    door.upstream.answer = lambda _: UpstreamResponse(200, Headers(), pieces)
    body = door.ask(request(path="/public/faq")).body
    assert not isinstance(body, bytes)
    drive(body.aclose())
    assert pieces.closed
    assert b"the caller left" in door.sink.lines[0]


def test_what_is_no_request_is_refused_and_recorded() -> None:
    door = Door(route())
    response: Response = drive(door.gateway.refuse(request("", ""), Malformed("Not HTTP")))
    assert (response.status, problem(response)["detail"]) == (400, "Not HTTP")
    assert len(door.records) == 1


def test_what_a_door_cannot_carry_is_refused_before_the_record_is_closed() -> None:
    door = Door(route())
    seen: list[Response] = []

    def carry(response: Response) -> Response:
        seen.append(response)
        raise BadGateway("too large", cause="over 9 bytes")

    response = drive(door.gateway.handle(request(path="/public/faq"), carry))
    assert (seen[0].status, seen[0].body) == (200, b"ok")
    assert problem(response)["detail"] == "too large"
    assert [record["http_response"]["code"] for record in door.records] == [502]


def test_a_door_may_make_an_answer_whole_on_its_way() -> None:
    door = Door(route())
    response = drive(door.gateway.handle(request(path="/public/faq"), lambda given: given._replace(body=b"whole")))
    assert response.body == b"whole"
    assert door.records[0]["http_response"]["body_length"] == 5
