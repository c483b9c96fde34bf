"""The candidates for the upstream client, each as the core's `Upstream` port; bodies whole, which favours them."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from hms_svc.core.model import Headers
from hms_svc.core.ports import UpstreamResponse

if TYPE_CHECKING:
    from hms_svc.core.ports import UpstreamRequest

DROPPED = frozenset({"content-length", "transfer-encoding", "content-encoding"})
THREADS = 32


class AiohttpClient:
    """One session, redirects and cookies off."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._session: Any = None

    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        """As the port says."""
        import aiohttp
        from yarl import URL

        if self._session is None:
            self._session = aiohttp.ClientSession(
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                connector=aiohttp.TCPConnector(limit=256),
                skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
            )
        url = URL(f"http://127.0.0.1:{self._port}{request.path_and_query}", encoded=True)
        async with self._session.request(
            request.method, url, headers=request.headers.lines, data=request.body or None, allow_redirects=False
        ) as answer:
            body = await answer.read()
            lines = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in answer.raw_headers]
            return UpstreamResponse(answer.status, Headers(lines), body)


class HttpxClient:
    """One client, its environment off."""

    def __init__(self, port: int) -> None:
        import httpx

        self._port = port
        limits = httpx.Limits(max_connections=256, max_keepalive_connections=256)
        self._client = httpx.AsyncClient(trust_env=False, limits=limits)

    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        """As the port says."""
        url = f"http://127.0.0.1:{self._port}{request.path_and_query}"
        answer = await self._client.request(
            request.method, url, headers=list(request.headers.lines), content=request.body
        )
        return UpstreamResponse(answer.status_code, Headers(answer.headers.multi_items()), answer.content)


class RequestsClient:
    """A session a thread, the environment off."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._threads = ThreadPoolExecutor(THREADS)
        self._sessions: dict[int, Any] = {}

    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        """As the port says."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._send, request)

    def _send(self, request: UpstreamRequest) -> UpstreamResponse:
        import threading

        import requests

        session = self._sessions.get(threading.get_ident())
        if session is None:
            session = self._sessions[threading.get_ident()] = requests.Session()
            session.trust_env = False
        url = f"http://127.0.0.1:{self._port}{request.path_and_query}"
        headers = {name: value for name, value in request.headers.lines if name.lower() not in DROPPED}
        answer = session.request(
            request.method, url, headers=headers, data=request.body, allow_redirects=False, timeout=request.timeout_s
        )
        return UpstreamResponse(answer.status_code, Headers(answer.headers.items()), answer.content)


CLIENTS = {"ours": None, "aiohttp": AiohttpClient, "httpx": HttpxClient, "requests": RequestsClient}
"""None: the gateway's own."""
