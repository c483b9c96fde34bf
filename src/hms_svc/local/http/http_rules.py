"""What is refused although the parser let it through, and what the parser is not asked: request line, target, framing.

RFC 9112 is read strictly. Where it lets a recipient choose between repairing and refusing, the request is refused:
whatever stands behind the gateway might repair it differently.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from hms_svc.core.errors import (
    FieldsTooLarge,
    Malformed,
    NotImplementedHere,
    Refusal,
    UriTooLong,
    VersionNotSupported,
)
from hms_svc.local.http.fields import LOOKALIKE, TOKEN

if TYPE_CHECKING:
    from hms_svc.local.http.server_limits import ServerLimits

REQUEST_LINE = re.compile(rb"(" + TOKEN.encode() + rb") ([!\"$-~]+) HTTP/1\.([01])\r\n")
"""RFC 9112, section 3: one space between the parts. ``#`` never stands in a target; what is not ASCII is escaped."""
MAX_METHOD = 64

_TEXT = re.compile(rb"[ -~\x80-\xff]*\r?")
_VERSION = re.compile(rb"HTTP/[0-9]\.[0-9]")
_ABSOLUTE = re.compile(r"https?://([A-Za-z0-9._~!$&'()*+,;=:%\[\]-]+)((?:/[^?]*)?)(?:\?(.*))?", re.IGNORECASE)
_LENGTH = re.compile(r"[0-9]{1,18}")
_NEVER_A_TRAILER = frozenset({"authorization", "content-length", "host", "transfer-encoding", LOOKALIKE})


def check_beginning(buffer: bytearray, limits: ServerLimits) -> Refusal | None:
    """Why a header section that has not come to its end yet need not be waited for."""
    line_end = buffer.find(b"\r\n")
    if (len(buffer) if line_end < 0 else line_end) > limits.request_line:
        return UriTooLong(limits.request_line)
    if line_end < 0:
        return None if _TEXT.fullmatch(buffer) else Malformed("This is no text, so it is no HTTP/1.1")
    if len(buffer) - line_end > limits.fields_total:
        return FieldsTooLarge(f"The header section is over {limits.fields_total} bytes")
    return None if REQUEST_LINE.match(buffer) else why_no_request_line(bytes(buffer[:line_end]))


def why_no_request_line(line: bytes) -> Refusal:
    """What to tell a client whose first line is none."""
    parts = line.split(b" ")
    if len(parts) == 3 and _VERSION.fullmatch(parts[2]) and not parts[2].startswith(b"HTTP/1."):  # noqa: PLR2004  (RFC 9112, section 3)
        return VersionNotSupported() if parts[2] > b"HTTP/2" else Malformed("There is no such version of HTTP")
    if len(parts) != 3 or not parts[2].startswith(b"HTTP/"):  # noqa: PLR2004
        return Malformed("The first line is not a method, a target and HTTP/1.1 with one space between them")
    if not re.fullmatch(TOKEN.encode(), parts[0]):
        return Malformed("The method holds a character that no method may hold")
    if not REQUEST_LINE.fullmatch(b"GET / " + parts[2] + b"\r\n"):
        return Malformed("There is no such version of HTTP")
    return Malformed("The target holds a character that must be percent-encoded")


def read_target(method: str, target: str) -> tuple[str, str, str | None]:
    """Path, query, and the authority of a target in absolute form (RFC 9112, section 3.2), else None."""
    if method == "CONNECT":
        raise NotImplementedHere("This is no proxy: CONNECT is not implemented")
    if target.startswith("/"):
        path, _, query = target.partition("?")
        return path, query, None
    if target == "*" and method == "OPTIONS":
        return "*", "", None
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is None:
        raise Malformed("The target is neither a path nor an http URL without credentials")
    authority, path, query = absolute.group(1), absolute.group(2), absolute.group(3)
    if not path:
        path = "*" if method == "OPTIONS" and query is None else "/"
    return path, query or "", authority


def body_length(parts: dict[str, str], version: str) -> int | None:
    """How many bytes of body follow, or None for a chunked one (RFC 9112, section 6)."""
    codings = parts.get("transfer-encoding")
    length = parts.get("content-length")
    if codings is None:
        if length is None:
            return 0
        if not _LENGTH.fullmatch(length):
            raise Malformed("Content-Length is not one decimal number")
        return int(length)
    if length is not None:
        raise Malformed("Content-Length and Transfer-Encoding exclude each other")
    if version == "1.0":
        raise Malformed("There is no Transfer-Encoding in HTTP/1.0")
    names = [name.strip(" \t").lower() for name in codings.split(",")]
    if names == ["chunked"]:
        return None
    if names[-1] != "chunked" or names.count("chunked") != 1:
        raise Malformed("Transfer-Encoding does not end in chunked, once")
    raise NotImplementedHere("No transfer coding but chunked is implemented")


def check_host(parts: dict[str, str], version: str) -> None:
    """RFC 9112, section 3.2: exactly one ``Host``, which HTTP/1.0 may lack; ``http`` knows no empty one."""
    host = parts.get("host")
    if host is None:
        if version == "1.1":
            raise Malformed("There is no Host")
    elif not host:
        raise Malformed("The Host is empty")


def keeps_alive(connection: str | None, version: str) -> bool:
    """Whether the client means to send more on this connection (RFC 9112, section 9.3)."""
    if connection is None:
        return version == "1.1"
    options = {option.strip(" \t").lower() for option in connection.split(",")}
    return "close" not in options and (version == "1.1" or "keep-alive" in options)


def check_trailer(part: str) -> None:
    """Refuse what only a header section may say (RFC 9110, section 6.5.1); other trailers are read over."""
    if part in _NEVER_A_TRAILER:
        raise Malformed("A field that frames, routes or authenticates the message came in its trailers")
