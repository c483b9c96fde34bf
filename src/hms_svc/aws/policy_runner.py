"""Policies in Lambda: on a thread, so that one that hangs cannot hold the answer; one request at a time, so on one.

A thread cannot be stopped from outside: a policy that hangs keeps it, and the next call gets another. When
`MAX_HANGING` threads hang, further checks are refused at once: the environment is sick, and says so in the record.
"""

from __future__ import annotations

import threading
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

MAX_HANGING = 8


class _Worker:
    """A thread that does one check after another."""

    def __init__(self) -> None:
        self._checks: SimpleQueue[Callable[[], Any] | None] = SimpleQueue()
        self._outcomes: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()
        threading.Thread(target=self._serve, name="hms-svc policy", daemon=True).start()

    def ask(self, check: Callable[[], Any], timeout_s: float) -> tuple[Any, BaseException | None]:
        """What the check returned, and what it raised, one of them None. Raises `queue.Empty` after ``timeout_s``."""
        self._checks.put(check)
        return self._outcomes.get(timeout=timeout_s)

    @property
    def hangs(self) -> bool:
        """Whether a worker that was given up is still at its check."""
        return self._outcomes.empty()

    def give_up(self) -> None:
        """Ask it nothing more; its thread ends when the check at hand returns."""
        self._checks.put(None)

    def _serve(self) -> None:
        while (check := self._checks.get()) is not None:
            outcome: tuple[Any, BaseException | None]
            try:
                outcome = check(), None
            except BaseException as error:  # noqa: BLE001  (it belongs to who asked; the worker goes on)
                outcome = None, error
            self._outcomes.put(outcome)
            del check, outcome


class LambdaPolicyRunner:
    """A `PolicyRunner` without an event loop. The thread starts with the first check."""

    def __init__(self) -> None:
        self._worker: _Worker | None = None
        self._given_up: list[_Worker] = []

    async def run(self, check: Callable[[], T], timeout_s: float) -> T:
        """The value of ``check()``, or what it raised. Raises `TimeoutError` when it has not returned in time."""
        self._given_up = [worker for worker in self._given_up if worker.hangs]
        if len(self._given_up) >= MAX_HANGING:
            raise TimeoutError(f"was not asked: {MAX_HANGING} earlier checks have not returned yet")
        worker = self._worker = self._worker or _Worker()
        try:
            value, error = worker.ask(check, timeout_s)
        except Empty:
            worker.give_up()
            self._given_up.append(worker)
            self._worker = None
            raise TimeoutError from None
        if error is not None:
            raise error
        return cast("T", value)
