"""One candidate in a process of its own: a server and a client around the whole pipeline, or around a plain answer.

Run: python candidate.py SERVER CLIENT SERVICE_PORT PORT; with the client ``none`` each request is answered 200, with
``ours, no pipeline`` it is forwarded as it came.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from clients import CLIENTS
from pipeline import build_gateway
from servers import SERVERS

from hms_svc.core.config import Target
from hms_svc.core.errors import Refusal
from hms_svc.core.model import Headers, Response
from hms_svc.core.ports import UpstreamRequest
from hms_svc.local.http.server import run
from hms_svc.local.http.upstream import HttpUpstream

if TYPE_CHECKING:
    from hms_svc.core.model import Request


async def plain(request: Request) -> Response:
    """200 for whatever reached the server whole."""
    try:
        await request.body.read(1_000_000)
    except Refusal as refusal:
        return refusal.answer("benchmark")
    return Response(200, Headers([("Content-Type", "text/plain")]), b"ok")


class Forwarding:
    """Server and client with nothing between them."""

    def __init__(self, port: int) -> None:
        self._upstream = HttpUpstream()
        self._target = Target("http", "127.0.0.1", port)

    async def handle(self, request: Request) -> Response:
        """The service's answer."""
        body = await request.body.read(1_000_000)
        path = f"{request.path}?{request.query}" if request.query else request.path
        wire = UpstreamRequest(self._target, request.method, path, request.headers, body, 30.0)
        answer = await self._upstream.send(wire)
        return Response(answer.status, answer.headers, answer.body)


async def main(server: str, client: str, service_port: int, port: int) -> None:
    """Serve until stopped."""
    serve = SERVERS[server]
    if client == "none":
        await serve(plain, "127.0.0.1", port)
        return
    if client == "ours, no pipeline":
        await serve(Forwarding(service_port).handle, "127.0.0.1", port)
        return
    with tempfile.TemporaryDirectory() as state:
        make = CLIENTS[client]
        upstream = make(service_port) if make else None
        assembly = await build_gateway(service_port, Path(state), upstream)
        await serve(assembly.gateway.handle, "127.0.0.1", port)


if __name__ == "__main__":
    run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
