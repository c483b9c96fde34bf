"""One client's connection: requests read one after the other, each handed to the door, its answer written.

A request is not begun before the last one's answer is out. Each wait has a deadline. Where one request ends and the
next begins is never guessed: in doubt the connection is closed.
"""

from __future__ import annotations

import asyncio
from enum import Enum, auto
from typing import TYPE_CHECKING, Protocol, cast

from hms_svc.core.errors import (
    InternalError,
    Malformed,
    Refusal,
    RequestTimeout,
    Unavailable,
)
from hms_svc.core.model import Body, Headers, Request, Response
from hms_svc.local.http.answer_writer import AnswerWriter
from hms_svc.local.http.certificate import client_certificate
from hms_svc.local.http.deadline import Deadline
from hms_svc.local.http.fields import Unwritable
from hms_svc.local.http.http_rules import check_beginning
from hms_svc.local.http.incoming import Incoming
from hms_svc.local.http.request_body import NO_BODY, RequestBody
from hms_svc.local.http.request_head import RequestHead
from hms_svc.local.http.response_head import ResponseHead, response_head

if TYPE_CHECKING:
    import ssl

    from hms_svc.core.model import ClientCertificate
    from hms_svc.local.http.door import Door
    from hms_svc.local.http.server_limits import ServerLimits

_END = b"\r\n\r\n"
_CR = 13


class Connections(Protocol):
    """The server, as its connections see it."""

    door: Door
    limits: ServerLimits
    draining: bool

    def opened(self, connection: Connection) -> bool:
        """Take the connection in; False when there are too many."""
        ...

    def closed(self, connection: Connection) -> None:
        """Forget the connection."""
        ...


class State(Enum):
    """What a connection is at."""

    WAITING = auto()
    """For a request, of which a part may have come."""
    SERVING = auto()
    """A request is with the door, or its answer on the way."""
    SKIPPING = auto()
    """The answer is out; the rest of the request's body is being read over."""
    LINGERING = auto()
    """The last answer is out; what still comes is thrown away so that the client gets to read it."""


class Connection(asyncio.Protocol):
    """The protocol of one connection."""

    def __init__(self, server: Connections, loop: asyncio.AbstractEventLoop) -> None:
        self._server = server
        self._loop = loop
        self._limits = server.limits
        self._deadline = Deadline(loop)
        self._head = RequestHead(server.limits)
        self._state = State.WAITING
        self._peer_ip = ""
        self._scheme = "http"
        self._certificate: ClientCertificate | None = None
        self._body: RequestBody | None = None
        self._task: asyncio.Task[None] | None = None
        self._skipped = 0
        self._head_begun = True
        self._lingers = False
        self._answering = False

    # What the transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for the first request."""
        self._transport = cast("asyncio.Transport", transport)
        self._incoming = Incoming(self._transport, self._loop, self._limits)
        self._writer = AnswerWriter(self._transport, self._loop, self._limits.write_timeout_s)
        peer = transport.get_extra_info("peername")
        if isinstance(peer, tuple):
            self._peer_ip = str(peer[0]).partition("%")[0].removeprefix("::ffff:")
        tls: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
        if tls is not None:
            self._scheme = "https"
            self._certificate = client_certificate(tls)
        if self._server.opened(self):
            self._deadline.set(self._limits.header_timeout_s, self._head_late)
        else:
            refused = Unavailable(cause="too many connections").answer("")
            head = response_head(refused, method="GET", version="1.1", keep_alive=False)
            self._transport.write(head.content + cast("bytes", refused.body))
            self._linger()

    def data_received(self, data: bytes) -> None:
        """Take input."""
        state = self._state
        if state is State.WAITING:
            buffer = self._incoming.buffer
            if not buffer and data.endswith(_END) and data.find(_END) == len(data) - 4 and data[0] != _CR:
                self._begin(data)
                return
            buffer += data
            self._look()
        elif state is State.SERVING:
            self._incoming.add(data)
        elif state is State.SKIPPING:
            self._incoming.buffer += data
            self._skip()

    def eof_received(self) -> bool:
        """The client sends no more: it has left, or only closed its half. True keeps ours open."""
        incoming = self._incoming
        awaited = incoming.is_awaited
        incoming.end()
        if self._scheme == "https":
            return False
        if self._state is State.WAITING and incoming.buffer:
            self._look()
        elif self._state is State.SERVING and not awaited and not self._answering:
            self._deadline.set(self._limits.half_closed_s, self.abort)
        return self._state is State.SERVING

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  (the protocol's signature)
        """The client has left; so has the reason to go on with its request."""
        self._deadline.close()
        self._incoming.close()
        self._writer.close()
        self._head.close()
        if self._task is not None:
            self._loop.call_soon(self._task.cancel)  # not at once: a request that has come is begun, so it is recorded
        self._server.closed(self)

    def pause_writing(self) -> None:
        """The client reads slower than we write."""
        self._writer.pause()

    def resume_writing(self) -> None:
        """The client has caught up."""
        self._writer.resume()
        if self._state is State.WAITING:
            self._wait()

    # What the server calls

    def drain(self) -> None:
        """Close as soon as nothing is in flight."""
        if self._state is State.WAITING and not self._incoming.buffer:
            self._close()

    def abort(self) -> None:
        """Cut the connection off, whatever is on it."""
        self._transport.abort()

    # Reading requests

    def _look(self) -> None:
        """For a whole header section at the front of the input."""
        buffer = self._incoming.buffer
        if buffer.startswith(b"\r\n"):  # one empty line may stand before a request (RFC 9112, section 2.2)
            del buffer[:2]
        end = buffer.find(_END)
        if end >= 0:
            head = bytes(buffer[: end + 4])
            del buffer[: end + 4]
            self._begin(head)
            return
        refusal = check_beginning(buffer, self._limits)
        if refusal is None and self._incoming.ended:
            refusal = Malformed("The request ended before its header section did")
        if refusal is not None:
            self._refuse_unread(refusal)
        elif buffer and not self._head_begun:
            self._head_begun = True
            self._deadline.set(self._limits.header_timeout_s, self._head_late)

    def _head_late(self) -> None:
        if self._incoming.buffer:
            self._refuse_unread(RequestTimeout())
        else:
            self._close()

    # Answering them

    def _begin(self, section: bytes) -> None:
        """Hand over the request whose header section has come."""
        self._head_begun = False
        head = self._head
        try:
            head.read(section)
        except Refusal as refusal:
            self._refuse(refusal)
            return
        self._body = None
        if head.length != 0:
            self._body = RequestBody(self._incoming, head.length, awaits_invitation=head.expects_continue)
        self._serve(self._request(self._body or NO_BODY), None)

    def _refuse_unread(self, refusal: Refusal) -> None:
        """Answer what has no header section."""
        self._head.forget()
        self._refuse(refusal)

    def _refuse(self, refusal: Refusal) -> None:
        """Answer what is no request, and close: where the next one would begin is not known."""
        self._head.keep_alive = False
        self._lingers = True
        self._body = None
        self._serve(self._request(NO_BODY), refusal)

    def _request(self, body: Body) -> Request:
        head = self._head
        return Request(
            head.method,
            head.path,
            head.query,
            Headers(head.lines),
            body,
            self._peer_ip,
            self._scheme,
            self._certificate,
            head.version,
        )

    def _serve(self, request: Request, refusal: Refusal | None) -> None:
        self._state = State.SERVING
        self._answering = False
        self._deadline.clear()
        self._task = self._loop.create_task(self._answer(request, refusal))

    async def _answer(self, request: Request, refusal: Refusal | None) -> None:
        """Await the door's answer, write it, and go on to what comes next."""
        door = self._server.door
        try:
            response = await (door.handle(request) if refusal is None else door.refuse(request, refusal))
            self._answering = True
            self._deadline.clear()
            try:
                head = self._frame(response)
            except Unwritable as error:
                await _give_up(response)
                response = await door.refuse(request, InternalError(cause=f"the answer: {error}"))
                head = self._frame(response)
            body = response.body
            if isinstance(body, bytes):
                self._writer.whole(head, body)
            else:
                await self._writer.stream(head, body)
        except Exception as bug:  # noqa: BLE001  (whatever the door does, the connection has an end)
            self._loop.call_exception_handler({"message": "an answer was cut off", "exception": bug})
            self.abort()
        except BaseException:
            self.abort()
            raise
        else:
            self._finished(keep_alive=head.keep_alive)

    def _frame(self, response: Response) -> ResponseHead:
        head, body = self._head, self._body
        keep_alive = head.keep_alive and not self._incoming.ended and not self._server.draining
        if body is not None and not body.done:
            keep_alive = keep_alive and body.can_be_skipped(self._limits.buffered)
        return response_head(response, method=head.method, version=head.version, keep_alive=keep_alive)

    # Between two requests, and after the last

    def _finished(self, *, keep_alive: bool) -> None:
        """The answer is out."""
        self._task = None
        if self._transport.is_closing():
            return
        unread = self._body is not None and not self._body.done
        if keep_alive and unread:
            self._state = State.SKIPPING
            self._skipped = 0
            self._deadline.set(self._limits.body_timeout_s, self._close)
            self._incoming.resume()
            self._skip()
        elif keep_alive:
            self._wait()
        elif (unread or self._lingers or self._incoming.buffer) and not self._incoming.ended:
            self._linger()
        else:
            self._close()

    def _wait(self) -> None:
        """For the next request, which may be there already."""
        self._state = State.WAITING
        if self._writer.paused:
            return
        self._incoming.resume()
        if self._incoming.buffer:
            self._look()
        elif self._incoming.ended or self._server.draining:
            self._close()
        else:
            self._deadline.set(self._limits.idle_timeout_s, self._close)

    def _skip(self) -> None:
        """Read over the rest of a body nobody asked for."""
        body = self._body
        if body is None:
            return
        try:
            self._skipped += len(body.take())
        except Malformed:
            self._close()
            return
        if body.done:
            self._body = None
            self._wait()
        elif self._skipped > self._limits.buffered:
            self._close()

    def _linger(self) -> None:
        """Close our half and wait for the client's: closing with input unread would take the answer from it."""
        self._state = State.LINGERING
        self._incoming.buffer.clear()
        self._incoming.resume()
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self._deadline.set(self._limits.linger_s, self.abort)

    def _close(self) -> None:
        self._state = State.LINGERING
        self._deadline.set(self._limits.write_timeout_s, self.abort)
        self._transport.close()


async def _give_up(response: Response) -> None:
    if not isinstance(response.body, bytes):
        await response.body.aclose()
