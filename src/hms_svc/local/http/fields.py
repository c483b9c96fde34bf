"""Names of HTTP fields off the wire, each read once: its text, and the part it plays in a message's framing."""

from __future__ import annotations

import re

TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"  # noqa: S105  (the grammar's word for a name)
"""RFC 9110, section 5.6.2."""
SINGULAR = frozenset({"authorization", "content-length", "content-type", "host", "transfer-encoding"})
"""Fields that decide who calls or where a message ends: twice in one request, and two readers may take either."""
LOOKALIKE = "lookalike"
"""The part of ``Content_Length`` and its like: servers that read ``_`` as ``-`` take it for the real one."""

_PLAYS_A_PART = SINGULAR | {"connection", "expect", "proxy-connection"}
_KNOWN_AT_MOST = 4_096
_known: dict[bytes, tuple[str, str]] = {}


def read_name(name: bytes) -> tuple[str, str]:
    """The text of a field name that a parser has let through, and the part it plays: empty for nearly all."""
    known = _known.get(name)
    return _learn(name) if known is None else known


def _learn(name: bytes) -> tuple[str, str]:
    text = name.decode("latin-1")
    lower = text.lower()
    part = lower if lower in _PLAYS_A_PART else ""
    if not part and lower.replace("_", "-") in SINGULAR:
        part = LOOKALIKE
    if len(_known) >= _KNOWN_AT_MOST:
        _known.clear()
    _known[name] = text, part
    return text, part


class Unwritable(ValueError):  # noqa: N818  (named for what it means)
    """A line that would not read back as it was meant: a break in a value, a name that is no token."""


def encode_lines(first: str, lines: list[tuple[str, str]] | tuple[tuple[str, str], ...]) -> bytes:
    """``first`` and the field lines, each with its CRLF, without the empty line.

    Raises `Unwritable` rather than let a value end its line early (RFC 9110, section 5.5).
    """
    parts = [first]
    for name, value in lines:
        if name not in _writable:
            _check_name(name)
        parts.append(f"{name}: {value}")
    parts.append("")
    text = "\r\n".join(parts)
    breaks = len(parts) - 1
    if text.count("\n") != breaks or text.count("\r") != breaks or "\0" in text:
        raise Unwritable("a line holds CR, LF or NUL")
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError as error:
        raise Unwritable("a line holds a character that is not in ISO-8859-1") from error


_writable: set[str] = set()
_is_token = re.compile(TOKEN).fullmatch


def _check_name(name: str) -> None:
    if not _is_token(name):
        raise Unwritable("a field name is no token")
    if len(_writable) >= _KNOWN_AT_MOST:
        _writable.clear()
    _writable.add(name)
