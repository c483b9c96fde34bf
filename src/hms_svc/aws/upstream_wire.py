"""One connection of the Lambda router's client: a request written to the letter, its answer's head read strictly.

urllib3 keeps and verifies connections; what it would add to a request, or repair in an answer, is left out here.
"""

from __future__ import annotations

import functools
import http.client
import io
import re
import time
from typing import TYPE_CHECKING, Any, cast

from urllib3.connection import HTTPConnection, HTTPSConnection

from hms_svc.local.http.fields import TOKEN, Unwritable, encode_lines

if TYPE_CHECKING:
    import socket

    from urllib3.response import HTTPResponse

    from hms_svc.core.ports import UpstreamRequest

IDLE_S = 50.0
"""A kept connection is not used after this many seconds: what stands between forgets it without a word."""
MAX_INTERIM = 16
"""Answers 1xx before the final one (RFC 9110, section 15.2)."""
_FINAL, _SWITCHING_PROTOCOLS = 200, 101
_NAME = re.compile(TOKEN)
_LENGTH = re.compile(r"[0-9]{1,18}")
_OF_A_BODY = frozenset({"StartBoundaryNotFoundDefect", "MultipartInvariantViolationDefect"})
"""What the parser of header sections misses in ``multipart/*``: the body, which it is not shown."""


class Wire(dict[str, str]):
    """A request on its way and how far it came. It takes the place of the header fields that requests hands down.

    The names it holds are those that urllib3 would add.
    """

    def __init__(self, request: UpstreamRequest, *, body_in_time: bool = False) -> None:
        """``body_in_time``: the request's time is for the answer's body too.

        Raises `Unwritable` for a request that would not read back as it was meant.
        """
        super().__init__({"host": "", "content-length": "0", "accept-encoding": "", "user-agent": ""})
        first = f"{request.method} {request.path_and_query} HTTP/1.1"
        if first.count(" ") != 2 or not first.isascii():  # noqa: PLR2004  (RFC 9112, section 3)
            raise Unwritable("a method or a target holds a space or what is not ASCII")
        encode_lines(first, request.headers.lines)
        self.request = request
        self._body_in_time = body_in_time
        self.deadline = time.monotonic() + request.timeout_s
        self.reused = False
        """Whether its connection had served another request."""
        self.sent = False
        """Whether the service may have seen a part of it."""
        self.answered = False
        """Whether a byte of an answer came."""
        self.answer: http.client.HTTPResponse | None = None

    def copy(self) -> Wire:
        """Itself: urllib3 copies header fields before it adds a proxy's, and there is none."""
        return self

    def again(self) -> Wire:
        """The same request, to be sent once more within the same time."""
        other = Wire(self.request, body_in_time=self._body_in_time)
        other.deadline = self.deadline
        return other

    def left(self) -> float:
        """Seconds that are left until the answer's header section has to be there."""
        return self.deadline - time.monotonic()

    def patience(self) -> float:
        """Seconds to wait for the next bytes. Raises `TimeoutError`."""
        seconds = self.left() if self.answer is None or self._body_in_time else self.request.timeout_s
        if seconds <= 0:
            raise TimeoutError("no answer within the time given")
        return seconds

    def lines(self) -> list[tuple[str, str]]:
        """The answer's header lines. Raises `ValueError` for those that readers could take in two ways."""
        message = cast("http.client.HTTPResponse", self.answer).headers
        lines = [(name, value.strip(" \t")) for name, value in message.raw_items()]
        if not all(_NAME.fullmatch(name) for name, _ in lines):
            raise ValueError("a name in the answer's header section is no token")
        lengths = {value for name, value in lines if name.lower() == "content-length"}
        codings = [value.lower() for name, value in lines if name.lower() == "transfer-encoding"]
        if len(lengths) > 1 or not all(_LENGTH.fullmatch(length) for length in lengths):
            raise ValueError("the answer's Content-Length is not one decimal number")
        if codings and (codings != ["chunked"] or lengths):
            raise ValueError("the answer is framed in two ways, or by another transfer coding than chunked")
        return lines


class ExactConnection(HTTPConnection):
    """Sends what a `Wire` holds; what urllib3 tells it to send besides is not sent."""

    _wire: Wire
    _used = False
    _last_used = 0.0

    def connect(self) -> None:
        """Open the connection."""
        super().connect()
        self._used = False

    def request(self, method: str, url: str, body: Any = None, headers: Any = None, **options: Any) -> None:
        """Send the request that ``headers`` stands for."""
        self._wire = headers
        if self.sock is not None and self._used and time.time() - self._last_used > IDLE_S:
            self.close()
        self._wire.reused = self.sock is not None and self._used
        super().request(method, url, body, headers, **options)

    def putrequest(self, method: str, url: str, **_: Any) -> None:  # type: ignore[override]
        """Begin with the target as it was given."""
        del url
        super().putrequest(method, self._wire.request.path_and_query, skip_host=True, skip_accept_encoding=True)

    def putheader(self, header: str | bytes, *values: Any) -> None:
        """Leave out what urllib3 adds."""

    def endheaders(self, message_body: Any = None, *, encode_chunked: bool = False) -> None:
        """Write the request's own lines and its body."""
        del message_body
        wire = self._wire
        for name, value in wire.request.headers.lines:
            super().putheader(name, value)
        if self.sock is None:
            self.connect()
        self.sock.settimeout(wire.patience())
        wire.sent = True
        super().endheaders(wire.request.body or None, encode_chunked=encode_chunked)

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]
        """The answer, as soon as its header section is there."""
        self.response_class = cast("Any", functools.partial(_StrictResponse, wire=self._wire))
        try:
            return super().getresponse()
        finally:
            self._used, self._last_used = True, time.time()


class ExactTlsConnection(ExactConnection, HTTPSConnection):
    """The same over TLS."""


class _StrictResponse(http.client.HTTPResponse):
    """An answer whose every read has its time, and whose interim predecessors are read over."""

    def __init__(self, sock: socket.socket, *, wire: Wire, **options: Any) -> None:
        super().__init__(sock, **options)
        self.fp = _Lines(_Timed(self.fp.detach(), sock, wire))
        self._wire = wire

    def begin(self) -> None:
        """Read the final answer's header section."""
        for _ in range(MAX_INTERIM + 1):
            super().begin()
            defects = {type(defect).__name__ for defect in self.headers.defects} - _OF_A_BODY
            if defects or self.headers.get_payload():  # urllib3 would log them, content and all, and go on
                raise http.client.HTTPException("the answer's header section is not well formed")
            if self.status >= _FINAL:
                self._wire.answer = self
                return
            if self.status == _SWITCHING_PROTOCOLS:
                raise http.client.HTTPException("the answer changes to another protocol")
            self.headers = self.msg = cast("Any", None)
        raise http.client.HTTPException(f"there are over {MAX_INTERIM} interim answers")


class _Lines(io.BufferedReader):
    """Refuses the line breaks that readers disagree about: a lone CR, a folded line."""

    def readline(self, size: int | None = -1, /) -> bytes:
        line = super().readline(-1 if size is None else size)
        if b"\r" in line.removesuffix(b"\n").removesuffix(b"\r") or b"\0" in line or line[:1] in {b" ", b"\t"}:
            raise http.client.HTTPException("a line of the answer is folded or holds a lone CR or NUL")
        return line


class _Timed(io.RawIOBase):
    """A socket's bytes, each read within the time that its request has left."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, wire: Wire) -> None:
        self._raw = raw
        self._sock = sock
        self._wire = wire

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int | None:
        self._sock.settimeout(self._wire.patience())
        count: int | None = cast("Any", self._raw).readinto(buffer)
        if count:
            self._wire.answered = True
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()
