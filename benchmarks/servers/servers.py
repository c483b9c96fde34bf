"""The candidates for the server, each as ``serve(handle, host, port)``: how it would be used in front of the gateway.

Each serves until it is cancelled; every one that takes a loop runs on uvloop. Libraries are imported by who uses them.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from hms_svc.core.errors import BodyTooLarge
from hms_svc.core.model import Headers, Request, Response
from hms_svc.local.http.server import Server

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from hms_svc.core.errors import Refusal

    Handle = Callable[[Request], Awaitable[Response]]


class Whole:
    """A request's body that is there already."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    async def read(self, limit: int) -> bytes:
        """The body. Raises `BodyTooLarge`."""
        if len(self._content) > limit:
            raise BodyTooLarge(limit)
        return self._content


class _Door:
    def __init__(self, handle: Handle) -> None:
        self.handle = handle

    async def refuse(self, request: Request, refusal: Refusal) -> Response:  # noqa: ARG002
        """What any server says to what is no HTTP."""
        return refusal.answer("benchmark")


async def ours(handle: Handle, host: str, port: int) -> None:
    """The project's own, asyncio.Protocol over httptools."""
    await Server(_Door(handle)).start(host, port)
    await asyncio.Event().wait()


async def aiohttp_web(handle: Handle, host: str, port: int) -> None:
    """Aiohttp's low-level server."""
    from aiohttp import web

    async def answer(came: web.BaseRequest) -> web.StreamResponse:
        request = Request(
            came.method,
            came.rel_url.raw_path,
            came.rel_url.raw_query_string,
            Headers((name.decode("latin-1"), value.decode("latin-1")) for name, value in came.raw_headers),
            Whole(await came.read()),
            came.remote or "",
        )
        response = await handle(request)
        lines = [line for line in response.headers.lines if line[0].lower() != "content-length"]
        if isinstance(response.body, bytes):
            return web.Response(status=response.status, headers=lines, body=response.body)  # type: ignore[arg-type]
        stream = web.StreamResponse(status=response.status, headers=lines)  # type: ignore[arg-type]
        await stream.prepare(came)
        async for piece in response.body:
            await stream.write(piece)
        return stream

    runner = web.ServerRunner(web.Server(answer))  # type: ignore[arg-type]
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    await asyncio.Event().wait()


def asgi(handle: Handle) -> Any:
    """The gateway as an ASGI application."""

    async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        request = Request(
            scope["method"],
            scope["raw_path"].decode("latin-1"),
            scope["query_string"].decode("latin-1"),
            Headers((name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]),
            Whole(body),
            scope["client"][0],
        )
        response = await handle(request)
        lines = [(name.lower().encode(), value.encode("latin-1")) for name, value in response.headers.lines]
        await send({"type": "http.response.start", "status": response.status, "headers": lines})
        if isinstance(response.body, bytes):
            await send({"type": "http.response.body", "body": response.body})
            return
        async for piece in response.body:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    return application


async def uvicorn_httptools(handle: Handle, host: str, port: int) -> None:
    """Uvicorn with its fastest parser."""
    import uvicorn

    config = uvicorn.Config(
        asgi(handle), host=host, port=port, http="httptools", lifespan="off", access_log=False, log_level="critical"
    )
    await uvicorn.Server(config).serve()


async def hypercorn_h11(handle: Handle, host: str, port: int) -> None:
    """hypercorn, which parses with h11."""
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    config = Config()
    config.bind = [f"{host}:{port}"]
    config.errorlog = None
    await serve(asgi(handle), config)


async def http_server(handle: Handle, host: str, port: int) -> None:
    """The standard library's, a thread a connection."""
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    loop = asyncio.get_running_loop()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 65_536

        def any_method(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            path, _, query = self.path.partition("?")
            lines: Iterable[tuple[str, str]] = self.headers.items()
            request = Request(self.command, path, query, Headers(lines), Whole(body), self.client_address[0])
            status, headers, content = asyncio.run_coroutine_threadsafe(_whole(handle, request), loop).result()
            self.send_response(status)
            for name, value in headers:
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def __getattr__(self, name: str) -> Any:
            if name.startswith("do_"):
                return self.any_method
            raise AttributeError(name)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer((host, port), Handler)
    server.daemon_threads = True
    await asyncio.to_thread(server.serve_forever)


async def _whole(handle: Handle, request: Request) -> tuple[int, list[tuple[str, str]], bytes]:
    response = await handle(request)
    lines = [line for line in response.headers.lines if line[0].lower() != "content-length"]
    body = response.body
    return response.status, lines, body if isinstance(body, bytes) else b"".join([piece async for piece in body])


SERVERS = {
    "ours": ours,
    "aiohttp.web": aiohttp_web,
    "uvicorn": uvicorn_httptools,
    "hypercorn": hypercorn_h11,
    "http.server": http_server,
}
