"""Policies run on threads of their own, so that one that hangs holds a thread and never the gateway.

A thread cannot be stopped from outside: a policy that hangs keeps its worker until it returns. While all workers hang,
every call that needs a policy is refused when its time is over, or at once when too many wait already. The threads are
daemons, so none of them keeps the process from ending.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

MAX_WAITING = 1_000
"""Calls that may wait for a worker."""


class _Task:
    """One check on its way to a worker and back. Given up, it lets go of the request that it holds."""

    __slots__ = ("_loop", "check", "outcome")

    def __init__(self, check: Callable[[], Any], loop: asyncio.AbstractEventLoop) -> None:
        self.check: Callable[[], Any] | None = check
        self._loop = loop
        self.outcome: asyncio.Future[tuple[Any, BaseException | None]] = loop.create_future()
        """What the check returned, and what it raised: one of them is None."""

    def work(self) -> None:
        """In a worker."""
        check = self.check
        if check is None:
            return
        outcome: tuple[Any, BaseException | None]
        try:
            outcome = check(), None
        except BaseException as error:  # noqa: BLE001  (it belongs to who awaits it; the worker goes on)
            outcome = None, error
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._settle, outcome)

    def _settle(self, outcome: tuple[Any, BaseException | None]) -> None:
        """On the loop."""
        if not self.outcome.done():
            self.outcome.set_result(outcome)


class ThreadPolicyRunner:
    """A `PolicyRunner` for an asyncio loop. The threads start with the first call."""

    def __init__(self, workers: int = 8) -> None:
        self._workers = workers
        self._tasks: SimpleQueue[_Task | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._closed = False

    async def run(self, check: Callable[[], T], timeout_s: float) -> T:
        """The value of ``check()``, or what it raised.

        Raises `TimeoutError` when it has not returned within ``timeout_s`` seconds, and `RuntimeError` after `close`.
        """
        if self._closed:
            raise RuntimeError("the policy runner is closed")
        if not self._threads:
            self._start()
        if self._tasks.qsize() >= MAX_WAITING:
            raise TimeoutError(f"was not asked: {MAX_WAITING} calls wait for the {self._workers} policy threads")
        task = _Task(check, asyncio.get_running_loop())
        self._tasks.put(task)
        try:
            async with asyncio.timeout(timeout_s):
                value, error = await task.outcome
        finally:
            task.check = None
        if error is not None:
            raise error
        return cast("T", value)

    def close(self) -> None:
        """Let the workers end when they have done what they are at. Safe to call twice."""
        self._closed = True
        for _ in self._threads:
            self._tasks.put(None)
        self._threads = []

    def _start(self) -> None:
        self._threads = [
            threading.Thread(target=_serve, args=(self._tasks,), name=f"hms-svc policy {number}", daemon=True)
            for number in range(self._workers)
        ]
        for thread in self._threads:
            thread.start()


def _serve(tasks: SimpleQueue[_Task | None]) -> None:
    while (task := tasks.get()) is not None:
        task.work()
        del task
