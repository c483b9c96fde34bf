"""The server's ordinary life: requests in, answers out, connections kept and closed."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

import pytest
from wires import OpenDoor, Service, answering, ask, client, patiently, serving, to
from worlds import Pieces

from hms_svc.core.model import Headers, Response
from hms_svc.core.ports import UpstreamBroken
from hms_svc.local.http.server import Server, ServerLimits
from hms_svc.local.http.upstream import HttpUpstream

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from hms_svc.core.model import BodyStream, Request

GET = b"GET /a/b?c=d HTTP/1.1\r\nHost: x\r\n\r\n"


def always(
    status: int, *headers: tuple[str, str], body: bytes | BodyStream = b""
) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        await request.body.read(1_000_000)
        return Response(status, Headers(headers), body)

    return answer


def test_a_request_reaches_the_door_as_it_was_written() -> None:
    door = OpenDoor()

    async def main() -> None:
        async with serving(door) as port:
            await ask(
                port, b"PURGE /%41?x=%2F&y HTTP/1.1\r\nHost: h.example:8\r\nX-One:  a b \t\r\nx-one: caf\xe9\r\n\r\n"
            )

    patiently(main())
    (seen,) = door.seen
    assert (seen.method, seen.path, seen.query, seen.http_version) == ("PURGE", "/%41", "x=%2F&y", "1.1")
    assert seen.headers.lines == (("Host", "h.example:8"), ("X-One", "a b"), ("x-one", "caf\xe9"))
    assert (seen.peer_ip, seen.scheme, seen.certificate) == ("127.0.0.1", "http", None)


def test_an_answer_has_a_date_and_a_length_and_no_server() -> None:
    async def main() -> None:
        async with serving(OpenDoor()) as port:
            answer = await ask(port, GET)
        assert answer.status == 200
        assert answer.body == b"GET /a/b?c=d 0"
        assert list(answer.headers) == ["content-type", "date", "content-length"]
        assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", answer.headers["date"])

    patiently(main())


def test_a_date_the_answer_has_already_is_kept() -> None:
    async def main() -> None:
        date = "Tue, 15 Nov 1994 08:12:31 GMT"
        async with serving(OpenDoor(always(200, ("date", date)))) as port:
            assert (await ask(port, GET)).headers.all("Date") == [date]

    patiently(main())


def test_a_connection_serves_one_request_after_the_other() -> None:
    async def main() -> None:
        async with serving(OpenDoor()) as port, client(port) as one:
            for number in range(3):
                one.send(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % number)
                assert (await one.answer()).body == b"GET /%d? 0" % number

    patiently(main())


def test_requests_sent_in_a_row_are_answered_in_a_row() -> None:
    async def main() -> None:
        async with serving(OpenDoor()) as port, client(port) as one:
            post = b"POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
            chunked = b"PUT /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n"
            one.send(GET + post + chunked + GET)
            bodies = [(await one.answer()).body for _ in range(4)]
        assert bodies == [b"GET /a/b?c=d 0", b"POST /p? 3", b"PUT /c? 2", b"GET /a/b?c=d 0"]

    patiently(main())


def test_a_request_may_come_a_byte_at_a_time() -> None:
    async def main() -> None:
        async with serving(OpenDoor()) as port, client(port) as one:
            for byte in (
                b"\r\nPOST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\nT: v\r\n\r\n"
            ):
                one.send(bytes([byte]))
                await one.writer.drain()
                await asyncio.sleep(0)
            assert (await one.answer()).body == b"POST /? 3"

    patiently(main())


@pytest.mark.parametrize(
    ("head", "stays"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n", True),
        (b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n", False),
        (b"GET / HTTP/1.1\r\nHost: x\r\nConnection: TE, Close\r\n", False),
        (b"GET / HTTP/1.1\r\nHost: x\r\nProxy-Connection: close\r\n", True),
        (b"GET / HTTP/1.0\r\n", False),
        (b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n", True),
    ],
)
def test_the_connection_stays_when_the_client_wants_it(head: bytes, stays: bool) -> None:  # noqa: FBT001  (parametrised)
    async def main() -> None:
        async with serving(OpenDoor()) as port, client(port) as one:
            one.send(head + b"\r\n")
            answer = await one.answer()
            assert (answer.headers.get("connection") == "close") is not stays
            if stays:
                one.send(GET)
                assert (await one.answer()).status == 200
            else:
                assert await one.rest() == b""

    patiently(main())


def test_an_offer_of_another_protocol_is_not_taken_and_the_body_is_read() -> None:
    async def main() -> None:
        async with serving(OpenDoor()) as port, client(port) as one:
            one.send(
                b"POST / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 3\r\n\r\nabc"
                + GET
            )
            assert [(await one.answer()).body for _ in range(2)] == [b"POST /? 3", b"GET /a/b?c=d 0"]

    patiently(main())


def test_the_host_of_an_absolute_target_is_the_one_that_counts() -> None:
    door = OpenDoor()

    async def main() -> None:
        async with serving(door) as port:
            for target in (b"http://a.example:8/p?q", b"HTTPS://a.example:8", b"http://a.example:8?q"):
                await ask(port, b"GET %s HTTP/1.1\r\nHost: other\r\n\r\n" % target)
            await ask(port, b"OPTIONS http://a.example:8 HTTP/1.1\r\nHost: other\r\n\r\n")
            await ask(port, b"OPTIONS * HTTP/1.1\r\nHost: a.example:8\r\n\r\n")

    patiently(main())
    assert [(seen.path, seen.query) for seen in door.seen] == [("/p", "q"), ("/", ""), ("/", "q"), ("*", ""), ("*", "")]
    assert {tuple(seen.headers.all("host")) for seen in door.seen} == {("a.example:8",)}


def test_an_answer_to_head_says_the_length_and_sends_nothing() -> None:
    async def main() -> None:
        head = b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n"
        async with serving(OpenDoor(always(200, ("Content-Length", "1234")))) as port, client(port) as one:
            for _ in range(2):
                one.send(head)
                assert (await one.answer(to_head=True)).headers["content-length"] == "1234"
        stream = Pieces(b"never sent")
        async with serving(OpenDoor(always(200, body=stream))) as port, client(port) as one:
            one.send(head)
            assert "content-length" not in (await one.answer(to_head=True)).headers
        assert stream.closed

    patiently(main())


@pytest.mark.parametrize("status", [204, 304])
def test_answers_without_content_have_none(status: int) -> None:
    async def main() -> None:
        async with serving(OpenDoor(always(status, body=b"lost"))) as port, client(port) as one:
            for _ in range(2):
                one.send(GET)
                assert (await one.answer()).status == status

    patiently(main())


def test_a_stream_of_known_length_keeps_it() -> None:
    async def main() -> None:
        stream = Pieces(b"ab", b"", b"c")
        async with serving(OpenDoor(always(200, ("content-length", "3"), body=stream))) as port:
            answer = await ask(port, GET)
        assert (answer.headers["content-length"], answer.body, stream.closed) == ("3", b"abc", True)
        assert "transfer-encoding" not in answer.headers

    patiently(main())


def test_a_stream_of_unknown_length_goes_in_chunks_or_until_the_end() -> None:
    async def main() -> None:
        async with serving(OpenDoor(always(200, body=Pieces(b"ab", b"", b"c")))) as port:
            answer = await ask(port, GET)
        assert (answer.headers.get("transfer-encoding"), answer.body) == ("chunked", b"abc")
        async with serving(OpenDoor(always(200, body=Pieces(b"ab", b"c")))) as port:
            answer = await ask(port, b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        assert (answer.headers.get("transfer-encoding"), answer.headers["connection"]) == (None, "close")
        assert answer.body == b"abc"

    patiently(main())


@pytest.mark.parametrize(
    ("headers", "pieces"),
    [
        ([], [b"abc", UpstreamBroken("lost")]),
        ([("Content-Length", "9")], [b"abc", UpstreamBroken("lost")]),
        ([("Content-Length", "9")], [b"abc"]),
        ([("Content-Length", "2")], [b"abc"]),
    ],
)
def test_a_stream_that_breaks_off_never_ends_as_if_it_were_whole(
    headers: list[tuple[str, str]], pieces: list[bytes | Exception]
) -> None:
    async def main() -> None:
        stream = Pieces(*pieces)
        async with serving(OpenDoor(always(200, *headers, body=stream))) as port, client(port) as one:
            one.send(GET)
            try:
                rest = await one.rest()
            except ConnectionResetError:
                rest = b""
            assert not rest.endswith(b"0\r\n\r\n")
            assert len(rest.partition(b"\r\n\r\n")[2]) < 9
        assert stream.closed

    patiently(main())


@pytest.mark.parametrize(
    "headers",
    [
        [("X-A", "b\r\nX-C: d")],
        [("X-A", "b\nc")],
        [("X-A", "b\0c")],
        [("X A", "b")],
        [("X-A: b", "c")],
        [("", "b")],
        [("X-A", "\u20ac")],
    ],
)
def test_a_line_that_would_not_read_back_is_never_written(headers: list[tuple[str, str]]) -> None:
    async def main() -> None:
        stream = Pieces(b"abc")
        door = OpenDoor(always(200, *headers, body=stream))
        async with serving(door) as port:
            answer = await ask(port, GET)
        assert answer.status == 500
        assert "x-c" not in answer.headers
        assert stream.closed
        assert [refusal.status for _, refusal in door.refused] == [500]

    patiently(main())


def test_a_door_that_fails_cuts_the_connection_and_tells_the_loop() -> None:
    told = []

    async def fail(_: Request) -> Response:
        raise ZeroDivisionError

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(type(context["exception"])))
        async with serving(OpenDoor(fail)) as port, client(port) as one:
            one.send(GET)
            assert await one.rest() == b""

    patiently(main())
    assert told == [ZeroDivisionError]


def test_the_framing_fields_of_an_answer_are_the_servers_own() -> None:
    async def main() -> None:
        headers = [("Connection", "x-y"), ("Keep-Alive", "1"), ("Transfer-Encoding", "gzip"), ("Content-Length", "99")]
        async with serving(OpenDoor(always(200, *headers, ("X-Y", "z"), body=b"abc"))) as port:
            answer = await ask(port, GET)
        assert sorted(answer.headers) == ["content-length", "date", "x-y"]
        assert (answer.headers["content-length"], answer.body) == ("3", b"abc")

    patiently(main())


def test_a_client_that_has_closed_its_half_gets_its_answer() -> None:
    async def main() -> None:
        async with serving(OpenDoor()) as port, client(port) as one:
            one.send(GET)
            one.writer.write_eof()
            answer = await one.answer()
            assert (answer.status, answer.headers.get("connection")) in {(200, None), (200, "close")}
            assert await one.rest() == b""

    patiently(main())


@pytest.mark.parametrize("how", ["reset", "closed", "half closed"])
def test_the_request_of_a_client_that_has_left_is_cancelled(how: str) -> None:
    async def main() -> None:
        begun, cancelled = asyncio.Event(), asyncio.Event()

        async def hang(_: Request) -> Response:
            begun.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.set()
                raise
            raise AssertionError

        async with serving(OpenDoor(hang), half_closed_s=0.05) as port, client(port) as one:
            one.send(GET)
            await begun.wait()
            if how == "reset":
                one.writer.transport.abort()
            elif how == "closed":
                one.writer.close()
            else:
                one.writer.write_eof()
            await cancelled.wait()

    patiently(main())


def test_the_stream_of_a_client_that_has_left_is_closed() -> None:
    async def main() -> None:
        closed = asyncio.Event()

        class Endless:
            def __aiter__(self) -> Endless:
                return self

            async def __anext__(self) -> bytes:
                await asyncio.sleep(0)
                return b"x" * 10_000

            async def aclose(self) -> None:
                closed.set()

        async with serving(OpenDoor(always(200, body=Endless()))) as port:
            async with client(port) as one:
                one.send(GET)
                await one.head()
                one.writer.transport.abort()
            await closed.wait()

    patiently(main())


def test_a_client_that_does_not_read_is_written_to_no_further_than_the_bound() -> None:
    async def main() -> None:
        given, closed = 0, asyncio.Event()

        class Endless:
            def __aiter__(self) -> Endless:
                return self

            async def __anext__(self) -> bytes:
                nonlocal given
                given += 100_000
                await asyncio.sleep(0)
                return b"x" * 100_000

            async def aclose(self) -> None:
                closed.set()

        async with serving(OpenDoor(always(200, body=Endless())), write_timeout_s=0.1) as port, client(port) as one:
            one.writer.transport.pause_reading()  # type: ignore[attr-defined]
            one.send(GET)
            await closed.wait()
        assert given < 20_000_000  # what the kernel's buffers on loopback take

    patiently(main())


def test_a_large_answer_arrives_whole_at_a_slow_reader() -> None:
    async def main() -> None:
        body = bytes(range(256)) * 20_000
        async with serving(OpenDoor(always(200, body=body))) as port, client(port) as one:
            one.send(GET + GET)
            assert (await one.answer()).body == body
            assert (await one.answer()).body == body

    patiently(main())


def test_beyond_its_connections_the_server_says_503_and_closes() -> None:
    async def main() -> None:
        async with serving(OpenDoor(), connections=1) as port, client(port) as first:
            first.send(GET)
            assert (await first.answer()).status == 200
            answer = await ask(port, GET)
            assert (answer.status, answer.headers["connection"], answer.headers["retry-after"]) == (503, "close", "5")
            first.send(GET)
            assert (await first.answer()).status == 200

    patiently(main())


def test_a_port_in_use_is_an_oserror() -> None:
    async def main() -> None:
        async with serving(OpenDoor()) as port:
            with pytest.raises(OSError, match="in use"):
                await Server(OpenDoor()).start("127.0.0.1", port)

    patiently(main())


def test_draining_closes_what_is_idle_and_lets_what_is_in_flight_finish() -> None:
    async def main() -> None:
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def wait(_: Request) -> Response:
            begun.set()
            await go_on.wait()
            return Response(200, Headers(), b"done")

        server = Server(OpenDoor(wait))
        _, port = await server.start("127.0.0.1", 0)
        async with client(port) as idle, client(port) as busy:
            busy.send(GET)
            await begun.wait()
            draining = asyncio.create_task(server.drain(5))
            assert await idle.rest() == b""
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", port)
            go_on.set()
            answer = await busy.answer()
            assert (answer.body, answer.headers["connection"]) == (b"done", "close")
            await draining

    patiently(main())


def test_draining_cuts_off_what_overstays_the_grace() -> None:
    async def main() -> None:
        begun = asyncio.Event()

        async def hang(_: Request) -> Response:
            begun.set()
            await asyncio.Event().wait()
            raise AssertionError

        server = Server(OpenDoor(hang))
        _, port = await server.start("127.0.0.1", 0)
        async with client(port) as one:
            one.send(GET)
            await begun.wait()
            await server.drain(0.05)
            assert await one.rest() == b""

    patiently(main())


def test_the_bounds_of_a_server_are_positive() -> None:
    with pytest.raises(ValueError, match="field_count is more than 0, not 0"):
        ServerLimits(field_count=0)


def test_the_standard_loop_serves_as_well() -> None:
    async def main() -> None:
        service: Service = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        async with service.running():
            upstream = HttpUpstream()

            async def forward(request: Request) -> Response:
                answer = await upstream.send(to(service.port, request.method, request.path))
                return Response(answer.status, answer.headers, answer.body)

            async with serving(OpenDoor(forward)) as port, client(port) as one:
                for _ in range(3):
                    one.send(GET)
                    assert (await one.answer()).body == b"ok"
            await upstream.close()
        assert service.connections == 1

    asyncio.run(main())


def test_a_client_that_leaves_while_pieces_come_fast_is_no_fault() -> None:
    async def main() -> None:
        closed = asyncio.Event()

        class Endless:
            def __aiter__(self) -> Endless:
                return self

            async def __anext__(self) -> bytes:
                await asyncio.sleep(0)
                return b"x" * 65_536

            async def aclose(self) -> None:
                closed.set()

        async with serving(OpenDoor(always(200, body=Endless()))) as port:
            for _ in range(20):
                closed.clear()
                async with client(port) as one:
                    one.send(GET)
                    await one.head()
                    await one.reader.readexactly(1_000_000)
                    one.writer.transport.abort()
                await closed.wait()

    patiently(main())
