"""A small file that is replaced whole: whoever reads it sees all of a change or nothing."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path
from typing import TYPE_CHECKING

from hms_svc.local.line_file import sync_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

_PRIVATE = 0o600


def target_of(path: Path) -> Path:
    """The file that ``path`` leads to, through links: it is what is replaced, and whoever opens it sees the change."""
    target = os.path.realpath(path)  # Path.resolve raises where links go round in a circle
    return Path(target) if target != os.path.abspath(path) else path  # noqa: PTH100  (keeps what is no link as named)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Writers of ``path``, one after the other, by a lock on a file beside it. Raises `OSError`."""
    fd = os.open(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _PRIVATE)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def replace_whole(path: Path, content: bytes) -> None:
    """Write beside, bring to disk, rename; ``path`` is no link. The file is for its owner only. Raises `OSError`."""
    beside = path.with_name(f"{path.name}.new")
    beside.unlink(missing_ok=True)
    fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _PRIVATE)
    with open(fd, "wb") as file:  # noqa: PTH123  (a descriptor, no path)
        file.write(content)
        file.flush()
        os.fsync(fd)
    beside.replace(path)
    sync_folder(path.parent)
