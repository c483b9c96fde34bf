"""Scopes as OAuth writes them (RFC 6749, section 3.3): a word of printable ASCII, several with one space between."""

from __future__ import annotations

import re

_SCOPE = re.compile(r"[\x21\x23-\x5B\x5D-\x7E]+")


def is_scope(text: str) -> bool:
    """Whether ``text`` is one scope: no space, quote or backslash in it, so it can stand in a quoted string."""
    return _SCOPE.fullmatch(text) is not None
