"""What every Upstream does: the tests' own, and the laptop's and the Lambda router's clients against a real server."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from worlds import RecordingUpstream, content, drive, run

from hms_svc.aws.upstream import RequestsUpstream
from hms_svc.core.config import Target
from hms_svc.core.model import Headers, Request, Response
from hms_svc.core.ports import UpstreamRequest, UpstreamResponse, UpstreamUnreachable
from hms_svc.local.http.server import Server
from hms_svc.local.http.upstream import HttpUpstream

if TYPE_CHECKING:
    from hms_svc.core.errors import Refusal
    from hms_svc.core.ports import Upstream


class Echo:
    """A service that answers with what it was asked."""

    async def handle(self, request: Request) -> Response:
        body = await request.body.read(1_000)
        said = f"{request.method} {request.path}?{request.query} {request.headers['X-Thing']} ".encode() + body
        return Response(418, Headers([("X-One", "1"), ("X-One", "2")]), said)

    async def refuse(self, request: Request, refusal: Refusal) -> Response:
        raise AssertionError((request, refusal))


class OnAThread:
    """The Lambda router's client blocks, so beside a server on this loop it needs a thread."""

    def __init__(self) -> None:
        self._upstream = RequestsUpstream()

    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        answer: UpstreamResponse = await asyncio.to_thread(lambda: drive(self._upstream.send(request)))
        return answer

    async def close(self) -> None:
        self._upstream.close()


def asked(port: int) -> UpstreamRequest:
    lines = [("Host", "svc"), ("X-Thing", "caf\xe9"), ("Content-Length", "3")]
    return UpstreamRequest(Target("http", "127.0.0.1", port), "PUT", "/a%20b?x=1", Headers(lines), b"abc", 5.0)


def own_answer(request: UpstreamRequest) -> UpstreamResponse:
    said = f"{request.method} {request.path_and_query} {request.headers['X-Thing']} ".encode() + request.body
    return UpstreamResponse(418, Headers([("X-One", "1"), ("X-One", "2")]), said)


@pytest.mark.parametrize("kind", ["own", "http", "requests"])
def test_what_is_sent_arrives_and_what_is_answered_comes_back(kind: str) -> None:
    async def journey() -> tuple[int, list[str], bytes]:
        server = Server(Echo())
        _, port = await server.start("127.0.0.1", 0)
        http = OnAThread() if kind == "requests" else HttpUpstream()
        upstream: Upstream = RecordingUpstream(own_answer) if kind == "own" else http
        answer = await upstream.send(asked(port))
        body = await content(Response(answer.status, answer.headers, answer.body))
        await http.close()
        await server.drain(1.0)
        return answer.status, answer.headers.all("x-one"), body

    assert run(journey()) == (418, ["1", "2"], "PUT /a%20b?x=1 café abc".encode())


@pytest.mark.parametrize("kind", ["own", "http", "requests"])
def test_a_service_that_is_not_there_is_unreachable_and_has_seen_nothing(kind: str) -> None:
    def down(_: UpstreamRequest) -> UpstreamResponse:
        raise UpstreamUnreachable("refused", sent=False)

    async def journey() -> None:
        http = OnAThread() if kind == "requests" else HttpUpstream()
        upstream: Upstream = RecordingUpstream(down) if kind == "own" else http
        try:
            await upstream.send(asked(1))
        finally:
            await http.close()

    with pytest.raises(UpstreamUnreachable) as failed:
        run(journey())
    assert failed.value.sent is False
