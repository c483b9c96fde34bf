"""The routes of a warm environment: which table is in force, when to look for another, and what to do if it is bad.

A request is served by the table that is there. One that comes when the table is older than its age has a look begun
beside it (`start` says where), so the change is there for the next. Only an environment without any table reads while
a request waits, and not more often than every `RETRY_S`.
"""

from __future__ import annotations

import logging
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

from hms_svc.core.moment import Moment, moment
from hms_svc.core.routes import RoutesInvalid

if TYPE_CHECKING:
    from collections.abc import Callable

    from hms_svc.core.match import RouteTable
    from hms_svc.core.ports import Clock

RETRY_S = 5
"""Without a table: how long between two attempts to get one."""
REBUILD_S = 300
"""How long a table that did not load is left alone as long as it has not changed: building one can cost seconds."""
LOST_S = 60
"""A refresh that was begun this long ago and has not ended is begun again: its thread may have died."""
FAILED = "RoutesRefreshFailed"
"""The metric."""
_PROBLEMS_LOGGED = 3
_log = logging.getLogger(__name__)


class _Bad(NamedTuple):
    """A table that did not load."""

    mark: str
    cause: str
    since: Moment


class FreshRoutes:
    """The table in force in one environment. Safe to use from several threads."""

    def __init__(
        self,
        read: Callable[[str | None], tuple[bytes, str] | None],
        build: Callable[[bytes], RouteTable],
        *,
        clock: Clock,
        max_age_s: float,
        start: Callable[[Callable[[], None]], None],
        count: Callable[[str], None],
    ) -> None:
        """Reads nothing yet.

        ``read`` is given the mark of the table in force and returns a routes file and its mark, or None when it is
        still that one. ``build`` makes the table. Whatever they raise is a refresh that failed. ``start`` has a
        function run soon, off the request's path: on a thread, or after the answer. ``count`` adds 1 to a metric.
        """
        self._read, self._build = read, build
        self._clock, self._max_age_s = clock, max_age_s
        self._start, self._count = start, count
        self._one_at_a_time = Lock()
        self._table: RouteTable | None = None
        self._mark: str | None = None
        self._bad: _Bad | None = None
        self._good: Moment | None = None
        self._tried: Moment | None = None
        self._begun: Moment | None = None
        self._said = ""

    @property
    def fault(self) -> str:
        """Why the last look failed; empty if it did not. For the record and the log, not for callers."""
        return self._said

    @property
    def age_s(self) -> float | None:
        """How long ago the table in force was last known to be the one in the store, seconds; None: no table."""
        return None if self._good is None else self._since(self._good)

    def current(self) -> RouteTable | None:
        """The table for a request that has come: in force, if need be read now; None if none can be had (503)."""
        if self._table is None:
            if self._tried is None or self._since(self._tried) >= RETRY_S:
                self.refresh()
        elif self.due():
            self._begun = self._now()
            try:
                self._start(self.refresh)
            except Exception as error:  # noqa: BLE001  (no thread to be had: the request goes on all the same)
                self._failed(f"the refresh could not be started: {type(error).__name__}")
                self._begun = None
        return self._table

    def due(self) -> bool:
        """Whether it is time for a look that nobody has begun: the table is past its age, or there is none."""
        if self._begun is not None and self._since(self._begun) < LOST_S:
            return False
        return self._tried is None or self._since(self._tried) >= self._max_age_s

    def refresh(self) -> None:
        """Look now, and put what is there in force if it is good. Never raises; one look at a time.

        Also for a door that wants it at a moment of its own choosing: after an answer, or when an environment is
        restored from a snapshot, whose clocks cannot tell how old it is.
        """
        tried = self._tried
        if not self._one_at_a_time.acquire(blocking=self._table is None):
            return
        try:
            if self._tried is tried:  # else another thread has looked while this one waited
                self._look()
        finally:
            self._tried, self._begun = self._now(), None
            self._one_at_a_time.release()

    def _look(self) -> None:
        bad = self._bad if self._table is not None else None
        if bad is not None and self._since(bad.since) >= REBUILD_S:
            bad = None
        begun = self._now()
        try:
            found = self._read(bad.mark if bad else self._mark)
        except Exception as error:  # noqa: BLE001  (whatever it is, the routes in force stay)
            self._failed(_cause(error))
            return
        if found is None and bad is not None:
            self._failed(bad.cause)
            return
        if found is not None:
            data, mark = found
            if mark != self._mark:
                try:
                    table = self._build(data)
                except Exception as error:  # noqa: BLE001  (as above)
                    self._bad = _Bad(mark, _cause(error), begun)
                    self._failed(self._bad.cause)
                    return
                self._table, self._mark = table, mark
                _log.info("routes in force: %d routes, sha256 %s", len(table.config.routes), table.config.sha256)
        self._good, self._bad = begun, None
        if self._said:
            _log.info("the routes can be read again")
            self._said = ""

    def _failed(self, cause: str) -> None:
        self._count(FAILED)
        if cause != self._said:
            self._said = cause
            stay = "there are none" if self._table is None else f"{self._table.config.sha256[:12]} stay in force"
            _log.error("no new routes, %s: %s", stay, cause)

    def _now(self) -> Moment:
        return moment(self._clock)

    def _since(self, earlier: Moment) -> float:
        return self._now().since(earlier) / 1e9


def _cause(error: Exception) -> str:
    if isinstance(error, RoutesInvalid):
        first = "; ".join(str(problem) for problem in error.problems[:_PROBLEMS_LOGGED])
        more = len(error.problems) - _PROBLEMS_LOGGED
        return f"{first}; and {more} more problems" if more > 0 else first
    return f"{error}" if type(error).__module__.startswith("hms_svc.") else f"{type(error).__name__}: {error}"
