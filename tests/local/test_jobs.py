from __future__ import annotations

import asyncio
import stat
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from worlds import OwnedClock, run

from hms_svc.core.ports import Job, StoreUnavailable
from hms_svc.local.jobs import SqliteJobs, StoredJob

if TYPE_CHECKING:
    from pathlib import Path

EVENT = {"specversion": "1.0", "id": "1", "hmspath": "/claims", "data_base64": "ZG8gaXQ="}


class Queue:
    """A queue in a file, with a clock of the test's own."""

    def __init__(self, path: Path, **more: Any) -> None:
        self.clock = OwnedClock()
        self.jobs = SqliteJobs(path, now_ns=self.clock.wall_ns, **more)

    def put(self, job_id: str, queue: str = "q", **event: str) -> None:
        run(self.jobs.put(Job(job_id, queue, {"id": job_id, **event})))

    def take(self, lease_s: float = 60, queue: str | None = None) -> str | None:
        job: StoredJob | None = run(self.jobs.take(lease_s=lease_s, queue=queue))
        return job.id if job else None

    def ids(self) -> list[str]:
        return [job.id for job in run(self.jobs.list())]


@pytest.fixture
def queue(tmp_path: Path) -> Queue:
    return Queue(tmp_path / "state" / "jobs.sqlite")


def test_a_job_comes_back_as_it_was_put(queue: Queue) -> None:
    run(queue.jobs.put(Job("1", "q", EVENT)))
    taken = run(queue.jobs.take(lease_s=60))
    assert taken == StoredJob("1", "q", EVENT, queue.clock.ns, queue.clock.ns + 60 * 10**9, 1)


def test_a_list_shows_jobs_without_their_bodies(queue: Queue) -> None:
    run(queue.jobs.put(Job("1", "q", EVENT)))
    (job,) = run(queue.jobs.list())
    assert dict(job.message) == {name: value for name, value in EVENT.items() if name != "data_base64"}
    assert (job.leased_until_ns, job.taken) == (0, 0)


def test_jobs_are_taken_in_the_order_in_which_they_came_each_once(queue: Queue) -> None:
    for job_id in ("b", "a", "c"):
        queue.put(job_id)
    assert [queue.take() for _ in range(4)] == ["b", "a", "c", None]
    assert queue.ids() == ["b", "a", "c"]


def test_a_queue_of_many_names_gives_what_is_asked_for(queue: Queue) -> None:
    queue.put("1", "mail")
    queue.put("2", "claims")
    assert [queue.take(queue="claims"), queue.take(queue="claims"), queue.take()] == ["2", None, "1"]


def test_a_job_whose_worker_died_waits_again_when_the_lease_is_over(queue: Queue) -> None:
    queue.put("1")
    assert queue.take(lease_s=60) == "1"
    queue.clock.advance(59)
    assert queue.take() is None
    queue.clock.advance(1)
    assert queue.take() == "1"
    assert run(queue.jobs.list())[0].taken == 2


def test_a_job_that_is_done_is_gone(queue: Queue) -> None:
    queue.put("1")
    assert run(queue.jobs.done("1")) is True
    assert run(queue.jobs.done("1")) is False
    assert queue.ids() == []


def test_looking_at_a_queue_that_is_not_there_makes_no_file(queue: Queue, tmp_path: Path) -> None:
    assert queue.ids() == []
    assert queue.take() is None
    assert run(queue.jobs.done("1")) is False
    assert list(tmp_path.iterdir()) == []


def test_the_file_is_its_owners_only(queue: Queue, tmp_path: Path) -> None:
    queue.put("1")
    file = tmp_path / "state" / "jobs.sqlite"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_full_queue_refuses_and_takes_again_when_there_is_room(tmp_path: Path) -> None:
    queue = Queue(tmp_path / "jobs.sqlite", max_bytes=100_000)
    queue.put("1", data_base64="A" * 60_000)
    with pytest.raises(StoreUnavailable, match="full"):
        queue.put("2", data_base64="A" * 60_000)
    assert queue.ids() == ["1"]
    run(queue.jobs.done("1"))
    queue.put("2", data_base64="A" * 60_000)
    assert queue.ids() == ["2"]


def test_one_id_is_stored_once(queue: Queue) -> None:
    queue.put("1")
    with pytest.raises(StoreUnavailable):
        queue.put("1")


def test_a_folder_that_cannot_be_made_is_a_store_that_is_down(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(StoreUnavailable, match=r"jobs\.sqlite"):
        Queue(tmp_path / "file" / "jobs.sqlite").put("1")


def test_many_at_once_are_all_stored(queue: Queue) -> None:
    async def put_all() -> None:
        await asyncio.gather(*(queue.jobs.put(Job(str(number), "q", {})) for number in range(50)))

    asyncio.run(put_all())
    assert sorted(queue.ids()) == sorted(str(number) for number in range(50))


def test_what_was_put_is_there_after_a_kill(tmp_path: Path) -> None:
    program = """
import asyncio, os, pathlib, signal, sys
from hms_svc.core.ports import Job
from hms_svc.local.jobs import SqliteJobs
async def main():
    jobs = SqliteJobs(pathlib.Path(sys.argv[1]))
    for number in range(5):
        await jobs.put(Job(str(number), "q", {}))
    os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(main())
"""
    path = tmp_path / "jobs.sqlite"
    done = subprocess.run([sys.executable, "-c", program, str(path)], timeout=60, check=False)
    assert done.returncode == -9
    assert Queue(path).ids() == ["0", "1", "2", "3", "4"]


def test_two_processes_never_take_the_same_job(tmp_path: Path) -> None:
    program = """
import asyncio, pathlib, sys
from hms_svc.local.jobs import SqliteJobs
async def main():
    jobs = SqliteJobs(pathlib.Path(sys.argv[1]))
    while (job := await jobs.take(lease_s=600)) is not None:
        print(job.id)
asyncio.run(main())
"""
    path = tmp_path / "jobs.sqlite"
    queue = Queue(path)
    for number in range(30):
        queue.put(str(number))
    workers = [
        subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    taken = [worker.communicate(timeout=60)[0].split() for worker in workers]
    assert sorted(taken[0] + taken[1], key=int) == [str(number) for number in range(30)]
