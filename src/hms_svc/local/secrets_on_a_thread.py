"""Secrets from where reading blocks, for a gateway that runs as a server."""

from __future__ import annotations

import asyncio
from typing import Protocol


class Blocking(Protocol):
    """A source that does not suspend."""

    def get(self, name: str, *, again: bool = False) -> str:
        """As `SecretSource.read`."""
        ...


class OnAThread:
    """A `SecretSource` over one that blocks, for a server: one call at a time, and none on the loop."""

    def __init__(self, blocking: Blocking) -> None:
        self._blocking = blocking
        self._one_at_a_time = asyncio.Lock()

    async def read(self, reference: str, *, again: bool = False) -> str:
        """The secret. Raises `StoreUnavailable`."""
        async with self._one_at_a_time:
            return await asyncio.to_thread(self._blocking.get, reference, again=again)
