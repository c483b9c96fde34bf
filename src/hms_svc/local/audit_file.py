"""The audit record in a file of JSON lines, rotated by size; one chain through all of its files.

``audit.jsonl`` is written; ``audit.00000001.jsonl``, ``audit.00000002.jsonl`` … are full, in order.
"""

from __future__ import annotations

import logging
import re
from threading import Thread
from typing import TYPE_CHECKING

from hms_svc.core.chain import Head, head_of
from hms_svc.core.ports import StoreUnavailable
from hms_svc.local.line_file import LineFile, WriteLock, lines_backwards, sync_folder

if TYPE_CHECKING:
    from pathlib import Path

_log = logging.getLogger(__name__)


class AuditFile:
    """An `AuditSink` over files.

    What was appended outlives the gateway's end by SIGKILL, not the loss of power: files are brought to disk when
    they are full and when the sink is closed.
    """

    torn: int
    """Bytes of an incomplete last line found at the start and moved to ``NAME.torn``."""

    def __init__(self, path: Path, *, max_bytes: int = 100_000_000, keep: int = 0) -> None:
        """Open ``path`` for this gateway alone; its folder is created.

        A file is full when the next line would take it over ``max_bytes``. The ``keep`` newest full files stay, all
        for 0. Raises `StoreUnavailable` when the file cannot be had.
        """
        if max_bytes < 1 or keep < 0:
            raise ValueError(f"max_bytes is 1 or more and keep 0 or more, not {max_bytes} and {keep}")
        self._path = path
        self._max_bytes = self._full_at = max_bytes
        self._keep = keep
        self._full_name = re.compile(re.escape(path.stem) + r"\.([0-9]{8,})" + re.escape(path.suffix))
        self._settling: list[Thread] = []
        self._is_closed = False
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = WriteLock(path.with_name(f"{path.name}.lock"))
        except OSError as error:
            raise self._refused("cannot be opened", error) from error
        self._file: LineFile | None = None
        try:
            self._file = LineFile(path)
        except OSError as error:
            self._lock.release()
            raise self._refused("cannot be opened", error) from error
        self.torn = self._file.torn
        if self.torn:
            _log.warning("%s ended in an incomplete line of %d bytes, moved to %s.torn", path, self.torn, path.name)

    def head(self) -> Head | None:
        """The last good record, from the newest file that has one. Raises `StoreUnavailable`."""
        try:
            for path in (self._path, *(full for _, full in reversed(self._full()))):
                for line in lines_backwards(path) if path.exists() else ():
                    head = head_of(line)
                    if head:
                        return head
        except OSError as error:
            raise self._refused("cannot be read", error) from error
        return None

    def append(self, line: bytes) -> None:
        """Write one record. Raises `StoreUnavailable` when it was not written; then nothing of it is in the file."""
        if self._is_closed:
            raise StoreUnavailable(f"{self._path} is closed")
        try:
            if self._file is not None and self._file.size and self._file.size + len(line) > self._full_at:
                self._rotate(self._file)
            if self._file is None:
                self._file = LineFile(self._path)
            self._file.append(line)
        except OSError as error:
            raise self._refused("cannot be written", error) from error

    def settle(self) -> None:
        """Nothing: what was appended is in the file."""

    def _rotate(self, file: LineFile) -> None:
        """Give the full file its number, and bring it to disk without holding up whoever appends.

        A file that cannot be renamed is written on: too large is better than lost.
        """
        full = self._full()
        number = full[-1][0] + 1 if full else 1
        try:
            self._path.rename(self._path.with_name(f"{self._path.stem}.{number:08}{self._path.suffix}"))
        except OSError as error:
            _log.warning("%s is full and cannot be renamed: %s", self._path, error.strerror)
            self._full_at = file.size + self._max_bytes
            return
        self._full_at = self._max_bytes
        self._file = None
        settle = Thread(target=self._settle, args=(file,), name="audit-settle")
        self._settling = [*(thread for thread in self._settling if thread.is_alive()), settle]
        settle.start()
        if self._keep:
            for _, old in full[: max(0, len(full) + 1 - self._keep)]:
                old.unlink(missing_ok=True)

    def _settle(self, file: LineFile) -> None:
        try:
            file.sync()
            sync_folder(self._path.parent)
        except OSError as error:
            _log.warning("a full file of %s may not be on disk: %s", self._path, error.strerror)
        finally:
            file.close()

    def _full(self) -> list[tuple[int, Path]]:
        """The full files with their numbers, oldest first."""
        folder = self._path.parent.iterdir()
        return sorted((int(match[1]), path) for path in folder if (match := self._full_name.fullmatch(path.name)))

    def _refused(self, what: str, error: OSError) -> StoreUnavailable:
        return StoreUnavailable(f"audit file {self._path} {what}: {error.strerror or error}")

    def close(self) -> None:
        """Bring the file to disk and let another gateway have it. Safe to call twice."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._file is not None:
            self._settle(self._file)
            self._file = None
        for thread in self._settling:
            thread.join()
        self._lock.release()
