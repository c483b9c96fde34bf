"""One normal form for a path, made once at the door: what is matched is what goes on the wire.

Rules: RFC 3986, sections 5.2.4 (dot segments) and 6.2.2.2 (escaped unreserved characters), plus what backends are known
to do with paths: read a backslash as a slash, merge slashes, cut ``;parameters`` off a segment, decode ``%2F``. The
first two are done here; the last two give a path `other_readings`, and a path that another route would serve when it is
read that way is refused.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from hms_svc.core.errors import Malformed

MAX_PATH = 8_192
"""Characters."""
MAX_SEGMENTS = 256

_PLAIN = re.compile(r"(?:/[A-Za-z0-9_~!$&'()*+,=:@-][A-Za-z0-9._~!$&'()*+,=:@-]*)*/?")
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f-\U0010ffff?#]")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_ESCAPED_CONTROL = re.compile(r"%(?:[01][0-9A-Fa-f]|7[Ff])")
_ESCAPED_SLASH = re.compile(r"%(?:2[Ff]|5[Cc])")
_SLASHES = re.compile(r"/{2,}")


def normalise(path: str) -> str:
    """The normal form of a request's path, percent-encoded, beginning with ``/``.

    Raises `Malformed` for what has none: control characters (escaped ones too), bad escapes, characters that no URI
    may hold, more than `MAX_PATH` characters or `MAX_SEGMENTS` segments.
    """
    if len(path) > MAX_PATH:
        raise Malformed(f"The path is over {MAX_PATH} characters")
    if path.count("/") > MAX_SEGMENTS:
        raise Malformed(f"The path has over {MAX_SEGMENTS} segments")
    if path and _PLAIN.fullmatch(path):
        return path
    if _FORBIDDEN.search(path):
        raise Malformed("The path holds a character that must be percent-encoded")
    if _BAD_ESCAPE.search(path):
        raise Malformed("The path holds a % that is not followed by two hexadecimal digits")
    if _ESCAPED_CONTROL.search(path):
        raise Malformed("The path holds an escaped control character")
    path = _ESCAPE.sub(_decode_unreserved, path).replace("\\", "/")
    return merge_slashes(_remove_dot_segments(path))


def merge_slashes(target: str) -> str:
    """``target`` with each run of slashes in its path made one; a query is left alone."""
    path, mark, query = target.partition("?")
    return _SLASHES.sub("/", path) + mark + query


def other_readings(path: str) -> frozenset[str]:
    """How backends might read a normalised ``path`` besides: escaped slashes decoded, ``;parameters`` dropped, or both.

    Empty for nearly every path.
    """
    escaped = _ESCAPED_SLASH.search(path) is not None
    if not escaped and ";" not in path:
        return frozenset()
    decoded = _ESCAPED_SLASH.sub("/", path)
    bare = _without_parameters(path)
    readings = (decoded, bare, _without_parameters(decoded), _ESCAPED_SLASH.sub("/", bare))
    return frozenset(merge_slashes(_remove_dot_segments(reading)) for reading in readings) - {path}


def decode_segment(segment: str) -> str:
    """A segment with its escapes decoded as UTF-8; what is no UTF-8 becomes U+FFFD."""
    return unquote_to_bytes(segment).decode("utf-8", "replace") if "%" in segment else segment


def segment_key(segment: str) -> str:
    """A segment as it is compared: two that decode to the same bytes have the same key, others never."""
    return unquote_to_bytes(segment).decode("utf-8", "surrogateescape") if "%" in segment else segment


def _decode_unreserved(escape: re.Match[str]) -> str:
    code = int(escape.group(1), 16)
    return chr(code) if code in _UNRESERVED else escape.group()


def _without_parameters(path: str) -> str:
    return "/".join(segment.split(";", 1)[0] for segment in path.split("/"))


def _remove_dot_segments(path: str) -> str:
    kept: list[str] = []
    segments = path.removeprefix("/").split("/")
    for segment in segments:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in {".", ".."}:
        kept.append("")
    return "/" + "/".join(kept)
