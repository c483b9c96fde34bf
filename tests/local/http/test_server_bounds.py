"""What a client may not do: be too long, too much, too slow."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wires import Client, OpenDoor, client, patiently, serving

from hms_svc.core.errors import Refusal
from hms_svc.local.http.request_head import RequestHead
from hms_svc.local.http.server_limits import ServerLimits

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


async def send_for_ever(one: Client) -> None:
    while True:
        one.send(b"x" * 1_000)
        await one.writer.drain()


def head(*lines: bytes) -> bytes:
    return b"\r\n".join((*lines, b"", b""))


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (head(b"GET /%s HTTP/1.1" % (b"a" * 8_100), b"Host: x"), 200),
        (head(b"GET /%s HTTP/1.1" % (b"a" * 8_200), b"Host: x"), 414),
        (b"GET /" + b"a" * 8_300, 414),
        (head(b"GET / HTTP/1.1", b"Host: x", b"A: " + b"b" * 8_100), 200),
        (head(b"GET / HTTP/1.1", b"Host: x", b"A: " + b"b" * 8_200), 431),
        (head(b"GET / HTTP/1.1", b"Host: x", *[b"A: " + b"b" * 8_000] * 5), 431),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"b" * 40_000, 431),
        (head(b"GET / HTTP/1.1", b"Host: x", *[b"A: b"] * 99), 200),
        (head(b"GET / HTTP/1.1", b"Host: x", *[b"A: b"] * 100), 431),
        (head(b"%s / HTTP/1.1" % (b"A" * 65), b"Host: x"), 400),
    ],
    ids=lambda value: repr(value[:12]) + str(len(value)) if isinstance(value, bytes) else str(value),
)
def test_sizes_have_bounds(raw: bytes, status: int) -> None:
    door = OpenDoor()

    async def main() -> None:
        async with serving(door) as port, client(port) as one:
            one.send(raw)
            answer = await one.answer()
            assert answer.status == status
            if status != 200:
                assert answer.headers["connection"] == "close"
                assert await one.rest() == b""

    patiently(main())
    assert [refusal.status for _, refusal in door.refused] == ([] if status == 200 else [status])


def test_a_header_section_has_to_come_in_time() -> None:
    door = OpenDoor()

    async def main() -> None:
        async with serving(door, header_timeout_s=0.05) as port:
            async with client(port) as one:
                one.send(b"GET / HTTP/1.1\r\nHost:")
                assert (await one.answer()).status == 408
            async with client(port) as silent:
                assert await silent.rest() == b""
            async with client(port) as again:
                again.send(GET + b"GET")
                assert [(await again.answer()).status for _ in range(2)] == [200, 408]

    patiently(main())
    assert [(request.method, refusal.status) for request, refusal in door.refused] == [("", 408), ("", 408)]


def test_an_idle_connection_is_closed_in_the_end() -> None:
    async def main() -> None:
        async with serving(OpenDoor(), idle_timeout_s=0.05) as port, client(port) as one:
            one.send(GET)
            assert (await one.answer()).status == 200
            assert await one.rest() == b""

    patiently(main())


def test_a_client_that_never_stops_sending_is_cut_off() -> None:
    async def main() -> None:
        async with serving(OpenDoor(), linger_s=0.05) as port, client(port) as one:
            one.send(b"\x16\x03\x01")
            assert (await one.answer()).status == 400
            assert await one.rest() == b""
            with pytest.raises(ConnectionError):
                await send_for_ever(one)

    patiently(main())


def test_a_request_line_that_is_none_is_refused_before_the_rest_has_come() -> None:
    async def main() -> None:
        async with serving(OpenDoor()) as port, client(port) as one:
            one.send(b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n")
            assert (await one.answer()).status == 400

    patiently(main())


def test_a_header_section_that_ends_early_is_refused() -> None:
    async def main() -> None:
        async with serving(OpenDoor()) as port, client(port) as one:
            one.send(b"GET / HTTP/1.1\r\nHost: x")
            one.writer.write_eof()
            assert (await one.answer()).status == 400

    patiently(main())


def test_the_record_of_a_refusal_holds_what_was_understood() -> None:
    door = OpenDoor()

    async def main() -> None:
        async with serving(door) as port, client(port) as one:
            one.send(
                b"GET /first HTTP/1.1\r\nHost: x\r\n\r\nPOST /p?q HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n"
            )
            await one.rest()
        async with serving(door) as port, client(port) as one:
            one.send(b"GET /first HTTP/1.1\r\nHost: x\r\n\r\n/p\r\n\r\n")
            await one.rest()

    patiently(main())
    assert [(request.method, request.path, request.query) for request, _ in door.refused] == [
        ("POST", "/p", "q"),
        ("", "", ""),
    ]
    assert all(request.peer_ip == "127.0.0.1" for request, _ in door.refused)


@settings(max_examples=300)
@given(st.binary(max_size=200))
def test_whatever_comes_as_a_header_section_is_read_or_refused(raw: bytes) -> None:
    section = raw.replace(b"\r\n\r\n", b"") + b"\r\n\r\n"
    section = section[: section.index(b"\r\n\r\n") + 4]
    reader = RequestHead(ServerLimits())
    for whole in (section, b"GET / HTTP/1.1\r\nHost: x\r\n" + section):
        try:
            reader.read(whole[: whole.index(b"\r\n\r\n") + 4])
        except Refusal:
            continue
        assert all("\r" not in value and "\n" not in value and "\0" not in value for _, value in reader.lines)
    reader.close()
