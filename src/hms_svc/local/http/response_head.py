"""The header section of an answer. The door owns its framing: where the body ends, and whether the connection stays."""

from __future__ import annotations

import http
import time
from email.utils import formatdate
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from hms_svc.local.http.fields import Unwritable, encode_lines

if TYPE_CHECKING:
    from hms_svc.core.model import BodyStream, Response

LARGEST_STATUS = 999
_OWNED = frozenset({"connection", "content-length", "date", "keep-alive", "transfer-encoding"})
_PHRASES = {status.value: status.phrase for status in http.HTTPStatus}
_NO_CONTENT, _NOT_MODIFIED = 204, 304


class ResponseHead(NamedTuple):
    """How an answer goes out."""

    content: bytes
    """The header section with its empty line."""
    chunked: bool = False
    length: int | None = None
    """What a stream must come to."""
    has_body: bool = True
    keep_alive: bool = True


@lru_cache(maxsize=4_096)
def _owned(name: str) -> str:
    """The name in lower case if the field is the door's own, else nothing."""
    lower = name.lower()
    return lower if lower in _OWNED else ""


def response_head(response: Response, *, method: str, version: str, keep_alive: bool) -> ResponseHead:
    """Frame ``response`` (RFC 9112, section 6.3). Raises `Unwritable` when its lines would not read back as meant."""
    status, body = response.status, response.body
    if not 200 <= status <= LARGEST_STATUS:  # noqa: PLR2004  (a final answer, RFC 9110, section 15)
        raise Unwritable(f"{status} is the status of no final answer")
    lines, declared = _own_lines(response)
    has_body = method != "HEAD" and status not in {_NO_CONTENT, _NOT_MODIFIED}
    length = _length(body, declared, status=status, has_body=has_body)
    chunked = has_body and length is None and version == "1.1"
    if length is not None:
        lines.append(("Content-Length", str(length)))
    elif chunked:
        lines.append(("Transfer-Encoding", "chunked"))
    elif has_body:
        keep_alive = False  # the connection's end is the body's
    if not keep_alive:
        lines.append(("Connection", "close"))
    elif version == "1.0":
        lines.append(("Connection", "keep-alive"))
    first = f"HTTP/1.1 {status} {_PHRASES.get(status, '')}"
    return ResponseHead(encode_lines(first, lines) + b"\r\n", chunked, length, has_body, keep_alive)


def _length(body: bytes | BodyStream, declared: str | None, *, status: int, has_body: bool) -> int | None:
    """What ``Content-Length`` says: of an answer without a body, what it would be with one (RFC 9110, section 8.6)."""
    if isinstance(body, bytes) and (has_body or (body and declared is None and status != _NO_CONTENT)):
        return len(body)
    if declared is None or status == _NO_CONTENT:
        return None
    if not (declared.isascii() and declared.isdigit()):
        raise Unwritable("Content-Length is not one decimal number")
    return int(declared)


def _own_lines(response: Response) -> tuple[list[tuple[str, str]], str | None]:
    """The lines that are not the door's, with a ``Date``, and the length that the answer declares."""
    lines: list[tuple[str, str]] = []
    declared = date = None
    for line in response.headers.lines:
        owned = _owned(line[0])
        if not owned:
            lines.append(line)
        elif owned == "content-length":
            declared = line[1]
        elif owned == "date":
            date = line[1]
    lines.append(("Date", date or http_date()))
    return lines, declared


_second = 0
_date = ""


def http_date() -> str:
    """Now, as ``Date`` has it (RFC 9110, section 6.6.1); formatted once a second."""
    global _second, _date
    now = int(time.time())
    if now != _second:
        _date, _second = formatdate(now, usegmt=True), now
    return _date
