"""What every `JobQueue` does, whichever adapter it is. A new adapter is one more line in `QUEUES`."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import pytest
from worlds import run

from hms_svc.core.ports import Job, JobQueue, StoreUnavailable
from hms_svc.local.jobs import SqliteJobs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Make: TypeAlias = "Callable[[Path], JobQueue]"


def sqlite(folder: Path) -> SqliteJobs:
    return SqliteJobs(folder / "jobs.sqlite")


def sqlite_broken(folder: Path) -> SqliteJobs:
    (folder / "jobs.sqlite").write_bytes(b"no database, but some other file " * 100)
    return sqlite(folder)


QUEUES: dict[str, tuple[Make, Make]] = {"sqlite": (sqlite, sqlite_broken)}
"""Each with one that is down."""

pytestmark = pytest.mark.parametrize(("make", "make_down"), QUEUES.values(), ids=QUEUES.keys())


def test_a_job_is_taken(make: Make, make_down: Make, tmp_path: Path) -> None:
    assert run(make(tmp_path).put(Job("1", "q", {"id": "1", "data_base64": "AA=="}))) is None


def test_a_large_job_is_taken(make: Make, make_down: Make, tmp_path: Path) -> None:
    assert run(make(tmp_path).put(Job("1", "q", {"id": "1", "data_base64": "A" * 200_000}))) is None


def test_a_queue_that_is_down_says_so(make: Make, make_down: Make, tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable):
        run(make_down(tmp_path).put(Job("1", "q", {"id": "1"})))
