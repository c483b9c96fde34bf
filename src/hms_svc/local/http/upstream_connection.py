"""One connection to a private service: a request written, its answer read strictly, then the next.

llhttp reads the answer. What it cannot know is added here: that an answer to HEAD has no body, where the bounds are,
and what a gateway refuses to pass on.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, NamedTuple, NoReturn, cast

import httptools

from hms_svc.core.model import Headers
from hms_svc.core.ports import UpstreamBroken, UpstreamResponse, UpstreamTimeout, UpstreamUnreachable
from hms_svc.local.http.deadline import Deadline
from hms_svc.local.http.fields import read_name
from hms_svc.local.http.upstream_stream import UpstreamStream

if TYPE_CHECKING:
    from hms_svc.local.http.pool import Place, Pool

MAX_HEAD = 65_536
"""Bytes of an answer's header section, and of anything else that is no content."""
MAX_FIELDS = 256
MAX_INTERIM = 16
"""Answers 1xx before the final one (RFC 9110, section 15.2)."""
HIGH_WATER = 65_536
"""Bytes of content that wait for the caller; beyond them the service is not read."""
JOINED_AT_MOST = 65_536
_SWITCHING_PROTOCOLS = 101
_OK = 200


class Wire(NamedTuple):
    """A request as it goes out."""

    head: bytes
    """The header section with its empty line."""
    body: bytes
    timeout_s: float
    """Between two pieces of the answer's body."""
    is_head: bool


class _StopParsing(Exception):  # noqa: N818
    """The parser need not go on; why is noted."""


class Stale(Exception):  # noqa: N818  (named for what it means)
    """A kept connection was closed by the service before it answered anything; ``sent`` as the port has it."""

    def __init__(self, *, sent: bool) -> None:
        super().__init__()
        self.sent = sent


class UpstreamConnection(asyncio.Protocol):
    """The protocol of one connection, which goes back to its pool after each answer that allows it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, pool: Pool, place: Place) -> None:
        self.loop = loop
        self._pool = pool
        self._place = place
        self._deadline = Deadline(loop)
        self._transport: asyncio.Transport = cast("asyncio.Transport", None)
        self._parser: httptools.HttpResponseParser | None = None
        self._answer: asyncio.Future[UpstreamResponse] | None = None
        self._busy = False
        self._used = False
        self._wire = Wire(b"", b"", 0.0, is_head=False)
        self.lost = False
        """Whether it is closed, by either side."""
        self.adopted = False
        """Whether it stands for a slot of the pool, to be given back at its end."""
        self.idle_since = 0.0
        """By the loop's clock."""
        self._forget()

    def _forget(self) -> None:
        """Be ready for an answer."""
        self._lines: list[tuple[str, str]] = []
        self._head_size = 0
        self._status = 0
        self._framed = self._chunked = False
        self._headers_read = False
        self._complete = False
        self._keep_alive = False
        self._broken = ""
        self._reading_paused = False
        self._interim = 0
        self._dry = 0
        self._pieces: deque[bytes] = deque()
        self._stream: UpstreamStream | None = None

    # Sending

    async def exchange(self, wire: Wire, timeout_s: float) -> UpstreamResponse:
        """Send a request and await the answer's header section, for at most ``timeout_s``.

        Raises `Stale` on a connection that was used before and is lost before a byte of the answer, else as the port
        says.
        """
        if self.lost:
            raise Stale(sent=False)
        self._forget()
        if self._parser is None:
            self._parser = httptools.HttpResponseParser(self)
        self._busy = True
        self._wire = wire
        answer: asyncio.Future[UpstreamResponse] = self.loop.create_future()
        self._answer = answer
        self._deadline.set(timeout_s, self._late)
        body = wire.body
        if len(body) <= JOINED_AT_MOST:
            self._transport.write(wire.head + body if body else wire.head)
        else:
            self._transport.writelines((wire.head, body))
        try:
            return await answer
        except BaseException:
            if self._answer is answer and (self._busy or not self._complete):
                self.abort()
            raise

    def abort(self) -> None:
        """Give the connection up."""
        self.lost = True
        if self._transport is not None:
            self._transport.abort()

    def fileno(self) -> int:
        """The socket's file descriptor."""
        number: int = self._transport.get_extra_info("socket").fileno()
        return number

    def _late(self) -> None:
        self._fail(UpstreamTimeout("no answer within the time given"))

    def _finish(self) -> None:
        """The answer is whole: hand it over, and the connection back before that."""
        self._busy = False
        self._used = True
        self._deadline.clear()
        if self._keep_alive and not self.lost and not self._transport.get_write_buffer_size():
            self._pool.put(self._place, self)
        else:
            self.abort()
        answer = self._answer
        if self._stream is not None:
            self._stream.end(None)
        elif answer is not None and not answer.done():
            pieces = self._pieces
            body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            answer.set_result(UpstreamResponse(self._status, Headers(self._lines), body))

    def _deliver(self) -> None:
        """The answer has begun: hand it over, or wake who reads it."""
        answer = self._answer
        if self._stream is not None:
            self._stream.wake()
        elif answer is not None and not answer.done():
            self._deadline.clear()
            self._stream = UpstreamStream(self._pieces, self)
            answer.set_result(UpstreamResponse(self._status, Headers(self._lines), self._stream))
        if sum(map(len, self._pieces)) > HIGH_WATER:
            self._transport.pause_reading()
            self._reading_paused = True

    def _fail(self, error: Exception) -> None:
        """Tell who waits, and give the connection up."""
        self._busy = False
        self._deadline.clear()
        answer = self._answer
        if self._stream is not None:
            self._stream.end(error)
        elif answer is not None and not answer.done():
            answer.set_exception(error)
        self.abort()

    # What the reader of a body calls

    def expect_piece(self) -> None:
        """Somebody waits for content."""
        self._deadline.set(self._wire.timeout_s, self._late)
        if self._reading_paused:
            self._reading_paused = False
            self._transport.resume_reading()

    def got_piece(self) -> None:
        """Nobody waits any more."""
        self._deadline.clear()

    # What the transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what is written to."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Take a part of the answer."""
        parser = self._parser
        if not self._busy or parser is None:
            self.abort()  # the service speaks without being asked
            return
        self._dry += len(data)
        try:
            parser.feed_data(data)
        except httptools.HttpParserCallbackError:
            pass
        except httptools.HttpParserUpgrade:
            self._broken = "the answer changes to another protocol"
        except httptools.HttpParserError as error:
            if not self._complete:
                self._broken = f"the answer is not HTTP: {error}"
            self._keep_alive = False
            self._parser = None
        if self._dry > MAX_HEAD:
            self._broken = self._broken or f"over {MAX_HEAD} bytes of the answer are no content"
        if self._broken:
            self._fail(UpstreamBroken(self._broken))
        elif self._complete:
            self._finish()
        elif self._headers_read:
            self._deliver()

    def eof_received(self) -> bool:
        """The service sends no more; for an answer without framing this is its end (RFC 9112, section 6.3)."""
        if self._busy and self._headers_read and not self._framed and not self._broken:
            self._complete, self._keep_alive = True, False
            self._finish()
        self.lost = True
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Whatever was awaited will not come."""
        self.lost = True
        if self._headers_read:
            self._fail(UpstreamBroken("the connection was lost in the middle of the answer"))
        elif self._dry:
            self._fail(UpstreamBroken("the connection was lost in the middle of the answer's header section"))
        elif self._used:
            self._fail(Stale(sent=True))
        else:
            reason = f": {exc}" if exc else ""
            self._fail(UpstreamUnreachable(f"the connection was lost before an answer{reason}", sent=True))
        self._deadline.close()
        self._parser = None
        if self.adopted:
            self._pool.give_back(self._place)

    # What the parser calls

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a field line; those after the body are trailers, which go no further."""
        if self._headers_read:
            return
        text, part = read_name(name)
        content = value.decode("latin-1")
        if content[-1:] in {" ", "\t"}:
            content = content.rstrip(" \t")
        if part == "content-length":
            self._framed = True
        elif part == "transfer-encoding":
            self._framed = self._chunked = True
            if content.lower() != "chunked":
                self._refuse("the answer has a transfer coding other than chunked")
        self._lines.append((text, content))
        self._head_size += len(name) + len(content)
        if self._head_size > MAX_HEAD:
            self._refuse(f"the answer's header section is over {MAX_HEAD} bytes")
        if len(self._lines) > MAX_FIELDS:
            self._refuse(f"the answer has over {MAX_FIELDS} fields")

    def on_message_begin(self) -> None:
        """An answer begins: one too many, if there has been a final one."""
        if self._complete:
            self._keep_alive = False
            self._parser = None
            raise _StopParsing

    def on_headers_complete(self) -> None:
        """The header section is there."""
        parser = cast("httptools.HttpResponseParser", self._parser)
        self._status = status = parser.get_status_code()
        version = parser.get_http_version()
        if version != "1.1" and (version != "1.0" or self._chunked):
            self._refuse("the answer is of another version of HTTP than its framing")
        if status < _OK:
            self._skip_interim(status)
            return
        self._headers_read = True
        if self._wire.is_head:
            # No body follows, whatever the fields say. The parser cannot know; the next answer gets a new one.
            self._complete, self._keep_alive = True, parser.should_keep_alive()
            self._parser = None

    def on_body(self, piece: bytes) -> None:
        """Take content."""
        if self._wire.is_head:
            self._refuse("an answer to HEAD has content")
        self._dry = 0
        self._pieces.append(piece)

    def on_message_complete(self) -> None:
        """The answer is whole."""
        if self._headers_read and self._parser is not None:
            self._complete = True
            self._keep_alive = self._parser.should_keep_alive()

    def _skip_interim(self, status: int) -> None:
        self._interim += 1
        if status == _SWITCHING_PROTOCOLS:
            self._refuse("the answer changes to another protocol")
        if self._interim > MAX_INTERIM:
            self._refuse(f"there are over {MAX_INTERIM} interim answers")
        self._lines = []
        self._framed = self._chunked = False

    def _refuse(self, why: str) -> NoReturn:
        self._broken = self._broken or why
        raise _StopParsing
