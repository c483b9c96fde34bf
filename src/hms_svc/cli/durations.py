"""Durations as people write them on the command line: 100ms, 45s, 30m, 12h, 90d, 2w."""

from __future__ import annotations

import re

from hms_svc.cli.console import fail

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_DURATION = re.compile(r"([1-9][0-9]{0,8})([smhdw])")
_MILLISECONDS = re.compile(r"([1-9][0-9]{0,8})ms")
MAX_S = 100 * 366 * 86_400
"""A hundred years."""


def seconds(option: str, text: str) -> int:
    """How long ``text`` is. What is no duration ends the command with a sentence that names ``option``."""
    match = _DURATION.fullmatch(text.strip())
    length = int(match[1]) * _SECONDS[match[2]] if match else 0
    if not 0 < length <= MAX_S:
        fail(f"{option} is a number with its unit, such as 30m, 12h or 90d, not {text!r}")
    return length


def nanoseconds(option: str, text: str) -> int:
    """As `seconds`, and ``ms`` is a unit too."""
    match = _MILLISECONDS.fullmatch(text.strip())
    return int(match[1]) * 1_000_000 if match else seconds(option, text) * 1_000_000_000
