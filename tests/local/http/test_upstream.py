"""The client of the private services: to the letter on the wire, strict with what comes back, honest when it fails."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import pytest
from authority import Authority, client_context, localhost
from wires import Service, answering, patiently, to
from worlds import run

from hms_svc.core.config import Target
from hms_svc.core.ports import (
    UpstreamBroken,
    UpstreamRequest,
    UpstreamResponse,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from hms_svc.local.http.fields import Unwritable
from hms_svc.local.http.upstream import HttpUpstream
from hms_svc.local.tls import server_context

if TYPE_CHECKING:
    from pathlib import Path

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def whole(answer: UpstreamResponse) -> bytes:
    if isinstance(answer.body, bytes):
        return answer.body
    return b"".join([piece async for piece in answer.body])


async def send(request: UpstreamRequest, **more: object) -> tuple[UpstreamResponse, bytes]:
    """One exchange by a client of its own."""
    upstream = HttpUpstream(**more)  # type: ignore[arg-type]
    try:
        answer = await upstream.send(request)
        return answer, await whole(answer)
    finally:
        await upstream.close()


def asked(service: Service, method: str = "GET", **more: object) -> tuple[UpstreamResponse, bytes]:
    """What one request to ``service`` brings."""

    async def main() -> tuple[UpstreamResponse, bytes]:
        async with service.running():
            return await send(to(service.port, method, **more))  # type: ignore[arg-type]

    result: tuple[UpstreamResponse, bytes] = run(main())
    return result


def test_what_goes_on_the_wire_is_the_request_to_the_letter() -> None:
    received = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append(await reader.readexactly(3))
        writer.write(OK)

    service = Service(script)
    headers = [("host", "name:1"), ("X-B", "1"), ("x-a", "caf\xe9"), ("X-B", "2")]
    answer, body = asked(service, "PURGE", path="/a/%2E%2e//b?c=%20&", body=b"abc", headers=headers)
    assert (answer.status, body, received) == (200, b"ok", [b"abc"])
    (head,) = service.heads
    assert head.decode("latin-1").split("\r\n") == [
        "PURGE /a/%2E%2e//b?c=%20& HTTP/1.1",
        "host: name:1",
        "X-B: 1",
        "x-a: caf\xe9",
        "X-B: 2",
        "Content-Length: 3",
        "",
        "",
    ]


def test_an_answer_that_is_all_there_is_bytes_and_its_lines_are_kept() -> None:
    lines = b"X-One: a \r\nx-one:b\r\nSet-Cookie: c=d\r\nContent-Length: 2\r\n"
    answer, _ = asked(answering(b"HTTP/1.1 418 Teapot\r\n" + lines + b"\r\nok"))
    assert (answer.status, answer.body) == (418, b"ok")
    assert answer.headers.lines == (("X-One", "a"), ("x-one", "b"), ("Set-Cookie", "c=d"), ("Content-Length", "2"))


@pytest.mark.parametrize(
    ("raw", "body"),
    [
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b\r\nab\r\n1\r\nc\r\n0\r\nTrailer: x\r\n\r\n",
            b"abc",
        ),
        (b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", b""),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n", b""),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc", b"abc"),
        (b"HTTP/1.1 200 OK\r\nConnection: upgrade\r\nUpgrade: h2\r\nContent-Length: 3\r\n\r\nabc", b"abc"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\n" + OK, b"ok"),
    ],
)
def test_every_framing_is_read(raw: bytes, body: bytes) -> None:
    answer, read = asked(answering(raw))
    assert read == body
    assert not {"link", "trailer"} & set(answer.headers)


def test_an_answer_that_comes_slowly_is_streamed() -> None:
    async def main() -> None:
        go_on = asyncio.Event()

        async def script(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc")
            await go_on.wait()
            writer.write(b"def")

        async with Service(script).running() as service:
            upstream = HttpUpstream()
            answer = await upstream.send(to(service.port))
            assert not isinstance(answer.body, bytes)
            assert await anext(answer.body) == b"abc"
            go_on.set()
            assert [piece async for piece in answer.body] == [b"def"]
            await answer.body.aclose()
            assert await whole(await upstream.send(to(service.port))) == b"abcdef"
            assert service.connections == 1
            await upstream.close()

    patiently(main())


def test_an_answer_without_framing_ends_with_its_connection() -> None:
    async def main() -> None:
        async def script(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\n\r\nabc")
            await writer.drain()
            writer.write(b"def")
            writer.close()

        async with Service(script).running() as service:
            _, body = await send(to(service.port))
            assert body == b"abcdef"

    patiently(main())


def test_an_answer_to_head_has_no_body_whatever_it_says_and_the_connection_stays() -> None:
    async def main() -> None:
        async def script(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            is_head = service.heads[-1].startswith(b"HEAD")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n" + (b"" if is_head else b"abc"))

        async with Service(script).running() as service:
            upstream = HttpUpstream()
            for method, body in (("HEAD", b""), ("GET", b"abc"), ("HEAD", b""), ("HEAD", b""), ("GET", b"abc")):
                answer = await upstream.send(to(service.port, method))
                assert (answer.headers["content-length"], await whole(answer)) == ("3", body)
            assert service.connections == 1
            await upstream.close()

    patiently(main())


BROKEN = {
    "no HTTP": b"SSH-2.0-OpenSSH\r\n",
    "a length and chunks": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
    "a list of lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 3, 3\r\n\r\nabc",
    "a negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -3\r\n\r\nabc",
    "another coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunks in HTTP/1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "another version": b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    "bad chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
    "another protocol": b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nabc",
    "another protocol, unasked": b"HTTP/1.1 101 Switching\r\n\r\nabc",
    "a folded line": b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 0\r\n\r\n",
    "a control character": b"HTTP/1.1 200 OK\r\nA: b\x01\r\nContent-Length: 0\r\n\r\n",
    "a short status": b"HTTP/1.1 20 OK\r\n\r\n",
    "too many fields": b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 300 + b"\r\n",
    "too long a header section": b"HTTP/1.1 200 OK\r\n"
    + b"A: %s\r\n" % (b"b" * 1_000) * 70
    + b"Content-Length: 2\r\n\r\nok",
    "too long a line": b"HTTP/1.1 200 OK\r\nA: " + b"b" * 100_000,
    "interim answers without end": b"HTTP/1.1 100 Continue\r\n\r\n" * 100,
    "wasteful chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;" + b"a" * 200_000,
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_no_answer_that_can_be_passed_on_is_broken(case: str) -> None:
    with pytest.raises(UpstreamBroken):
        asked(answering(BROKEN[case]))


def test_content_in_an_answer_to_head_is_broken() -> None:
    with pytest.raises(UpstreamBroken, match="HEAD"):
        asked(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"), "HEAD")


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n",
        b"HTTP/1.1 200 OK\r\nContent-",
    ],
)
def test_an_answer_that_ends_early_is_broken(raw: bytes) -> None:
    async def script(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(raw)
        writer.close()

    with pytest.raises(UpstreamBroken, match="lost"):
        asked(Service(script))


def test_more_than_was_asked_for_is_not_passed_on_and_ends_the_connection() -> None:
    async def main() -> None:
        async with answering(OK + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil").running() as service:
            upstream = HttpUpstream()
            for _ in range(3):
                assert await whole(await upstream.send(to(service.port))) == b"ok"
            assert service.connections == 3
            await upstream.close()

    patiently(main())


@pytest.mark.parametrize(
    "request_",
    [
        {"path": "/a b"},
        {"path": "/a\r\nX: y"},
        {"method": "GET /"},
        {"headers": [("Host", "x\r\nX: y")]},
        {"headers": [("Ho st", "x")]},
        {"headers": [("Host", "\u20ac")]},
    ],
)
def test_a_request_that_would_not_read_back_is_never_sent(request_: dict[str, object]) -> None:
    async def main() -> None:
        async with answering(OK).running() as service:
            with pytest.raises(Unwritable):
                await send(to(service.port, **request_))  # type: ignore[arg-type]
            assert service.connections == 0

    patiently(main())


def test_nobody_at_the_other_end_means_nothing_was_sent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(UpstreamUnreachable) as raised:
        run(send(to(port)))
    assert raised.value.sent is False


def test_a_name_that_leads_nowhere_means_nothing_was_sent() -> None:
    with pytest.raises(UpstreamUnreachable, match="resolved") as raised:
        run(send(to(80, target=Target("http", "nowhere.invalid", 80))))
    assert raised.value.sent is False


def test_a_connection_lost_before_an_answer_may_have_been_heard() -> None:
    async def script(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    service = Service(script)
    with pytest.raises(UpstreamUnreachable) as raised:
        asked(service)
    assert (raised.value.sent, service.connections) == (True, 1)


def test_names_lead_where_they_are_told_to_and_the_host_stays() -> None:
    async def main() -> None:
        async with answering(OK).running() as service:
            place = ("127.0.0.1", service.port)
            for port, resolve in (
                (9000, {"faq-svc": place}),
                (9000, {"faq-svc:9000": place, "faq-svc": ("127.0.0.1", 1)}),
            ):
                await send(to(port, target=Target("http", "faq-svc", port)), resolve=resolve)
            await send(to(0, target=Target("http", "faq-svc", service.port)), resolve={"faq-svc": ("127.0.0.1", None)})
            assert [head.split(b"\r\n")[1] for head in service.heads] == [
                b"Host: faq-svc:9000",
                b"Host: faq-svc:9000",
                b"Host: faq-svc:%d" % service.port,
            ]

    patiently(main())


def test_localhost_is_found_by_the_resolver() -> None:
    async def main() -> None:
        async with answering(OK).running() as service:
            _, body = await send(to(0, target=Target("http", "localhost", service.port)))
            assert body == b"ok"

    patiently(main())


def test_a_service_that_does_not_answer_is_timed_out() -> None:
    async def script(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    with pytest.raises(UpstreamTimeout):
        asked(Service(script), timeout_s=0.05)


def test_a_service_that_stops_in_the_middle_is_timed_out() -> None:
    async def main() -> None:
        async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc")
            await reader.read()

        async with Service(script).running() as service:
            upstream = HttpUpstream()
            answer = await upstream.send(to(service.port, timeout_s=0.05))
            assert not isinstance(answer.body, bytes)
            assert await anext(answer.body) == b"abc"
            with pytest.raises(UpstreamTimeout):
                await anext(answer.body)
            await upstream.close()

    patiently(main())


def test_time_that_the_reader_takes_is_not_the_services() -> None:
    async def main() -> None:
        content = b"x" * 3_000_000

        async def script(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(content) + content)
            await writer.drain()

        async with Service(script).running() as service:
            upstream = HttpUpstream()
            answer = await upstream.send(to(service.port, timeout_s=0.1))
            await asyncio.sleep(0.2)
            assert await whole(answer) == content
            await upstream.close()

    patiently(main())


def test_a_service_is_read_no_further_ahead_than_the_bound() -> None:
    async def main() -> None:
        written = 0

        async def script(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal written
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            while True:
                writer.write(b"x" * 100_000)
                await writer.drain()
                written += 100_000

        async with Service(script).running() as service:
            upstream = HttpUpstream()
            answer = await upstream.send(to(service.port))
            before = -1
            while before != written:  # until nothing moves any more
                before = written
                await asyncio.sleep(0.1)
            assert written < 20_000_000
            assert not isinstance(answer.body, bytes)
            await answer.body.aclose()
            await upstream.close()

    patiently(main())


def test_a_request_that_is_cancelled_takes_its_connection_with_it() -> None:
    async def main() -> None:
        begun, gone = asyncio.Event(), asyncio.Event()

        async def script(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
            begun.set()
            await reader.read()
            gone.set()

        async with Service(script).running() as service:
            upstream = HttpUpstream()
            task = asyncio.create_task(upstream.send(to(service.port)))
            await begun.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await gone.wait()
            await upstream.close()

    patiently(main())


def test_a_body_nobody_reads_on_takes_its_connection_with_it() -> None:
    async def main() -> None:
        gone = asyncio.Event()

        async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc")
            await reader.read()
            gone.set()

        async with Service(script).running() as service:
            upstream = HttpUpstream()
            answer = await upstream.send(to(service.port))
            assert not isinstance(answer.body, bytes)
            await answer.body.aclose()
            await gone.wait()
            assert [piece async for piece in answer.body] == []
            await upstream.close()

    patiently(main())


def test_an_answer_before_the_whole_request_was_sent_is_passed_on() -> None:
    async def main() -> None:
        async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
            await writer.drain()
            await reader.read()

        async with Service(script).running() as service:
            answer, body = await send(to(service.port, "POST", body=b"x" * 20_000_000))
            assert (answer.status, body) == (413, b"no")

    patiently(main())


def test_tls_is_verified_by_the_targets_name(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    context = server_context(authority.issue("server", sans=localhost()), None, None)

    async def main() -> None:
        async with answering(OK).running(tls=context) as service:
            trusting = client_context(authority.file)
            resolve = {"wrong.example": ("127.0.0.1", service.port)}
            for host in ("localhost", "127.0.0.1"):
                _, body = await send(to(0, target=Target("https", host, service.port)), tls=trusting)
                assert body == b"ok"
            for target, tls in (
                (Target("https", "wrong.example", 443), trusting),
                (Target("https", "localhost", service.port), None),
            ):
                with pytest.raises(UpstreamUnreachable) as raised:
                    await send(to(0, target=target), tls=tls, resolve=resolve)
                assert raised.value.sent is False

    patiently(main())
