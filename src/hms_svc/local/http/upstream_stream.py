"""The body of a private service's answer, in pieces as they come, and no further ahead than its reader allows."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections import deque


class Supply(Protocol):
    """The connection that the pieces come from."""

    def expect_piece(self) -> None:
        """Somebody waits for content: read on, and let it be late at some time."""
        ...

    def got_piece(self) -> None:
        """Nobody waits any more."""
        ...

    def abort(self) -> None:
        """Give the connection up."""
        ...


class UpstreamStream:
    """A body stream (the core's `BodyStream`). Raises `UpstreamBroken` or `UpstreamTimeout` where it breaks off."""

    __slots__ = ("_error", "_pieces", "_supply", "_waiter")

    def __init__(self, pieces: deque[bytes], supply: Supply) -> None:
        self._pieces = pieces
        self._supply: Supply | None = supply
        """None once the last piece has come, or none will."""
        self._error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None

    def __aiter__(self) -> UpstreamStream:
        return self

    async def __anext__(self) -> bytes:
        while not self._pieces:
            supply = self._supply
            if supply is None:
                if self._error is not None:
                    raise self._error
                raise StopAsyncIteration
            self._waiter = asyncio.get_running_loop().create_future()
            supply.expect_piece()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return self._pieces.popleft()

    async def aclose(self) -> None:
        """Give up the rest; the connection it comes from is dropped."""
        supply, self._supply = self._supply, None
        self._pieces.clear()
        if supply is not None:
            supply.abort()

    def wake(self) -> None:
        """A piece has come."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
            if self._supply is not None:
                self._supply.got_piece()

    def end(self, error: Exception | None) -> None:
        """No more will come: the last piece has, or ``error`` came between. Only the first end counts."""
        if self._supply is not None:
            self._supply = None
            self._error = error
            self.wake()
