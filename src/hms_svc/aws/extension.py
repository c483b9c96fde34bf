"""The internal Lambda extension: a thread that sends what was collected after the answer, before the freeze.

Lambda freezes the environment when the runtime and every extension have asked for their next event. This one asks only
once it has flushed, so the flush has its time although nobody waits for it. It is registered while the environment
starts, and so before a SnapStart snapshot; a restored environment goes on where the snapshot was taken.
"""

from __future__ import annotations

import http.client
import json
import logging
from threading import Semaphore, Thread
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hms_svc.core.ports import Clock

NAME = "hms-svc-audit"
API = "/2020-01-01/extension"
REGISTER_S = 2.0
"""For the answer to the registration; the wait for an event has no end."""
LONGEST_INVOCATION_S = 900.0
TRIES = 3
"""Of a wait for an event whose connection breaks, as one may that was in a snapshot."""
_OK = 200
_MAX_ANSWER = 100_000
_log = logging.getLogger(__name__)


class AfterAnswer(Protocol):
    """What the handler tells that it has its answer."""

    def invoked_done(self) -> None:
        """The handler is done, in good or bad: to be called in a ``finally``, once an invocation. Never raises."""
        ...


class NotRegistered(Exception):  # noqa: N818  (named for what it means)
    """The Extensions API is not there, or did not take the registration."""


def after_answer(environment: Mapping[str, str], flush: Callable[[], object], clock: Clock) -> AfterAnswer:
    """The extension, registered and started; where there is none to be had, what flushes inline, and a log line.

    To be called while the environment starts, not during an invocation: the API takes no registration later.
    """
    address = environment.get("AWS_LAMBDA_RUNTIME_API", "")
    try:
        extension = Extension(address, flush, clock)
        extension.start()
    except NotRegistered as error:
        _log.warning("no extension (%s): audit records are sent before the answer", error)
        return Inline(flush)
    return extension


class Inline:
    """Flushes at the end of the handler: the caller waits for it."""

    def __init__(self, flush: Callable[[], object]) -> None:
        self._flush = flush

    def invoked_done(self) -> None:
        """Flush now."""
        _safely(self._flush)


class Extension:
    """Waits for each invocation to have its answer, then flushes."""

    def __init__(self, address: str, flush: Callable[[], object], clock: Clock) -> None:
        """``address`` is ``AWS_LAMBDA_RUNTIME_API``, ``host:port``; ``clock`` tells how long an invocation has left."""
        self._address = address
        self._flush = flush
        self._clock = clock
        self._done = Semaphore(0)
        self._id = ""
        self._thread = Thread(target=self._run, name=NAME, daemon=True)
        self._is_over = False

    def start(self) -> None:
        """Register and begin to wait for events. Raises `NotRegistered`."""
        if not self._address:
            raise NotRegistered("AWS_LAMBDA_RUNTIME_API is not set")
        try:
            self._id = self._register()
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise NotRegistered(f"the Extensions API does not answer: {type(error).__name__}") from error
        self._thread.start()

    def invoked_done(self) -> None:
        """The handler is done: the thread flushes, or this does when the thread has ended."""
        if self._is_over:
            _safely(self._flush)
        else:
            self._done.release()

    def join(self) -> None:
        """Wait for the thread's end, which only a broken Extensions API brings about."""
        self._thread.join()

    def _register(self) -> str:
        connection = http.client.HTTPConnection(self._address, timeout=REGISTER_S)
        try:
            # Internal extensions may ask for INVOKE alone: Lambda refuses SHUTDOWN.
            body = json.dumps({"events": ["INVOKE"]})
            headers = {"Lambda-Extension-Name": NAME, "Content-Type": "application/json"}
            connection.request("POST", f"{API}/register", body, headers)
            answer = connection.getresponse()
            answer.read(_MAX_ANSWER)
            identifier = answer.getheader("Lambda-Extension-Identifier")
            if answer.status != _OK or not identifier:
                raise NotRegistered(f"the Extensions API answered {answer.status}")
            return identifier
        finally:
            connection.close()

    def _run(self) -> None:
        try:
            while True:
                left_s = self._next()
                # Past its deadline Lambda ends the environment; until then the handler says when it is done.
                self._done.acquire(timeout=left_s)
                _safely(self._flush)
        except Exception as error:  # noqa: BLE001  (a thread that ended in silence would keep records for ever)
            self._is_over = True
            _log.error("the extension has ended (%s): audit records are sent before the answer", _said(error))
            # A handler that was done meanwhile has told the semaphore only.
            _safely(self._flush)

    def _next(self) -> float:
        """Wait for an invocation to begin; how many seconds it has. Raises when the API is broken."""
        for _ in range(TRIES - 1):
            try:
                return self._wait()
            except OSError:
                # Whoever said to be done before the connection broke was of an invocation that is over.
                while self._done.acquire(blocking=False):
                    pass
        return self._wait()

    def _wait(self) -> float:
        connection = http.client.HTTPConnection(self._address)
        try:
            connection.request("GET", f"{API}/event/next", headers={"Lambda-Extension-Identifier": self._id})
            answer = connection.getresponse()
            body = answer.read(_MAX_ANSWER)
            if answer.status != _OK:
                raise NotRegistered(f"it answered {answer.status}")
            return self._left(json.loads(body))
        finally:
            connection.close()

    def _left(self, event: object) -> float:
        deadline_ms = event.get("deadlineMs") if isinstance(event, dict) else None
        if not isinstance(deadline_ms, int):
            return LONGEST_INVOCATION_S
        left_s = deadline_ms / 1_000 - self._clock.wall_ns() / 1_000_000_000
        return min(max(left_s, 0.0), LONGEST_INVOCATION_S)


def _safely(flush: Callable[[], object]) -> None:
    try:
        flush()
    except Exception as error:  # noqa: BLE001  (neither the answer nor the next invocation may suffer)
        _log.error("what follows the answer failed: %s", type(error).__name__)


def _said(error: Exception) -> str:
    return str(error) if isinstance(error, NotRegistered) else type(error).__name__
