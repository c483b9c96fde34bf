"""JSON from strangers: one object, bounded before it is parsed, with one reading only (RFC 8259, RFC 7515 section 4).

What the standard library lets pass is refused: a member twice, ``NaN`` and ``Infinity``, numbers too large for what
reads them next, nesting without end, half a surrogate pair.
"""

from __future__ import annotations

import json
import math
import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_DEPTH = 16
MAX_DIGITS = 20
"""Of a whole number; a moment in nanoseconds has 19."""
MAX_NUMBER = 32
"""Characters of a number with a fraction or an exponent."""
_BRACKETS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[{]|[\]}]', re.DOTALL)


def parse_object(text: bytes) -> dict[str, Any]:
    """The object that ``text`` is. Raises `ValueError`, whose message holds nothing of the text."""
    if text.count(b"[") + text.count(b"{") > MAX_DEPTH:
        _check_depth(text)
    try:
        value = _DECODER.decode(text.decode("utf-8"))
        if b"\\ud" in text or b"\\uD" in text:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeError:
        raise ValueError("it is not UTF-8 text") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"it is not JSON at character {error.pos}") from None
    if not isinstance(value, dict):
        raise ValueError("it is not a JSON object")  # noqa: TRY004  (what came is text, and its value is wrong)
    return value


def frozen(value: Any) -> Any:
    """The same JSON value, read-only all through: objects as mapping proxies, arrays as tuples."""
    if isinstance(value, dict):
        return MappingProxyType({name: frozen(member) for name, member in value.items()})
    if isinstance(value, list):
        return tuple(frozen(member) for member in value)
    return value


def frozen_object(value: Mapping[str, Any]) -> Mapping[str, Any]:
    """A JSON object, read-only all through."""
    return MappingProxyType({name: frozen(member) for name, member in value.items()})


def _check_depth(text: bytes) -> None:
    depth = 0
    for token in _BRACKETS.finditer(text):
        match text[token.start()]:
            case 0x5B | 0x7B:
                depth += 1
                if depth > MAX_DEPTH:
                    raise ValueError(f"it is nested deeper than {MAX_DEPTH}")
            case 0x5D | 0x7D:
                depth -= 1


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("it has a member twice")
    return members


def _whole(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise ValueError(f"it has a number of more than {MAX_DIGITS} digits")
    return int(text)


def _fraction(text: str) -> float:
    number = float(text) if len(text) <= MAX_NUMBER else math.inf
    if not math.isfinite(number):
        raise ValueError("it has a number out of range")
    return number


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"it has the value {name}, which is not JSON")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_members, parse_int=_whole, parse_float=_fraction, parse_constant=_no_constant
)
