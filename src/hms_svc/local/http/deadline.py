"""One moment after which something is done, moved far more often than it is reached."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

_TICK_S = 0.002
"""The loop's own clock counts milliseconds; a timer may fire that much early."""


class Deadline:
    """A timer of the loop that is only touched when it fires, or when it would fire too late.

    A keep-alive connection moves its deadline twice a request; making and cancelling a timer each time costs more than
    reading the request.
    """

    __slots__ = ("_action", "_at", "_fires_at", "_loop", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._at = math.inf
        self._action: Callable[[], None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._fires_at = math.inf

    def set(self, seconds: float, action: Callable[[], None]) -> None:
        """Do ``action`` in ``seconds`` unless the deadline is set again or cleared before."""
        self._at = at = self._loop.time() + seconds
        self._action = action
        if at < self._fires_at:
            self._arm(at)

    def clear(self) -> None:
        """Do nothing after all."""
        self._at = math.inf

    def close(self) -> None:
        """Clear, and let go of the timer too."""
        self._at = math.inf
        self._action = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._fires_at = math.inf

    def _arm(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(at, self._fire)
        self._fires_at = at

    def _fire(self) -> None:
        self._timer = None
        self._fires_at = math.inf
        if self._loop.time() + _TICK_S < self._at:
            if self._at < math.inf:
                self._arm(self._at)
            return
        self._at = math.inf
        action = self._action
        if action is not None:
            action()
