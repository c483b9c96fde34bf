"""The Lambda router's client: to the letter on the wire, strict with what comes back, honest when it fails.

Real loopback sockets; the client blocks, so it runs on a thread while the service answers on the loop.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import pytest
from authority import Authority, localhost
from wires import Service, answering, patiently, to
from worlds import drive, run

from hms_svc.aws.upstream import RequestsUpstream
from hms_svc.core.config import Target
from hms_svc.core.ports import (
    UpstreamBroken,
    UpstreamRequest,
    UpstreamResponse,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from hms_svc.local.http.fields import Unwritable
from hms_svc.local.tls import server_context

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def send(upstream: RequestsUpstream, request: UpstreamRequest) -> UpstreamResponse:
    answer: UpstreamResponse = await asyncio.to_thread(lambda: drive(upstream.send(request)))
    return answer


def asked(service: Service, method: str = "GET", **more: object) -> UpstreamResponse:
    """What one request to ``service`` brings, by a client of its own."""

    async def main() -> UpstreamResponse:
        async with service.running():
            upstream = RequestsUpstream()
            try:
                return await send(upstream, to(service.port, method, **more))  # type: ignore[arg-type]
            finally:
                upstream.close()

    result: UpstreamResponse = run(main())
    return result


def test_what_goes_on_the_wire_is_the_request_to_the_letter() -> None:
    service = answering(OK)
    lines = [("Host", "svc:8080"), ("x-one", "1"), ("Accept", "*/*"), ("X-One", "2"), ("Cookie", "a=1"), ("N", "\xe9")]
    asked(service, "PUT", path="/a/%2e%2E/b;c?x=%c3%a9&y=%2E&&z='[]", headers=lines, body=b"")
    fields = b"Host: svc:8080\r\nx-one: 1\r\nAccept: */*\r\nX-One: 2\r\nCookie: a=1\r\nN: \xe9\r\n\r\n"
    assert service.heads == [b"PUT /a/%2e%2E/b;c?x=%c3%a9&y=%2E&&z='[] HTTP/1.1\r\n" + fields]


@pytest.mark.parametrize("size", [3, 2_000_000])
def test_a_body_arrives_whole(size: int) -> None:
    received = bytearray()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.extend(await reader.readexactly(size))
        writer.write(OK)

    asked(Service(script), "POST", body=b"x" * size)
    assert received == b"x" * size


def test_nothing_of_the_environment_is_sent_or_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    service = answering(OK)
    assert asked(service).body == b"ok"
    assert service.heads == [b"GET / HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n" % service.port]


def test_an_answer_comes_back_with_its_lines_and_its_bytes_as_they_are() -> None:
    raw = (
        b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nSet-Cookie: a=1\r\nX-One: 1\r\nset-cookie: b=2\r\n"
        b"Content-Encoding: gzip\r\nN: \xe9 \r\nContent-Length: 4\r\n\r\n\x1f\x8b\x00\xff"
    )
    service = answering(raw)
    answer = asked(service)
    assert (answer.status, answer.body) == (302, b"\x1f\x8b\x00\xff")
    assert answer.headers.lines == (
        ("Location", "/elsewhere"), ("Set-Cookie", "a=1"), ("X-One", "1"), ("set-cookie", "b=2"),
        ("Content-Encoding", "gzip"), ("N", "\xe9"), ("Content-Length", "4"),
    )  # fmt: skip
    assert len(service.heads) == 1


def test_a_cookie_of_one_answer_is_in_no_later_request() -> None:
    async def main() -> None:
        async with answering(OK.replace(b"\r\n\r\n", b"\r\nSet-Cookie: a=1\r\n\r\n")).running() as service:
            upstream = RequestsUpstream()
            for _ in range(2):
                await send(upstream, to(service.port))
            upstream.close()
            assert (service.connections, service.heads[0]) == (1, service.heads[1])
            assert b"ookie" not in service.heads[1]

    patiently(main())


@pytest.mark.parametrize(
    ("raw", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n3\r\n, k\r\n0\r\n\r\n", b"ok, k"),
        (b"HTTP/1.1 103 Early\r\nLink: </a>\r\n\r\n" + OK, b"ok"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n" + OK, b"ok"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.1 200 OK\r\nContent-Type: multipart/mixed; boundary=x\r\nContent-Length: 2\r\n\r\nok", b"ok"),
    ],
)
def test_every_framing_is_read(raw: bytes, body: bytes) -> None:
    assert asked(answering(raw)).body == body


def test_an_answer_without_framing_ends_with_its_connection() -> None:
    async def script(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nall")
        writer.close()

    assert asked(Service(script)).body == b"all"


def test_an_answer_to_head_has_no_body_whatever_it_says_and_the_connection_stays() -> None:
    async def main() -> None:
        async with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n").running() as service:
            upstream = RequestsUpstream()
            for _ in range(2):
                answer = await send(upstream, to(service.port, "HEAD"))
                assert (answer.headers["content-length"], answer.body) == ("3", b"")
            assert service.connections == 1
            upstream.close()

    patiently(main())


BROKEN = {
    "no HTTP": b"SSH-2.0-OpenSSH\r\n",
    "a length and chunks": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
    "a list of lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 3, 3\r\n\r\nabc",
    "a negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -3\r\n\r\n",
    "another coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "bad chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
    "another protocol": b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nabc",
    "a folded line": b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 0\r\n\r\n",
    "a lone CR": b"HTTP/1.1 200 OK\r\nA: b\rSet-Cookie: c\r\nContent-Length: 0\r\n\r\n",
    "a NUL": b"HTTP/1.1 200 OK\r\nA: b\x00c\r\nContent-Length: 0\r\n\r\n",
    "a line without a name": b"HTTP/1.1 200 OK\r\nA: b\r\nnonsense\r\nContent-Length: 0\r\n\r\n",
    "a space in a name": b"HTTP/1.1 200 OK\r\nA b: c\r\nContent-Length: 0\r\n\r\n",
    "a short status": b"HTTP/1.1 20 OK\r\n\r\n",
    "too many fields": b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 300 + b"\r\n",
    "too long a line": b"HTTP/1.1 200 OK\r\nA: " + b"b" * 100_000,
    "interim answers without end": b"HTTP/1.1 103 Early\r\n\r\n" * 100,
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_no_answer_that_can_be_passed_on_is_broken(case: str) -> None:
    with pytest.raises(UpstreamBroken):
        asked(answering(BROKEN[case]))


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-",
    ],
)
def test_an_answer_that_ends_early_is_broken(raw: bytes) -> None:
    async def script(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(raw)
        writer.close()

    with pytest.raises(UpstreamBroken):
        asked(Service(script))


def test_an_answer_that_is_larger_than_lambda_carries_is_read_no_further() -> None:
    async def main() -> None:
        async with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n" + b"x" * 99).running() as service:
            upstream = RequestsUpstream(max_body=98)
            with pytest.raises(UpstreamBroken, match="over 98 bytes"):
                await send(upstream, to(service.port))
            upstream.close()

    patiently(main())


@pytest.mark.parametrize(
    "request_",
    [
        {"path": "/a b"},
        {"path": "/a\r\nX: y"},
        {"path": "/\xe9"},
        {"method": "GET /"},
        {"headers": [("Host", "x\r\nX: y")]},
        {"headers": [("Ho st", "x")]},
        {"headers": [("Host", "\u20ac")]},
    ],
)
def test_a_request_that_would_not_read_back_is_never_sent(request_: dict[str, object]) -> None:
    service = answering(OK)
    with pytest.raises(Unwritable):
        asked(service, **request_)  # type: ignore[arg-type]
    assert service.connections == 0


def test_nobody_at_the_other_end_means_nothing_was_sent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(UpstreamUnreachable) as raised:
        drive(RequestsUpstream().send(to(port)))
    assert raised.value.sent is False


def test_a_connection_lost_before_an_answer_may_have_been_heard() -> None:
    async def script(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    service = Service(script)
    with pytest.raises(UpstreamUnreachable) as raised:
        asked(service)
    assert (raised.value.sent, service.connections) == (True, 1)


def test_a_service_that_does_not_answer_is_timed_out() -> None:
    async def script(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    with pytest.raises(UpstreamTimeout):
        asked(Service(script), timeout_s=0.05)


def test_a_head_that_drips_in_is_timed_out_as_a_whole() -> None:
    async def script(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for letter in b"HTTP/1.1 200 OK and so on and on":
            writer.write(bytes([letter]))
            await asyncio.sleep(0.04)

    with pytest.raises(UpstreamTimeout):
        asked(Service(script), timeout_s=0.2)


def test_a_body_that_drips_in_is_timed_out_as_a_whole_where_that_is_asked_for() -> None:
    async def script(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n")
        for letter in b"and so on and on":
            writer.write(bytes([letter]))
            await asyncio.sleep(0.04)

    async def main(upstream: RequestsUpstream) -> UpstreamResponse:
        service = Service(script)
        async with service.running():
            try:
                return await send(upstream, to(service.port, "GET", timeout_s=0.2))
            finally:
                upstream.close()

    assert run(main(RequestsUpstream())).body == b"and so on and o"
    with pytest.raises(UpstreamTimeout):
        run(main(RequestsUpstream(body_in_time=True)))


def test_a_service_that_stops_in_the_middle_is_timed_out() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc")
        await reader.read()

    with pytest.raises(UpstreamTimeout):
        asked(Service(script), timeout_s=0.05)


def test_an_answer_before_the_whole_request_was_sent_is_passed_on() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await reader.readexactly(9_000_000)

    assert asked(Service(script), "POST", body=b"x" * 9_000_000).status == 413


def closing_the_second_time(*, at_once: bool) -> Service:
    """A service that closes a connection after its first answer: at once, or when it is asked again."""
    answered: set[int] = set()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if id(writer) in answered:
            writer.close()
            return
        writer.write(OK)
        await writer.drain()
        if at_once:
            writer.close()
        answered.add(id(writer))
        kept.append(writer)

    kept: list[asyncio.StreamWriter] = []
    return Service(script)


def with_a_warm_client(service: Service, then: Callable[[RequestsUpstream], UpstreamRequest]) -> UpstreamResponse:
    """What the second request of a client brings."""

    async def main() -> UpstreamResponse:
        async with service.running():
            upstream = RequestsUpstream()
            try:
                await send(upstream, to(service.port))
                return await send(upstream, then(upstream))
            finally:
                upstream.close()

    result: UpstreamResponse = run(main())
    return result


def test_a_kept_connection_that_was_closed_is_replaced_once_for_what_may_be_repeated() -> None:
    service = closing_the_second_time(at_once=False)
    assert with_a_warm_client(service, lambda _: to(service.port)).body == b"ok"
    assert service.connections == 2


def test_what_may_not_be_repeated_is_not_and_the_failure_says_so() -> None:
    service = closing_the_second_time(at_once=False)
    with pytest.raises(UpstreamUnreachable) as raised:
        with_a_warm_client(service, lambda _: to(service.port, "PATCH", headers=[("Host", "a")]))
    assert (raised.value.sent, service.connections) == (True, 1)


def test_tls_is_verified_by_the_targets_name(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    context = server_context(authority.issue("server", sans=localhost()), None, None)

    async def main() -> None:
        async with answering(OK).running(tls=context) as service:
            target = Target("https", "localhost", service.port)
            trusting = RequestsUpstream(ca_file=authority.file)
            for _ in range(2):
                assert (await send(trusting, to(0, target=target))).body == b"ok"
            assert service.connections == 1
            with pytest.raises(UpstreamUnreachable) as raised:
                await send(RequestsUpstream(), to(0, target=target))
            assert raised.value.sent is False
            trusting.close()

    patiently(main())
