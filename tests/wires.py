"""Real loopback sockets for tests: a door to serve, a client that writes bytes, a service that answers bytes."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hms_svc.core.config import Target
from hms_svc.core.model import Headers, Response
from hms_svc.core.ports import UpstreamRequest
from hms_svc.local.http.server import Server, ServerLimits

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine

    from hms_svc.core.errors import Refusal
    from hms_svc.core.model import Request

PATIENCE_S = 5.0
"""For a test that would hang: it fails instead."""
MAX_BODY = 1_000_000


async def plain(request: Request) -> Response:
    """Reads the body and says what it was asked."""
    body = await request.body.read(MAX_BODY)
    said = f"{request.method} {request.path}?{request.query} {len(body)}"
    return Response(200, Headers([("Content-Type", "text/plain")]), said.encode())


@dataclass
class OpenDoor:
    """A door that answers as the test says and remembers what it saw."""

    answer: Callable[[Request], Awaitable[Response]] = plain
    seen: list[Request] = field(default_factory=list)
    refused: list[tuple[Request, Refusal]] = field(default_factory=list)

    async def handle(self, request: Request) -> Response:
        self.seen.append(request)
        try:
            return await self.answer(request)
        except Exception as refusal:
            answer = getattr(refusal, "answer", None)
            if answer is None:
                raise
            refusing: Response = answer("id")
            return refusing

    async def refuse(self, request: Request, refusal: Refusal) -> Response:
        self.refused.append((request, refusal))
        return refusal.answer("id")


@contextlib.asynccontextmanager
async def serving(
    door: OpenDoor, *, tls: ssl.SSLContext | None = None, grace_s: float = 1.0, **limits: Any
) -> AsyncIterator[int]:
    """The port on which ``door`` is served."""
    server = Server(door, limits=ServerLimits(**limits), tls=tls)
    _, port = await server.start("127.0.0.1", 0)
    try:
        yield port
    finally:
        await server.drain(grace_s)


@dataclass
class Answer:
    """One answer as it came off the wire."""

    status: int
    headers: Headers
    body: bytes


class Client:
    """A client that writes what it is told to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def head(self) -> Answer:
        """The next header section, a body left unread."""
        raw = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = raw[:-4].split("\r\n")
        fields = Headers((name, value.strip()) for name, _, value in (line.partition(":") for line in lines))
        return Answer(int(first.split(" ")[1]), fields, b"")

    async def answer(self, *, to_head: bool = False) -> Answer:
        """The next answer, its body with it."""
        answer = await self.head()
        if to_head or answer.status in {100, 204, 304}:
            return answer
        if "content-length" in answer.headers:
            answer.body = await self.reader.readexactly(int(answer.headers["content-length"]))
        elif answer.headers.get("transfer-encoding") == "chunked":
            while size := int(await self.reader.readuntil(b"\r\n"), 16):
                answer.body += await self.reader.readexactly(size)
                await self.reader.readexactly(2)
            await self.reader.readexactly(2)
        else:
            answer.body = await self.reader.read()
        return answer

    async def rest(self) -> bytes:
        """All that comes until the connection is closed."""
        return await self.reader.read()


@contextlib.asynccontextmanager
async def client(port: int, **tls: Any) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20, **tls)
    try:
        yield Client(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def ask(port: int, data: bytes, *, to_head: bool = False, **tls: Any) -> Answer:
    """The answer to ``data``, on a connection of its own."""
    async with client(port, **tls) as one:
        one.send(data)
        return await one.answer(to_head=to_head)


@dataclass
class Service:
    """A private service that reads a request's header section and does what the script says next."""

    script: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
    connections: int = 0
    heads: list[bytes] = field(default_factory=list)
    port: int = 0
    _talks: set[asyncio.Task[None]] = field(default_factory=set)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._talks.add(task)
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                while True:
                    self.heads.append(await reader.readuntil(b"\r\n\r\n"))
                    await self.script(reader, writer)
        except asyncio.CancelledError:
            pass
        finally:
            writer.close()
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()

    @contextlib.asynccontextmanager
    async def running(self, tls: ssl.SSLContext | None = None) -> AsyncIterator[Service]:
        server = await asyncio.start_server(self._talk, "127.0.0.1", 0, ssl=tls)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for talk in self._talks:
                talk.cancel()
            await asyncio.gather(*self._talks, return_exceptions=True)


def answering(*parts: bytes) -> Service:
    """A service that answers each request with these bytes."""

    async def script(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)
            await writer.drain()

    return Service(script)


def to(port: int, method: str = "GET", path: str = "/", body: bytes = b"", **more: Any) -> UpstreamRequest:
    """A request for a service on this machine."""
    target = more.pop("target", None) or Target("http", "127.0.0.1", port)
    headers = more.pop("headers", None) or [("Host", target.authority)]
    if body:
        headers.append(("Content-Length", str(len(body))))
    return UpstreamRequest(target, method, path, Headers(headers), body, more.pop("timeout_s", PATIENCE_S))


def patiently(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run a test's coroutine; one that hangs fails, and one after which the loop has something to complain of."""

    failed: list[dict[str, Any]] = []

    async def bounded() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: failed.append(context))
        async with asyncio.timeout(2 * PATIENCE_S):
            await coroutine

    from hms_svc.local.http.server import run

    run(bounded())
    assert failed == [], failed
