"""What some files say, read again when one of them has changed.

While a file is missing, or cannot be used, there is nothing: what it said before does not count any more.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Generic, TypeVar

from hms_svc.core.ports import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hms_svc.core.ports import Clock

LOOK_EVERY_NS = 1_000_000_000
"""How long a change may go unseen."""
Content = TypeVar("Content")


class WatchedFiles(Generic[Content]):
    """The content of files, as ``read`` makes it of them. ``what`` they are called when one cannot be opened."""

    def __init__(self, what: str, paths: tuple[Path, ...], read: Callable[[], Content], clock: Clock) -> None:
        self._what = what
        self._paths = paths
        self._read = read
        self._clock = clock
        self._content: Content | None = None
        self._fault = ""
        self._signature: object = None
        self._looked_ns: int | None = None

    def content(self) -> Content:
        """What they say. Raises `StoreUnavailable` when they cannot be read or used."""
        now_ns = self._clock.monotonic_ns()
        if self._looked_ns is None or now_ns - self._looked_ns >= LOOK_EVERY_NS:
            self._looked_ns = now_ns
            self._look()
        if self._content is None:
            raise StoreUnavailable(self._fault)
        return self._content

    def _look(self) -> None:
        """Read the files if they are others than before. What is wrong with them is kept, to be said at every call."""
        try:
            signature = tuple((stat.st_mtime_ns, stat.st_size, stat.st_ino) for stat in map(os.stat, self._paths))
            if signature == self._signature:
                return
            self._content, self._signature = None, signature
            self._content = self._read()
        except StoreUnavailable as error:
            self._fault = f"{self._paths[0]}: {error}"
        except OSError as error:
            self._content, self._signature = None, None
            self._fault = f"the {self._what} {error.filename or self._paths[0]} cannot be read: {error.strerror}"
