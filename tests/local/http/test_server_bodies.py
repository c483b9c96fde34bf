"""Bodies: read when asked for, bounded, framed strictly, skipped when nobody wants them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wires import OpenDoor, ask, client, patiently, serving

from hms_svc.core.errors import BodyTooLarge, Malformed
from hms_svc.core.model import Headers, Response
from hms_svc.local.http.framing import Chunked, Counted

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from hms_svc.core.model import Request

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


def up_to(limit: int) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        return Response(200, Headers(), await request.body.read(limit))

    return answer


async def unread(_: Request) -> Response:
    return Response(200, Headers(), b"not read")


def post(*lines: bytes) -> bytes:
    return b"\r\n".join((b"POST / HTTP/1.1", b"Host: x", *lines, b"", b""))


COUNTED = post(b"Content-Length: 5") + b"hello"
IN_CHUNKS = post(b"Transfer-Encoding: chunked") + b"3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"


@pytest.mark.parametrize("raw", [COUNTED, IN_CHUNKS])
def test_a_body_of_just_the_limit_is_read(raw: bytes) -> None:
    async def main() -> None:
        async with serving(OpenDoor(up_to(5))) as port:
            assert (await ask(port, raw)).body == b"hello"

    patiently(main())


@pytest.mark.parametrize("raw", [COUNTED, IN_CHUNKS])
def test_a_body_over_the_limit_is_refused_and_a_small_rest_keeps_the_connection(raw: bytes) -> None:
    async def main() -> None:
        async with serving(OpenDoor(up_to(4))) as port, client(port) as one:
            one.send(raw + GET)
            assert (await one.answer()).status == BodyTooLarge.status
            assert (await one.answer()).status == 200

    patiently(main())


def test_a_declared_length_over_the_limit_is_refused_before_a_byte_of_it_has_come() -> None:
    async def main() -> None:
        async with serving(OpenDoor(up_to(5))) as port, client(port) as one:
            one.send(post(b"Content-Length: 1000000"))
            answer = await one.answer()
            assert (answer.status, answer.headers["connection"]) == (413, "close")

    patiently(main())


def test_a_client_that_goes_on_sending_gets_to_read_its_refusal() -> None:
    async def main() -> None:
        async with serving(OpenDoor(up_to(5))) as port, client(port) as one:
            one.send(post(b"Content-Length: 20000000") + b"x" * 20_000_000)
            assert (await one.answer()).status == 413

    patiently(main())


def test_a_chunked_body_is_counted_as_it_comes() -> None:
    async def main() -> None:
        async with serving(OpenDoor(up_to(5))) as port, client(port) as one:
            one.send(post(b"Transfer-Encoding: chunked") + b"6\r\nhello!")
            assert (await one.answer()).status == 413

    patiently(main())


def test_a_large_body_arrives_whole() -> None:
    async def main() -> None:
        content = bytes(range(256)) * 8_000
        async with serving(OpenDoor(up_to(len(content)))) as port, client(port) as one:
            one.send(post(b"Content-Length: %d" % len(content)) + content + GET)
            assert (await one.answer()).body == content
            assert (await one.answer()).body == b""

    patiently(main())


def test_what_nobody_has_asked_for_is_not_taken_in() -> None:
    async def main() -> None:
        ask_now = asyncio.Event()

        async def later(request: Request) -> Response:
            await ask_now.wait()
            return Response(200, Headers(), str(len(await request.body.read(50_000_000))).encode())

        async with serving(OpenDoor(later)) as port, client(port) as one:
            one.send(post(b"Content-Length: 30000000"))
            one.writer.transport.set_write_buffer_limits(0)
            one.send(b"x" * 30_000_000)
            sent = asyncio.create_task(one.writer.drain())
            assert not (await asyncio.wait({sent}, timeout=0.2))[0]
            assert one.writer.transport.get_write_buffer_size() > 10_000_000
            ask_now.set()
            assert (await one.answer()).body == b"30000000"
            await sent

    patiently(main())


@pytest.mark.parametrize("raw", [COUNTED, IN_CHUNKS])
def test_a_small_body_nobody_asked_for_is_read_over(raw: bytes) -> None:
    async def main() -> None:
        async with serving(OpenDoor(unread)) as port, client(port) as one:
            one.send(raw[:-3])
            assert (await one.answer()).body == b"not read"
            one.send(raw[-3:] + GET)
            assert (await one.answer()).body == b"not read"

    patiently(main())


@pytest.mark.parametrize("raw", [post(b"Content-Length: 100000"), post(b"Content-Length: 5", b"Expect: 100-continue")])
def test_a_body_nobody_asked_for_that_is_long_or_may_never_come_ends_the_connection(raw: bytes) -> None:
    async def main() -> None:
        async with serving(OpenDoor(unread)) as port, client(port) as one:
            one.send(raw)
            answer = await one.answer()
            assert (answer.body, answer.headers["connection"]) == (b"not read", "close")
            assert await one.rest() == b""

    patiently(main())


@pytest.mark.parametrize(
    "rest", [b"zz\r\n", b"10000\r\n" + b"x" * 0x10000 + b"\r\n1\r\nx\r\n", b"5\r\nhello\r\n0\r\nHost: evil\r\n\r\n"]
)
def test_a_chunked_body_nobody_asked_for_ends_the_connection_when_it_is_long_or_broken(rest: bytes) -> None:
    async def main() -> None:
        async with serving(OpenDoor(unread)) as port, client(port) as one:
            one.send(post(b"Transfer-Encoding: chunked"))
            assert (await one.answer()).body == b"not read"
            one.send(rest + GET)
            assert await one.rest() == b""

    patiently(main())


def test_the_client_is_told_to_go_on_when_the_body_is_asked_for() -> None:
    async def main() -> None:
        async with serving(OpenDoor(up_to(5))) as port, client(port) as one:
            one.send(post(b"Content-Length: 5", b"Expect: 100-Continue"))
            assert (await one.head()).status == 100
            one.send(b"hello")
            assert (await one.answer()).body == b"hello"
            one.send(post(b"Content-Length: 9", b"Expect: 100-continue"))
            assert (await one.answer()).status == 413

    patiently(main())


def test_nobody_is_told_to_go_on_who_has_begun_already_or_speaks_http_1_0() -> None:
    async def main() -> None:
        async with serving(OpenDoor(up_to(5))) as port, client(port) as one:
            one.send(post(b"Content-Length: 5", b"Expect: 100-continue") + b"hello")
            assert (await one.answer()).body == b"hello"
            one.send(b"POST / HTTP/1.0\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
            one.writer.write(b"hello")
            assert (await one.answer()).body == b"hello"

    patiently(main())


def test_a_body_can_be_read_once() -> None:
    async def main() -> None:
        failed = []

        async def twice(request: Request) -> Response:
            await request.body.read(5)
            with pytest.raises(RuntimeError, match="once"):
                await request.body.read(5)
            failed.append(True)
            return Response(200)

        async with serving(OpenDoor(twice)) as port:
            await ask(port, COUNTED)
        assert failed == [True]

    patiently(main())


@pytest.mark.parametrize("raw", [COUNTED, IN_CHUNKS])
def test_a_body_that_ends_early_is_no_body(raw: bytes) -> None:
    async def main() -> None:
        async with serving(OpenDoor(up_to(5))) as port, client(port) as one:
            one.send(raw[:-3])
            one.writer.write_eof()
            answer = await one.answer()
            assert (answer.status, answer.headers["connection"]) == (400, "close")

    patiently(main())


@pytest.mark.parametrize("raw", [COUNTED, IN_CHUNKS])
def test_a_body_that_does_not_come_in_time_is_a_408(raw: bytes) -> None:
    async def main() -> None:
        async with serving(OpenDoor(up_to(5)), body_timeout_s=0.05) as port, client(port) as one:
            one.send(raw[:-3])
            answer = await one.answer()
            assert (answer.status, answer.headers["connection"]) == (408, "close")

    patiently(main())


@pytest.mark.parametrize(
    "rest",
    [
        b"5\nhello\r\n0\r\n\r\n",
        b"5\r\nhello0\r\n\r\n",
        b"5\r\nhello\n0\r\n\r\n",
        b"5\r\nhelloX\r\n0\r\n\r\n",
        b"-5\r\nhello\r\n0\r\n\r\n",
        b"+5\r\nhello\r\n0\r\n\r\n",
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b"5_0\r\nhello\r\n0\r\n\r\n",
        b" 5\r\nhello\r\n0\r\n\r\n",
        b"5 \r\nhello\r\n0\r\n\r\n",
        b"\r\nhello\r\n0\r\n\r\n",
        b";a=b\r\nhello\r\n0\r\n\r\n",
        b"5;a=\r\nhello\r\n0\r\n\r\n",
        b"5;a=b\rc\r\nhello\r\n0\r\n\r\n",
        b'5;a="b\r\nhello\r\n0\r\n\r\n',
        b"0000000000000005\r\nhello\r\n0\r\n\r\n",
        b"ffffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        b"5;" + b"a" * 300 + b"\r\nhello\r\n0\r\n\r\n",
        b"5;" + b"a" * 300,
        b"5\r\nhello\r\n0\r\nContent-Length: 5\r\n\r\n",
        b"5\r\nhello\r\n0\r\nTransfer_Encoding: chunked\r\n\r\n",
        b"5\r\nhello\r\n0\r\nAuthorization: Bearer x\r\n\r\n",
        b"5\r\nhello\r\n0\r\nHost: evil\r\n\r\n",
        b"5\r\nhello\r\n0\r\nno field\r\n\r\n",
        b"5\r\nhello\r\n0\r\nA: b\x00\r\n\r\n",
        b"5\r\nhello\r\n0\r\n" + b"A: b\r\n" * 2_000,
        b"5\r\nhello\r\n0\r\nA: " + b"b" * 9_000,
        b"".join(b"1;%s\r\nx\r\n" % (b"a" * 200) for _ in range(200)),
    ],
    ids=lambda rest: repr(rest[:40]),
)
def test_chunks_that_are_not_well_framed_are_malformed(rest: bytes) -> None:
    with pytest.raises(Malformed):
        Chunked().take(bytearray(rest))

    async def main() -> None:
        async with serving(OpenDoor(up_to(1_000))) as port, client(port) as one:
            one.send(post(b"Transfer-Encoding: chunked") + rest + GET)
            answer = await one.answer()
            assert (answer.status, answer.headers["connection"]) == (400, "close")
            assert await one.rest() == b""

    patiently(main())


@given(st.lists(st.binary(min_size=1, max_size=50)), st.binary(max_size=20), st.data())
def test_chunks_read_the_same_however_they_are_cut(pieces: list[bytes], after: bytes, data: st.DataObject) -> None:
    raw = b"".join(b"%x;n=v\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\nT: v\r\n\r\n" + after
    reader, buffer, read = Chunked(), bytearray(), b""
    while raw:
        cut = data.draw(st.integers(1, len(raw)))
        buffer += raw[:cut]
        raw = raw[cut:]
        read += reader.take(buffer)
    assert (read, reader.done, bytes(buffer)) == (b"".join(pieces), True, after)


@given(st.binary(max_size=50), st.binary(max_size=20), st.integers(1, 10))
def test_a_counted_body_ends_where_it_says(content: bytes, after: bytes, step: int) -> None:
    raw, reader, buffer, read = content + after, Counted(len(content)), bytearray(), b""
    for start in range(0, len(raw), step):
        buffer += raw[start : start + step]
        read += reader.take(buffer)
    assert (read, reader.done, bytes(buffer)) == (content, True, after)


@given(st.binary(max_size=100))
def test_whatever_comes_as_chunks_is_read_or_malformed(raw: bytes) -> None:
    reader, buffer = Chunked(), bytearray(raw)
    try:
        reader.take(buffer)
    except Malformed:
        return
    assert len(buffer) <= len(raw)
