"""The Lambda door over a whole gateway: every event answered in its form and recorded once."""

from __future__ import annotations

import base64
import json
import os
from typing import Any

import pytest
from doors import Door
from worlds import Pieces

from hms_svc.aws.door import LambdaDoor, Suspended
from hms_svc.aws.events.reading import ALB_BYTES, LAMBDA_BYTES
from hms_svc.core.config import Forward, Route, Target
from hms_svc.core.model import Headers, Request, Response
from hms_svc.core.ports import UpstreamBroken, UpstreamRequest, UpstreamResponse, UpstreamTimeout

REST = {
    "resource": "/{proxy+}",
    "path": "/public/faq",
    "httpMethod": "GET",
    "multiValueHeaders": {"Host": ["a"]},
    "requestContext": {"identity": {"sourceIp": "192.0.2.7"}},
}
ALB = {
    "requestContext": {"elb": {}},
    "path": "/public/faq",
    "httpMethod": "GET",
    "headers": {"host": "a", "x-forwarded-for": "192.0.2.7"},
}


def route(**more: Any) -> Route:
    parts: dict[str, Any] = {
        "name": "all",
        "path": "/public/*",
        "action": Forward((Target("http", "svc", 80),)),
        "auth": (),
    }
    return Route(**(parts | more))


def answering(body: Any, *lines: tuple[str, str]) -> tuple[Door, LambdaDoor]:
    """A gateway whose service answers with ``body``."""
    around = Door(route())

    def answer(_: UpstreamRequest) -> UpstreamResponse:
        return UpstreamResponse(200, Headers(lines), body)

    around.upstream.answer = answer
    return around, LambdaDoor(around.gateway)


def test_an_event_is_answered_and_recorded() -> None:
    around, door = answering(b"ok", ("Content-Type", "text/plain"))
    answer = door(REST, None)
    assert (answer["statusCode"], answer["body"], answer["isBase64Encoded"]) == (200, "ok", False)
    assert answer["multiValueHeaders"]["Content-Type"] == ["text/plain"]
    assert len(answer["multiValueHeaders"]["X-Request-Id"][0]) == 32
    assert len(around.records) == 1


def test_an_event_that_cannot_be_read_is_refused_and_recorded() -> None:
    around, door = answering(b"ok")
    answer = door(REST | {"body": "@", "isBase64Encoded": True})
    assert answer["statusCode"] == 400
    assert answer["multiValueHeaders"]["Content-Type"] == ["application/problem+json"]
    assert json.loads(answer["body"])["type"] == "urn:problem:hms-svc:malformed-request"
    assert around.records[0]["http_response"]["code"] == 400
    assert around.records[0]["src_endpoint"]["ip"] == "192.0.2.7"


def test_a_body_over_the_routes_limit_is_413() -> None:
    door = LambdaDoor(Door(route(max_body=3)).gateway)
    assert door(REST | {"httpMethod": "POST", "body": "1234"})["statusCode"] == 413


def test_a_stream_is_read_to_its_end() -> None:
    around, door = answering(Pieces(b"a", b"", b"bc"))
    assert door(REST)["body"] == "abc"
    assert around.records[0]["http_response"]["code"] == 200


@pytest.mark.parametrize(
    ("error", "status"), [(UpstreamBroken("the end is missing"), 502), (UpstreamTimeout("too slow"), 504)]
)
def test_a_stream_that_breaks_off_is_an_error_to_the_caller_and_in_the_record(error: Exception, status: int) -> None:
    stream = Pieces(b"a", error)
    around, door = answering(stream)
    assert door(REST)["statusCode"] == status
    assert around.records[0]["http_response"]["code"] == status
    assert stream.closed


def largest(door: LambdaDoor, around: Door, event: dict[str, Any], limit: int) -> int:
    """How long a body of ASCII may be so that the answer is exactly as large as allowed."""
    around.upstream.answer = lambda _: UpstreamResponse(200, Headers(), b"")
    return limit - len(json.dumps(door(event)))


@pytest.mark.parametrize(("event", "limit"), [(REST, LAMBDA_BYTES), (ALB, ALB_BYTES)])
@pytest.mark.parametrize("streamed", [True, False])
def test_an_answer_over_what_the_door_carries_is_502_and_recorded_so(
    event: dict[str, Any], limit: int, *, streamed: bool
) -> None:
    around, door = answering(b"")
    most = largest(door, around, event, limit)
    answer: dict[str, Any] = {}
    for size, status in ((most, 200), (most + 1, 502)):
        around.sink.lines.clear()
        content = b"x" * size
        body = Pieces(content[:100], content[100:]) if streamed else content
        around.upstream.answer = lambda _, body=body: UpstreamResponse(200, Headers(), body)  # type: ignore[misc]
        answer = door(event)
        assert answer["statusCode"] == status
        assert len(json.dumps(answer)) <= limit
        assert around.records[0]["http_response"]["code"] == status
    problem = json.loads(answer["body"])
    assert (problem["type"], problem["status"]) == ("urn:problem:hms-svc:bad-gateway", 502)
    assert str(limit) in problem["detail"]
    assert "as JSON" in json.dumps(around.records[0])


def test_base64_counts_towards_what_the_door_carries() -> None:
    around, door = answering(os.urandom(4_800_000))
    assert door(REST)["statusCode"] == 502
    content = os.urandom(4_600_000)
    around.upstream.answer = lambda _: UpstreamResponse(200, Headers(), content)
    assert base64.b64decode(door(REST)["body"]) == content


def test_an_endless_stream_is_given_up() -> None:
    stream = Pieces(*[b"x" * 1_000_000] * 50)
    _, door = answering(stream)
    assert door(REST)["statusCode"] == 502
    assert stream.closed


class Waiting:
    """A gateway with an adapter that needs an event loop."""

    async def handle(self, request: Request, carry: Any) -> Response:
        import asyncio

        await asyncio.sleep(0)
        raise AssertionError

    async def refuse(self, request: Request, refusal: Any) -> Response:
        raise AssertionError


def test_an_adapter_that_waits_for_an_event_loop_is_called_a_bug() -> None:
    with pytest.raises(Suspended, match="event loop"):
        LambdaDoor(Waiting())(REST)
