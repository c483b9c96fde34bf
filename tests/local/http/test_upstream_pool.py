"""Connections to services are kept, bounded, and never trusted to be open still."""

from __future__ import annotations

import asyncio

import pytest
from wires import Service, answering, patiently, to

from hms_svc.core.ports import UpstreamTimeout, UpstreamUnreachable
from hms_svc.local.http.upstream import HttpUpstream, PoolLimits

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def closing_the_second_time(*, at_once: bool) -> Service:
    """A service that answers once on each connection; ``at_once`` it closes then, else when it is asked again."""
    answered: set[asyncio.StreamWriter] = set()

    async def script(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if writer in answered:
            writer.transport.abort()
            return
        answered.add(writer)
        writer.write(OK)
        if at_once:
            writer.close()

    return Service(script)


def test_a_connection_is_used_again() -> None:
    async def main() -> None:
        async with answering(OK).running() as service:
            upstream = HttpUpstream()
            for _ in range(5):
                assert (await upstream.send(to(service.port))).body == b"ok"
            assert service.connections == 1
            await upstream.close()

    patiently(main())


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ],
)
def test_a_connection_the_service_gives_up_is_not_used_again(raw: bytes) -> None:
    async def main() -> None:
        async with answering(raw).running() as service:
            upstream = HttpUpstream()
            for _ in range(3):
                assert (await upstream.send(to(service.port))).body == b"ok"
            assert service.connections == 3
            await upstream.close()

    patiently(main())


def test_a_kept_connection_that_was_closed_is_replaced_for_what_may_be_repeated() -> None:
    async def main() -> None:
        async with closing_the_second_time(at_once=False).running() as service:
            upstream = HttpUpstream()
            for _ in range(3):
                assert (await upstream.send(to(service.port))).body == b"ok"
            assert service.connections == 3
            await upstream.close()

    patiently(main())


def test_what_may_not_be_repeated_is_not_and_the_failure_says_so() -> None:
    async def main() -> None:
        async with closing_the_second_time(at_once=False).running() as service:
            upstream = HttpUpstream()
            await upstream.send(to(service.port))
            with pytest.raises(UpstreamUnreachable) as raised:
                await upstream.send(to(service.port, "POST", body=b"x"))
            assert (raised.value.sent, service.connections) == (True, 1)
            await upstream.close()

    patiently(main())


def test_a_connection_that_was_closed_meanwhile_is_noticed_before_a_post_is_sent() -> None:
    async def main() -> None:
        async with closing_the_second_time(at_once=True).running() as service:
            upstream = HttpUpstream()
            for _ in range(3):
                assert (await upstream.send(to(service.port, "POST", body=b"x"))).body == b"ok"
            await upstream.close()

    patiently(main())


def test_a_service_that_speaks_unasked_loses_its_connection() -> None:
    async def main() -> None:
        async with answering(OK).running() as service:
            upstream = HttpUpstream()
            await upstream.send(to(service.port))
            service.script = answering(OK, OK).script
            await upstream.send(to(service.port))
            for _ in range(3):
                assert (await upstream.send(to(service.port, "POST", body=b"x"))).body == b"ok"
            assert service.connections > 1
            await upstream.close()

    patiently(main())


def test_a_connection_that_was_idle_for_too_long_is_not_used_again() -> None:
    async def main() -> None:
        async with answering(OK).running() as service:
            upstream = HttpUpstream(limits=PoolLimits(idle_timeout_s=0.02))
            await upstream.send(to(service.port))
            await asyncio.sleep(0.05)
            await upstream.send(to(service.port))
            assert service.connections == 2
            await upstream.close()

    patiently(main())


def test_what_a_burst_leaves_behind_is_closed() -> None:
    async def main() -> None:
        closed = asyncio.Semaphore(0)

        async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(OK)
            if not await reader.read(1):
                closed.release()

        async with Service(script).running() as service:
            upstream = HttpUpstream(limits=PoolLimits(idle=2))
            await asyncio.gather(*(upstream.send(to(service.port)) for _ in range(5)))
            assert service.connections == 5
            for _ in range(3):
                await closed.acquire()
            assert closed.locked()
            await upstream.close()

    patiently(main())


def test_beyond_the_bound_a_request_waits_for_a_connection() -> None:
    async def main() -> None:
        async with answering(OK).running() as service:
            upstream = HttpUpstream(limits=PoolLimits(total=2))
            answers = await asyncio.gather(*(upstream.send(to(service.port)) for _ in range(20)))
            assert {answer.body for answer in answers} == {b"ok"}
            assert service.connections == 2
            await upstream.close()

    patiently(main())


def test_a_connection_that_is_lost_makes_room_for_who_waits() -> None:
    async def main() -> None:
        raw = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"
        async with answering(raw).running() as service:
            upstream = HttpUpstream(limits=PoolLimits(total=1))
            answers = await asyncio.gather(*(upstream.send(to(service.port)) for _ in range(5)))
            assert {answer.body for answer in answers} == {b"ok"}
            await upstream.close()

    patiently(main())


def test_who_waits_for_a_connection_waits_no_longer_than_the_request_may() -> None:
    async def main() -> None:
        begun = asyncio.Event()

        async def script(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
            begun.set()
            await reader.read()

        async with Service(script).running() as service:
            upstream = HttpUpstream(limits=PoolLimits(total=1))
            first = asyncio.create_task(upstream.send(to(service.port)))
            await begun.wait()
            with pytest.raises(UpstreamTimeout, match="no connection"):
                await upstream.send(to(service.port, timeout_s=0.05))
            first.cancel()
            await asyncio.gather(first, return_exceptions=True)
            service.script = answering(OK).script
            assert (await upstream.send(to(service.port))).body == b"ok"
            await upstream.close()

    patiently(main())


def test_connections_that_cannot_be_made_leave_room() -> None:
    async def main() -> None:
        async with answering(OK).running() as service:
            port = service.port
        upstream = HttpUpstream(limits=PoolLimits(total=1))
        for _ in range(3):
            with pytest.raises(UpstreamUnreachable):
                await upstream.send(to(port))
        await upstream.close()

    patiently(main())


def test_a_closed_client_keeps_nothing() -> None:
    async def main() -> None:
        gone = asyncio.Event()

        async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(OK)
            if not await reader.read(1):
                gone.set()

        async with Service(script).running() as service:
            upstream = HttpUpstream()
            await upstream.close()
            assert (await upstream.send(to(service.port))).body == b"ok"
            await gone.wait()

    patiently(main())


def test_the_bounds_of_a_pool_are_positive() -> None:
    with pytest.raises(ValueError, match="more than 0"):
        PoolLimits(total=0)
