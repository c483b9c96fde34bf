"""What one client has sent and nobody has read yet: bounded, and waited for no longer than is allowed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hms_svc.core.errors import RequestTimeout
from hms_svc.local.http.deadline import Deadline

if TYPE_CHECKING:
    import asyncio

    from hms_svc.local.http.server_limits import ServerLimits


class Incoming:
    """The input of one connection. Who reads takes from the front of ``buffer``."""

    __slots__ = ("_deadline", "_limits", "_loop", "_paused", "_transport", "_waiter", "buffer", "ended")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, limits: ServerLimits) -> None:
        self._transport = transport
        self._loop = loop
        self._limits = limits
        self._deadline = Deadline(loop)
        self._waiter: asyncio.Future[bool] | None = None
        self._paused = False
        self.buffer = bytearray()
        self.ended = False
        """Whether nothing more will come."""

    @property
    def is_awaited(self) -> bool:
        """Whether a body is being read that is not there yet."""
        return self._waiter is not None

    def add(self, data: bytes) -> None:
        """More has come. What nobody waits for fills the buffer to its bound, then the client has to wait."""
        self.buffer += data
        if self._waiter is not None:
            self._wake(came=True)
        elif len(self.buffer) > self._limits.buffered and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def end(self) -> None:
        """Nothing more will come."""
        self.ended = True
        self._wake(came=False)

    def resume(self) -> None:
        """Let the client go on sending."""
        if self._paused:
            self._paused = False
            self._transport.resume_reading()

    def close(self) -> None:
        """The connection is gone."""
        self.end()
        self._deadline.close()

    def invite(self) -> None:
        """Tell a client that waits for ``100 Continue`` to go on."""
        if not self._transport.is_closing():
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    async def more(self) -> bool:
        """Wait for more; False: nothing will come. Raises `RequestTimeout`."""
        if self.ended:
            return False
        self.resume()
        self._waiter = self._loop.create_future()
        self._deadline.set(self._limits.body_timeout_s, self._late)
        try:
            return await self._waiter
        finally:
            self._waiter = None
            self._deadline.clear()

    def _wake(self, *, came: bool) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(came)

    def _late(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(RequestTimeout())
