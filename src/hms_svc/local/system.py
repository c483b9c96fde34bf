"""The clock and the chance of the machine."""

from __future__ import annotations

import os
import secrets
import time


class SystemClock:
    """The `Clock` port over the system's clocks."""

    def wall_ns(self) -> int:
        """Nanoseconds since 1970-01-01T00:00:00Z."""
        return time.time_ns()

    def monotonic_ns(self) -> int:
        """Nanoseconds since the machine started, about."""
        return time.monotonic_ns()


class SystemRandomness:
    """The `Randomness` port over the system's source of secrets."""

    def hex(self, n_bytes: int) -> str:
        """``2 * n_bytes`` hexadecimal digits."""
        return os.urandom(n_bytes).hex()

    def below(self, n: int) -> int:
        """A number in ``range(n)``."""
        return secrets.randbelow(n)
