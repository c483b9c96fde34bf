"""Where the facts of a request become a line of the record: the next link of the chain, handed to every sink."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from hms_svc.core.audit_record import metadata, render
from hms_svc.core.chain import seal
from hms_svc.core.ports import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hms_svc.core.chain import Head
    from hms_svc.core.entry import Entry
    from hms_svc.core.ports import AuditSink

LOG_EVERY_NS = 10_000_000_000
"""At most one log line in this time tells of lost records."""
_log = logging.getLogger(__name__)


class AuditLog:
    """The audit record of one gateway. Used from one thread.

    A line that at least one sink took is a link of the chain; one that none took is not, and the next record says
    how many were lost.
    """

    lost: int
    """Records since the start that at least one sink did not take."""
    head: Head
    """The last record that a sink took."""

    def __init__(self, *, sinks: Sequence[AuditSink], head: Head, version: str) -> None:
        self._sinks = tuple(sinks)
        self._metadata = metadata(version)
        self._logged_ns: int | None = None
        self.head = head
        self.lost = 0

    def begin(self, entry: Entry) -> None:
        """Write that a request is about to be forwarded, its outcome unknown: for routes with ``audit: required``.

        Raises `StoreUnavailable` when a sink did not take the record or cannot say that it is where it belongs, or
        when there is no sink. A record that was taken and is not where it belongs is a link of the chain and not lost.
        """
        if not self._sinks:
            raise StoreUnavailable("no audit sink is configured")
        failure = self._write(entry, ended_ns=None)
        if failure is not None:
            self.lost += 1
            raise StoreUnavailable(f"an audit sink did not take the record: {failure}") from failure
        for sink in self._sinks:
            sink.settle()

    def close(self, entry: Entry, *, ended_ns: int) -> None:
        """Write the record of a request that has ended, at ``ended_ns`` by the monotonic clock. Never raises."""
        if not self._sinks:
            return
        try:
            failure = self._write(entry, ended_ns=ended_ns)
        except Exception as error:  # noqa: BLE001  (the answer is on its way; a bug here must not take it back)
            failure = error
        if failure is not None:
            self.lost += 1
            self._tell(failure, ended_ns)

    def _write(self, entry: Entry, *, ended_ns: int | None) -> Exception | None:
        """Hand the record to every sink; what the first that failed raised."""
        before, after, uid = render(entry, self._metadata, ended_ns=ended_ns, lost=self.lost)
        line, head = seal(before, after, uid, self.head)
        failure: Exception | None = None
        for sink in self._sinks:
            try:
                sink.append(line)
            except Exception as error:  # noqa: BLE001  (whatever a sink raises, the others still get the line)
                failure = failure or error
            else:
                self.head = head
        return failure

    def _tell(self, failure: Exception, now_ns: int) -> None:
        if self._logged_ns is not None and now_ns - self._logged_ns < LOG_EVERY_NS:
            return
        self._logged_ns = now_ns
        why = str(failure) if isinstance(failure, StoreUnavailable) else type(failure).__name__
        _log.error("%d audit records lost so far: %s", self.lost, why)
