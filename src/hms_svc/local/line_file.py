"""A file that grows by whole lines only, whatever happens to the process that writes it.

A line is handed to the kernel by one write before `LineFile.append` returns, so ending the process, even by SIGKILL,
loses nothing that was appended. Losing power can lose what the kernel had not written yet; `LineFile.sync` waits for
that. What an interrupted write left behind, a last line without its newline, is moved to a file beside.
"""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING

from hms_svc.core.ports import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_BLOCK = 65_536
_PRIVATE = 0o600


class LineFile:
    """One file, opened for appending."""

    path: Path
    size: int
    """Bytes of whole lines in it."""
    torn: int
    """Bytes of a torn last line that were moved to ``NAME.torn`` when it was opened."""

    def __init__(self, path: Path) -> None:
        """Open or create ``path``. Raises `OSError`."""
        self.path = path
        self._fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, _PRIVATE)
        self._is_dirty = False
        try:
            self.size, self.torn = self._repair()
        except OSError:
            os.close(self._fd)
            raise

    def _repair(self) -> tuple[int, int]:
        size = os.fstat(self._fd).st_size
        tail = b""
        end = size
        while end and b"\n" not in tail:
            start = max(0, end - _BLOCK)
            tail = os.pread(self._fd, end - start, start) + tail
            end = start
        torn = tail[tail.rfind(b"\n") + 1 :]
        if torn:
            with self.path.with_name(f"{self.path.name}.torn").open("ab") as beside:
                beside.write(torn + b"\n")
                beside.flush()
                os.fsync(beside.fileno())
            os.ftruncate(self._fd, size - len(torn))
        return size - len(torn), len(torn)

    def append(self, line: bytes) -> None:
        """Write ``line``, all of it or nothing. Raises `OSError`."""
        if self._is_dirty:
            self._cut_back()
        try:
            rest = line
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        except OSError:
            self._is_dirty = True
            self._cut_back()
            raise
        self.size += len(line)

    def _cut_back(self) -> None:
        os.ftruncate(self._fd, self.size)
        self._is_dirty = False

    def sync(self) -> None:
        """Wait until the file is on its disk. Raises `OSError`."""
        os.fsync(self._fd)

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._fd)


class WriteLock:
    """The right to write here, held by one process at a time; it goes with the process that holds it."""

    def __init__(self, path: Path) -> None:
        """Take the lock on ``path``, which is created. Raises `StoreUnavailable` when another has it, and `OSError`."""
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _PRIVATE)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._fd)
            raise StoreUnavailable(f"{path.parent / path.stem} is in use by another gateway") from error
        except OSError:
            os.close(self._fd)
            raise

    def release(self) -> None:
        """Let another process write."""
        os.close(self._fd)


def lines_backwards(path: Path) -> Iterator[bytes]:
    """The whole lines of ``path`` with their newlines, last one first. Raises `OSError`."""
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        tail = b""
        while end:
            start = max(0, end - _BLOCK)
            file.seek(start)
            first, *rest = (file.read(end - start) + tail).split(b"\n")
            yield from (line + b"\n" for line in reversed(rest[:-1]))
            tail, end = first + b"\n" if rest else first, start
        if tail.endswith(b"\n"):
            yield tail


def sync_folder(path: Path) -> None:
    """Wait until the names in the folder ``path`` are on its disk. Raises `OSError`."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
