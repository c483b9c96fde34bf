"""The audit record in the function's log: for a trial, and for accounts that collect logs as their record."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hms_svc.core.ports import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable


class LogAudit:
    """An `AuditSink` that writes each record as a line of the log when it is appended."""

    def __init__(self, emit: Callable[[str], object]) -> None:
        """``emit`` writes one line."""
        self._emit = emit
        self._is_closed = False

    def append(self, line: bytes) -> None:
        """Write one record. Raises `StoreUnavailable` when it could not be written."""
        if self._is_closed:
            raise StoreUnavailable("the audit log is closed")
        try:
            self._emit(line.decode().rstrip("\n"))
        except OSError as error:
            raise StoreUnavailable(f"the log cannot be written: {type(error).__name__}") from error

    def settle(self) -> None:
        """Nothing: a line that was written is Lambda's to keep."""

    def flush(self) -> None:
        """Nothing is kept back."""

    def close(self) -> None:
        """Take no more."""
        self._is_closed = True
