"""Reads HTTP requests kept as text: ``\\r\\n`` and the like are escapes, the file's own line breaks are none."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

BOUNDS_OF_THEIR_ORIGIN = {
    "006": {"request_line": 4_094},
    "011": {"field_count": 2},
    "012": {"field": 98},
}
"""Requests of the invalid set that are well formed and refused in their origin by its bounds, lower than ours: RFC
9112, section 3, asks for request lines of 8000 bytes; 011 and 012 are the valid 002 again."""
_ESCAPE = re.compile(rb"\\(?:x([0-9A-Fa-f]{2})|(.))")
_PLAIN = {b"r": b"\r", b"n": b"\n", b"t": b"\t", b"0": b"\0", b"\\": b"\\"}


def read(path: Path) -> bytes:
    """The request's bytes."""
    return _ESCAPE.sub(_unescape, path.read_bytes().replace(b"\n", b""))


def _unescape(escape: re.Match[bytes]) -> bytes:
    if escape.group(1):
        return bytes.fromhex(escape.group(1).decode())
    return _PLAIN.get(escape.group(2), escape.group())
