"""The yardstick: a plain reverse proxy with aiohttp on both sides, as its users write it. No pipeline at all.

Run: python aiohttp_proxy.py SERVICE_PORT [uvloop]; prints its port.
"""

from __future__ import annotations

import asyncio
import sys

import aiohttp
from aiohttp import web
from yarl import URL

from hms_svc.local.http.server import run

HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "content-length"}


async def main(service: str) -> None:
    """Serve on a free loopback port until stopped."""
    async with aiohttp.ClientSession(auto_decompress=False, connector=aiohttp.TCPConnector(limit=256)) as session:

        async def forward(came: web.BaseRequest) -> web.StreamResponse:
            headers = [(name, value) for name, value in came.headers.items() if name.lower() not in HOP_BY_HOP]
            url = URL(f"http://127.0.0.1:{service}{came.raw_path}", encoded=True)
            body = await came.read() if came.can_read_body else None
            async with session.request(came.method, url, headers=headers, data=body, allow_redirects=False) as answer:
                lines = [(name, value) for name, value in answer.headers.items() if name.lower() not in HOP_BY_HOP]
                return web.Response(status=answer.status, headers=lines, body=await answer.read())  # type: ignore[arg-type]

        runner = web.ServerRunner(web.Server(forward))  # type: ignore[arg-type]
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        print(runner.addresses[0][1], flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    serving = main(sys.argv[1])
    if "uvloop" in sys.argv[2:]:
        run(serving)
    else:
        asyncio.run(serving)
