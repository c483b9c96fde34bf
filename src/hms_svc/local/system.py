"""The clock and the chance of the machine."""

from __future__ import annotations

import os
import secrets
import time

AT_ONCE = 1_024
"""Bytes asked of the system at once."""


class SystemClock:
    """The `Clock` port over the system's clocks."""

    wall_ns = staticmethod(time.time_ns)
    """Nanoseconds since 1970-01-01T00:00:00Z."""
    monotonic_ns = staticmethod(time.monotonic_ns)
    """Nanoseconds since the machine started, about."""


class SystemRandomness:
    """The `Randomness` port over the system's source of secrets.

    Drawn `AT_ONCE` bytes at a time, each handed out once, since a system call for every identifier is what a request
    would wait for longest. A process that forks throws away what it has, so that the two never share any.
    """

    def __init__(self) -> None:
        self._drawn = ""
        os.register_at_fork(after_in_child=self._forget)

    def hex(self, n_bytes: int) -> str:
        """``2 * n_bytes`` hexadecimal digits."""
        drawn, digits = self._drawn, 2 * n_bytes
        if len(drawn) < digits:
            drawn = os.urandom(max(n_bytes, AT_ONCE)).hex()
        self._drawn = drawn[digits:]
        return drawn[:digits]

    def below(self, n: int) -> int:
        """A number in ``range(n)``."""
        return secrets.randbelow(n)

    def _forget(self) -> None:
        self._drawn = ""
