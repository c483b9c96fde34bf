"""Work beside the traffic on a thread of its own: what it waits for, such as a disk, holds up nothing else."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class OwnThread:
    """One thread, made when it first has something to do. It does one thing after the other."""

    def __init__(self, name: str) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"hms-svc {name}")

    def later(self, work: Callable[[], None]) -> None:
        """Have it do ``work``, after all it has to do already. Raises `RuntimeError` when it is closed."""
        asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def close(self) -> None:
        """Take no more work, and wait for what was taken."""
        await asyncio.to_thread(self._thread.shutdown)
