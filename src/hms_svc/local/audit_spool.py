"""Lines on their way to somewhere else, kept on disk in order until they have arrived.

A folder of numbered segments, and a cursor that says how far they were delivered. A line is in a segment before
`Spool.append` returns. The cursor moves after a delivery, so a crash between the two delivers again: at least once,
never out of order. One thread appends, another reads and advances.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any

from hms_svc.core.chain import Head, head_of
from hms_svc.core.ports import StoreUnavailable
from hms_svc.local.line_file import LineFile, WriteLock, lines_backwards, sync_folder

if TYPE_CHECKING:
    from pathlib import Path

_SEGMENT_BYTES = 16_000_000
_BLOCK = 1_000_000


@dataclass(frozen=True, slots=True)
class Batch:
    """Lines that are next."""

    data: bytes
    lines: int
    segment: int
    end: int
    """Where in the segment the next line begins."""


class Spool:
    """The lines that wait. On disk they take at most ``max_bytes`` and one segment of lines already delivered."""

    torn: int
    """Bytes of an incomplete last line found at the start and moved to ``NAME.torn``."""

    def __init__(self, folder: Path, *, max_bytes: int, segment_bytes: int = _SEGMENT_BYTES) -> None:
        """Open ``folder`` for this process alone; it is created. Raises `StoreUnavailable` when it cannot be had."""
        self._folder = folder
        self._max_bytes = max_bytes
        self._segment_bytes = segment_bytes
        self._lock = Lock()
        self._is_closed = False
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._held = WriteLock(folder / "spool.lock")
        except OSError as error:
            raise self._refused("cannot be opened", error) from error
        try:
            self._open()
        except OSError as error:
            self._held.release()
            raise self._refused("cannot be opened", error) from error

    def _open(self) -> None:
        self._segment, self._offset, self._delivered = self._read_cursor()
        numbers = self._segments()
        newest = numbers[-1] if numbers else max(1, self._segment)
        self._newest = newest
        self._file = LineFile(self._path(newest))
        self.torn = self._file.torn
        if self._segment not in numbers:
            self._segment, self._offset = (numbers[0] if numbers else newest), 0
        self._offset = min(self._offset, self._path(self._segment).stat().st_size)
        self.pending, self._waiting = self._count()

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:08}.ndjson"

    def _segments(self) -> list[int]:
        return sorted(int(path.stem) for path in self._folder.glob("*.ndjson") if path.stem.isdecimal())

    def _read_cursor(self) -> tuple[int, int, Head | None]:
        """Where to go on; the beginning when the cursor is missing or no good: rather twice than not at all."""
        try:
            cursor: dict[str, Any] = json.loads((self._folder / "cursor.json").read_bytes())
            head = Head(**cursor["head"]) if cursor["head"] else None
            return int(cursor["segment"]), int(cursor["offset"]), head
        except (FileNotFoundError, ValueError, LookupError, TypeError):
            return 0, 0, None

    def _count(self) -> tuple[int, int]:
        """Lines and bytes that wait."""
        lines = size = 0
        for number in self._segments():
            if number < self._segment:
                continue
            with self._path(number).open("rb") as file:
                file.seek(self._offset if number == self._segment else 0)
                while block := file.read(_BLOCK):
                    lines += block.count(b"\n")
                    size += len(block)
        return lines, size

    def head(self) -> Head | None:
        """The last good record that was appended, delivered or not. Raises `StoreUnavailable`."""
        try:
            for number in reversed(self._segments()):
                for line in lines_backwards(self._path(number)):
                    head = head_of(line)
                    if head:
                        return head
        except OSError as error:
            raise self._refused("cannot be read", error) from error
        return self._delivered

    def append(self, line: bytes) -> None:
        """Keep ``line``, complete with its newline. Raises `StoreUnavailable` when it was not kept."""
        if self._is_closed:
            raise StoreUnavailable(f"{self._folder} is closed")
        if self._waiting + len(line) > self._max_bytes:
            raise StoreUnavailable(f"{self._folder} is full: {self.pending} lines wait for delivery")
        try:
            if self._file.size and self._file.size + len(line) > self._segment_bytes:
                following = LineFile(self._path(self._newest + 1))
                with self._lock:
                    finished, self._file = self._file, following
                    self._newest += 1
                finished.close()
            self._file.append(line)
        except OSError as error:
            raise self._refused("cannot be written", error) from error
        with self._lock:
            self.pending += 1
            self._waiting += len(line)

    def batch(self, *, max_lines: int, max_bytes: int) -> Batch | None:
        """The next lines, at least one and at most so many lines and bytes; None when none waits.

        A line longer than ``max_bytes`` is a batch of its own. Raises `StoreUnavailable`.
        """
        with self._lock:
            if not self.pending:
                return None
            newest, newest_size = self._newest, self._file.size
        try:
            while True:
                path = self._path(self._segment)
                end = newest_size if self._segment == newest else path.stat().st_size
                if self._offset < end:
                    return self._read(path, end, max_lines, max_bytes)
                if self._segment == newest:
                    return None
                self._segment, self._offset = self._following(), 0
        except OSError as error:
            raise self._refused("cannot be read", error) from error

    def _following(self) -> int:
        return min(number for number in self._segments() if number > self._segment)

    def _read(self, path: Path, end: int, max_lines: int, max_bytes: int) -> Batch:
        with path.open("rb") as file:
            file.seek(self._offset)
            data = file.read(min(max_bytes, end - self._offset))
            if b"\n" not in data:
                data += file.readline()
        lines = data[: data.rfind(b"\n") + 1].split(b"\n", max_lines)
        taken = lines[:max_lines] if len(lines) > max_lines else lines[:-1]
        data = b"\n".join((*taken, b""))
        return Batch(data, len(taken), self._segment, self._offset + len(data))

    def advance(self, batch: Batch) -> None:
        """``batch`` has arrived: never hand it out again. Raises `StoreUnavailable` when that could not be noted."""
        head = head_of(batch.data[batch.data.rfind(b"\n", 0, -1) + 1 :]) or self._delivered
        cursor = {"segment": batch.segment, "offset": batch.end, "head": head._asdict() if head else None}
        try:
            fresh = self._folder / "cursor.new"
            with fresh.open("w", encoding="utf-8") as file:
                json.dump(cursor, file)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self._folder / "cursor.json")
            sync_folder(self._folder)
            for number in self._segments():
                if number < batch.segment:
                    self._path(number).unlink()
        except OSError as error:
            raise self._refused("cannot be written", error) from error
        finally:
            self._segment, self._offset, self._delivered = batch.segment, batch.end, head
            with self._lock:
                self.pending -= batch.lines
                self._waiting -= len(batch.data)

    def _refused(self, what: str, error: OSError) -> StoreUnavailable:
        return StoreUnavailable(f"audit spool {self._folder} {what}: {error.strerror or error}")

    def close(self) -> None:
        """Bring what waits to disk and let another process have the folder. Safe to call twice."""
        if self._is_closed:
            return
        self._is_closed = True
        with suppress(OSError):
            self._file.sync()
        self._file.close()
        self._held.release()
