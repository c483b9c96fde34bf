"""Where a request's body ends: counted bytes, or chunks (RFC 9112, sections 6 and 7). No I/O.

A reader takes what it can from the front of a buffer of raw input and gives the content in it; what follows the body
stays in the buffer.
"""

from __future__ import annotations

import re
from typing import Protocol

from hms_svc.core.errors import Malformed
from hms_svc.local.http.fields import TOKEN, read_name
from hms_svc.local.http.http_rules import check_trailer

MAX_SIZE_LINE = 256
"""Bytes of a chunk's first line, extensions included."""
MAX_TRAILERS = 8_192
MAX_WASTE = 16_384
"""Bytes of chunk framing beyond what honest chunks need, over one body."""

_TOKEN = TOKEN.encode()
_EXTENSION = (
    rb"[ \t]*;[ \t]*"
    + _TOKEN
    + rb"(?:[ \t]*=[ \t]*(?:"
    + _TOKEN
    + rb'|"(?:[^"\\\x00-\x08\x0a-\x1f\x7f]|\\[\t -~\x80-\xff])*"))?'
)
_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:" + _EXTENSION + rb")*")
_TRAILER = re.compile(rb"(" + _TOKEN + rb"):[\t -~\x80-\xff]*")


class BodyReader(Protocol):
    """Finds the end of a body."""

    done: bool

    @property
    def left(self) -> int | None:
        """Content that is still to come, bytes; None if not known."""
        ...

    def take(self, buffer: bytearray) -> bytes:
        """The content at the front of ``buffer``, removed from it. Raises `Malformed`."""
        ...


class Counted:
    """A body of as many bytes as ``Content-Length`` says."""

    __slots__ = ("done", "left")

    def __init__(self, length: int) -> None:
        self.left = length
        self.done = length == 0

    def take(self, buffer: bytearray) -> bytes:
        """The content at the front of ``buffer``, removed from it."""
        count = min(self.left, len(buffer))
        content = _cut(buffer, count)
        self.left -= count
        self.done = self.left == 0
        return content


class Chunked:
    """A body in chunks. Extensions are read over, trailers too, but for those that a trailer may not be."""

    __slots__ = ("_in_chunk", "_in_trailers", "_needs_break", "_trailers", "_waste", "done", "left")

    def __init__(self) -> None:
        self.left: int | None = None
        self.done = False
        self._in_chunk = 0
        self._needs_break = False
        self._in_trailers = False
        self._trailers = 0
        self._waste = 0

    def take(self, buffer: bytearray) -> bytes:
        """The content at the front of ``buffer``, removed from it. Raises `Malformed`."""
        pieces = []
        while buffer and not self.done:
            if self._in_chunk:
                piece = _cut(buffer, min(self._in_chunk, len(buffer)))
                self._in_chunk -= len(piece)
                self._needs_break = not self._in_chunk
                pieces.append(piece)
            elif self._needs_break:
                if not b"\r\n".startswith(buffer[:2]):
                    raise Malformed("A chunk is longer than its size says")
                if len(buffer) == 1:
                    break
                del buffer[:2]
                self._needs_break = False
            elif not (self._read_trailer(buffer) if self._in_trailers else self._read_size(buffer)):
                break
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _read_size(self, buffer: bytearray) -> bool:
        """Whether a chunk's first line was there."""
        end = buffer.find(b"\r\n", 0, MAX_SIZE_LINE)
        if end < 0:
            if len(buffer) >= MAX_SIZE_LINE:
                raise Malformed(f"The first line of a chunk is over {MAX_SIZE_LINE} bytes")
            return False
        line = _SIZE_LINE.fullmatch(buffer, 0, end)
        if line is None:
            raise Malformed("A chunk does not begin with its size in hexadecimal digits")
        size = int(line.group(1), 16)
        del line, buffer[: end + 2]
        self._waste = max(0, self._waste + end - 16 - 2 * size)
        if self._waste > MAX_WASTE:
            raise Malformed("The body is chunked wastefully")
        self._in_chunk = size
        self._in_trailers = size == 0
        return True

    def _read_trailer(self, buffer: bytearray) -> bool:
        """Whether a line of the trailer section was there; the empty one ends the body."""
        end = buffer.find(b"\r\n", 0, MAX_TRAILERS)
        if self._trailers + (len(buffer) if end < 0 else end) > MAX_TRAILERS:
            raise Malformed(f"The trailers are over {MAX_TRAILERS} bytes")
        if end < 0:
            return False
        self._trailers += end + 2
        if end == 0:
            self.done = True
        else:
            line = _TRAILER.fullmatch(buffer, 0, end)
            if line is None:
                raise Malformed("A trailer is not well formed")
            check_trailer(read_name(line.group(1))[1])
            del line
        del buffer[: end + 2]
        return True


def _cut(buffer: bytearray, count: int) -> bytes:
    """The first ``count`` bytes, removed."""
    if count == len(buffer):
        content = bytes(buffer)
        buffer.clear()
        return content
    with memoryview(buffer) as view:
        content = view[:count].tobytes()
    del buffer[:count]
    return content
