"""The members of an event, read strictly: each is of its type, or the request is refused.

Header lines follow the rules of the laptop's server.
Header values are text in ISO-8859-1 as the core has it; a value with other characters stands for its bytes in UTF-8.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hms_svc.core.errors import Malformed
from hms_svc.core.model import Headers
from hms_svc.local.http.fields import LOOKALIKE, SINGULAR, TOKEN, read_name

if TYPE_CHECKING:
    from collections.abc import Iterator

Event = Mapping[str, Any]
Lines = list[tuple[str, str]]

MAX_FIELDS = 200
"""Header lines of one request; the doors of AWS let fewer through."""
_NAME = re.compile(TOKEN)
_BREAK = re.compile("[\r\n\0]")
_BODY_METHODS = frozenset({"POST", "PUT", "PATCH"})


def text(event: Event, member: str) -> str:
    """The text of ``member``, empty when it is missing or null."""
    value = event.get(member)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Malformed(f"The event's {member} is no text")
    return value


def flag(event: Event, member: str) -> bool:
    """Whether ``member`` is true."""
    value = event.get(member)
    if value is not None and not isinstance(value, bool):
        raise Malformed(f"The event's {member} is neither true nor false")
    return bool(value)


def part(event: Event, *members: str) -> Event:
    """The object that one member after the other leads to, empty when there is none."""
    value: Any = event
    for member in members:
        value = value.get(member)
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            raise Malformed(f"The event's {member} is no object")
    found: Event = value
    return found


def method(event: Event, member: str) -> str:
    """The method, a token (RFC 9110, section 9.1)."""
    value = text(event, member)
    if not _NAME.fullmatch(value):
        raise Malformed("The method is no token")
    return value


def pairs(event: Event, member: str) -> Iterator[tuple[str, str]]:
    """Names and values of an object of text, or of lists of text, in the event's order."""
    for name, value in part(event, member).items():
        for one in value if isinstance(value, list) else (value,):
            if not isinstance(one, str):
                raise Malformed(f"A value in the event's {member} is no text")
            yield name, one


def header_lines(event: Event, member: str) -> Lines:
    """The header lines under ``member``, one for each value."""
    lines: Lines = []
    parts: set[str] = set()
    for name, value in pairs(event, member):
        if not _NAME.fullmatch(name):
            raise Malformed("A field name is no token")
        if _BREAK.search(value):
            raise Malformed(f"The value of {name} holds a line break")
        key, role = read_name(name.encode("ascii"))
        if role == LOOKALIKE:
            raise Malformed(f"The field {name} could be taken for {name.replace('_', '-')}")
        if role in SINGULAR and role in parts:
            raise Malformed(f"The field {name} came twice")
        parts.add(role)
        lines.append((key, as_latin(value.strip(" \t"))))
    if len(lines) > MAX_FIELDS:
        raise Malformed(f"There are over {MAX_FIELDS} fields")
    return lines


def as_latin(value: str) -> str:
    """``value`` with each character standing for one byte."""
    if all(character <= "\xff" for character in value):
        return value
    return value.encode("utf-8").decode("latin-1")


def framed(lines: Lines, method: str, body: bytes) -> Headers:
    """The header section with the ``Content-Length`` that a door may keep to itself.

    A request with these methods has one although its body is empty (RFC 9110, section 8.6).
    """
    names = {name.lower() for name, _ in lines}
    if method in _BODY_METHODS and not names & {"content-length", "transfer-encoding"}:
        lines.append(("Content-Length", str(len(body))))
    return Headers(lines)


def with_host(lines: Lines, host: str) -> Lines:
    """``lines``, with the name the door was called by where it keeps ``Host`` to itself."""
    if host and not any(name.lower() == "host" for name, _ in lines):
        lines.insert(0, ("Host", host))
    return lines
