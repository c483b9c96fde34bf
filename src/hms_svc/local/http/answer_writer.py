"""Writing answers to one client, no faster than it reads. One that breaks off is cut off, never ended as if whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hms_svc.core.ports import UpstreamBroken, UpstreamTimeout
from hms_svc.local.http.deadline import Deadline

if TYPE_CHECKING:
    import asyncio

    from hms_svc.core.model import BodyStream
    from hms_svc.local.http.response_head import ResponseHead

_JOINED_AT_MOST = 65_536
"""Bytes of body that are copied behind their header section, so that one write takes both."""


class AnswerWriter:
    """Writes to a transport, which says when to `pause` and when to `resume`."""

    __slots__ = ("_deadline", "_loop", "_ready", "_timeout_s", "_transport", "paused")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, timeout_s: float) -> None:
        """``timeout_s`` is for a client that takes nothing."""
        self._transport = transport
        self._loop = loop
        self._timeout_s = timeout_s
        self._deadline = Deadline(loop)
        self._ready: asyncio.Future[None] | None = None
        self.paused = False
        """Whether more is on its way than the client takes."""

    def pause(self) -> None:
        """The client reads slower than we write."""
        self.paused = True
        self._deadline.set(self._timeout_s, self._transport.abort)

    def resume(self) -> None:
        """The client has caught up."""
        self.paused = False
        self._deadline.clear()
        if self._ready is not None and not self._ready.done():
            self._ready.set_result(None)

    def close(self) -> None:
        """The connection is gone."""
        self._deadline.close()

    def whole(self, head: ResponseHead, body: bytes) -> None:
        """Write an answer that is all there, if the client still is."""
        if self._transport.is_closing():
            return
        if not head.has_body:
            self._transport.write(head.content)
        elif len(body) <= _JOINED_AT_MOST:
            self._transport.write(head.content + body)
        else:
            self._transport.writelines((head.content, body))

    async def stream(self, head: ResponseHead, body: BodyStream) -> None:
        """Write an answer's pieces as they come; cut it off when they break off or are not what the head says."""
        try:
            if self._transport.is_closing():
                return
            self._transport.write(head.content)
            if head.has_body and not await self._pieces(head, body):
                self._transport.abort()
        except (UpstreamBroken, UpstreamTimeout):
            self._transport.abort()
        finally:
            await body.aclose()

    async def _pieces(self, head: ResponseHead, body: BodyStream) -> bool:
        """Whether the body came to the length the head says."""
        transport = self._transport
        sent = 0
        async for piece in body:
            if transport.is_closing():
                return False
            sent += len(piece)
            if head.length is not None and sent > head.length:
                return False
            if not head.chunked:
                transport.write(piece)
            elif piece:  # an empty chunk would be the last
                transport.writelines((b"%x\r\n" % len(piece), piece, b"\r\n"))
            if self.paused:
                await self._until_ready()
        if head.chunked:
            transport.write(b"0\r\n\r\n")
        return head.length is None or sent == head.length

    async def _until_ready(self) -> None:
        self._ready = self._loop.create_future()
        try:
            await self._ready
        finally:
            self._ready = None
