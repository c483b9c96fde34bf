"""Jobs in an SQLite file: on disk before `SqliteJobs.put` returns, shared by processes on one machine.

A job that is taken is out of sight for the time of its lease; who has not said done by then is taken for dead, and the
job is there again. So a job is done at least once, and workers must bear a second time.
"""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from hms_svc.core.ports import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from hms_svc.core.ports import Job

T = TypeVar("T")

MAX_BYTES = 1_000_000_000
"""Of the file. A full queue refuses new jobs, which the caller learns as a 503."""
_PAGE = 4_096
_WAIT_S = 5.0
"""For another process that is writing."""
_PRIVATE = 0o600
_TABLE = """
CREATE TABLE IF NOT EXISTS jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    queue TEXT NOT NULL,
    event TEXT NOT NULL,
    data TEXT,
    stored_ns INTEGER NOT NULL,
    leased_until_ns INTEGER NOT NULL DEFAULT 0,
    taken INTEGER NOT NULL DEFAULT 0
)
"""
_COLUMNS = "id, queue, event, stored_ns, leased_until_ns, taken"


@dataclass(frozen=True, slots=True)
class StoredJob:
    """A job in the file. Times are nanoseconds since 1970."""

    id: str
    queue: str
    message: Mapping[str, Any]
    """The CloudEvents event; in a list without its ``data_base64``."""
    stored_ns: int
    leased_until_ns: int
    """Until then nobody else gets it; 0 when nobody ever took it."""
    taken: int
    """How many times it was taken."""


class SqliteJobs:
    """A `JobQueue` over ``path``, and what workers need. The file is made by the first job."""

    def __init__(self, path: Path, *, max_bytes: int = MAX_BYTES, now_ns: Callable[[], int] = time.time_ns) -> None:
        self._path = path
        self._max_pages = max(max_bytes // _PAGE, 1)
        self._now_ns = now_ns
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="hms-svc jobs")
        """One job at a time; started by the first."""

    async def put(self, job: Job) -> None:
        """Store the job for good. Raises `StoreUnavailable` if it was not stored."""
        event = {name: value for name, value in job.message.items() if name != "data_base64"}
        row = (job.id, job.queue, json.dumps(event), job.message.get("data_base64"), self._now_ns())

        def insert(database: sqlite3.Connection) -> None:
            database.execute("INSERT INTO jobs (id, queue, event, data, stored_ns) VALUES (?, ?, ?, ?, ?)", row)

        await self._run(insert)

    async def list(self, limit: int = 100) -> list[StoredJob]:
        """The oldest ``limit`` jobs, in the order in which they came. Raises `StoreUnavailable`."""

        def select(database: sqlite3.Connection) -> list[StoredJob]:
            rows = database.execute(f"SELECT {_COLUMNS} FROM jobs ORDER BY number LIMIT ?", (limit,))  # noqa: S608  (a constant)
            return [_stored(row) for row in rows]

        return await self._run(select) if self._path.exists() else []

    async def take(self, *, lease_s: float, queue: str | None = None) -> StoredJob | None:
        """The oldest job that nobody has, now this worker's for ``lease_s`` seconds; None when there is none.

        ``queue`` None: of any queue. Raises `StoreUnavailable`.
        """
        now_ns = self._now_ns()
        until_ns = now_ns + round(lease_s * 1e9)

        def lease(database: sqlite3.Connection) -> StoredJob | None:
            row = database.execute(
                f"SELECT {_COLUMNS}, number, data FROM jobs"  # noqa: S608  (a constant)
                " WHERE leased_until_ns <= ? AND (? IS NULL OR queue = ?) ORDER BY number LIMIT 1",
                (now_ns, queue, queue),
            ).fetchone()
            if row is None:
                return None
            *found, number, data = row
            database.execute(
                "UPDATE jobs SET leased_until_ns = ?, taken = taken + 1 WHERE number = ?", (until_ns, number)
            )
            job = _stored(found)
            message = job.message if data is None else {**job.message, "data_base64": data}
            return replace(job, message=message, leased_until_ns=until_ns, taken=job.taken + 1)

        return await self._run(lease) if self._path.exists() else None

    async def done(self, job_id: str) -> bool:
        """Remove a job; False when there is none with this id. Raises `StoreUnavailable`."""

        def delete(database: sqlite3.Connection) -> bool:
            return database.execute("DELETE FROM jobs WHERE id = ?", (job_id,)).rowcount > 0

        return self._path.exists() and await self._run(delete)

    async def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._write, work)

    def _write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """What ``work`` returns, once what it changed is on disk."""
        try:
            with closing(self._open()) as database:
                database.execute("BEGIN IMMEDIATE")
                try:
                    result = work(database)
                except BaseException:
                    database.execute("ROLLBACK")
                    raise
                database.execute("COMMIT")
                return result
        except (sqlite3.Error, OSError) as error:
            raise StoreUnavailable(f"{self._path}: {error}") from error

    def _open(self) -> sqlite3.Connection:
        """A connection in which every commit is on disk before it returns (WAL, synchronous=FULL)."""
        if not self._path.exists():
            self._path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(self._path, os.O_CREAT | os.O_CLOEXEC | os.O_RDWR, _PRIVATE))
        database = sqlite3.connect(self._path, timeout=_WAIT_S, isolation_level=None)
        try:
            database.execute(f"PRAGMA page_size = {_PAGE}")
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = FULL")
            database.execute(f"PRAGMA max_page_count = {self._max_pages}")
            database.execute(_TABLE)
        except BaseException:
            database.close()
            raise
        return database


def _stored(row: Sequence[Any]) -> StoredJob:
    job_id, queue, event, stored_ns, leased_until_ns, taken = row
    return StoredJob(job_id, queue, json.loads(event), stored_ns, leased_until_ns, taken)
