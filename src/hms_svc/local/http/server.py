"""The laptop's HTTP/1.1 server: a port, its connections, and an orderly end. `connection` has what one of them does."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from hms_svc.local.http.connection import Connection
from hms_svc.local.http.door import Door
from hms_svc.local.http.server_limits import ServerLimits

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Coroutine

__all__ = ["Door", "Server", "ServerLimits", "event_loop_factory", "run"]

T = TypeVar("T")
_BACKLOG = 1_024


class Server:
    """Serves a door on one port."""

    def __init__(self, door: Door, *, limits: ServerLimits | None = None, tls: ssl.SSLContext | None = None) -> None:
        self.door = door
        self.limits = limits or ServerLimits()
        self.draining = False
        self._tls = tls
        self._connections: set[Connection] = set()
        self._listening: asyncio.Server | None = None
        self._all_closed = asyncio.Event()

    async def start(self, host: str, port: int) -> tuple[str, int]:
        """Listen; the address that was bound (``port`` 0 takes a free one). Raises `OSError` when it cannot be had."""
        loop = asyncio.get_running_loop()
        self._listening = await loop.create_server(
            lambda: Connection(self, loop),
            host,
            port,
            ssl=self._tls,
            backlog=_BACKLOG,
            ssl_handshake_timeout=self.limits.header_timeout_s if self._tls else None,
        )
        bound = self._listening.sockets[0].getsockname()
        return bound[0], bound[1]

    async def drain(self, grace_s: float) -> None:
        """Stop: take no new connection, close idle ones, let what is in flight finish, cut it off after ``grace_s``."""
        self.draining = True
        if self._listening is not None:
            self._listening.close()
        for connection in tuple(self._connections):
            connection.drain()
        if not await self._closed_within(grace_s):
            for connection in tuple(self._connections):
                connection.abort()
            await self._closed_within(1.0)

    async def _closed_within(self, seconds: float) -> bool:
        """Whether all connections were closed in time."""
        self._all_closed.clear()
        if self._connections:
            try:
                await asyncio.wait_for(self._all_closed.wait(), seconds)
            except TimeoutError:
                return False
        return True

    def opened(self, connection: Connection) -> bool:
        """Take the connection in; False when there are too many."""
        self._connections.add(connection)
        return len(self._connections) <= self.limits.connections

    def closed(self, connection: Connection) -> None:
        """Forget the connection."""
        self._connections.discard(connection)
        if not self._connections:
            self._all_closed.set()


def event_loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """The loop of uvloop where there is one, else asyncio's own."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run ``main`` on the best loop there is, and return what it returns."""
    with asyncio.Runner(loop_factory=event_loop_factory()) as runner:
        return runner.run(main)
