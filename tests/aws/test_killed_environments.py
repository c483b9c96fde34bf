"""Limits that processes share which are stopped and killed at any moment, on DynamoDB Local."""

from __future__ import annotations

import os
import random
import signal
from multiprocessing import connection, get_context
from typing import TYPE_CHECKING

import pytest
from aws.dynamodb_local import local_table, needed
from aws.limit_environment import LIMITS, noted, work
from fakes_limits import excess

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.context import SpawnProcess
    from pathlib import Path

pytestmark = needed
PROCESSES, STALLS, KILLS = 8, 40, 8


class Environments:
    """Processes that decide on the same buckets, and the hand that stops and kills them."""

    def __init__(self, table: str, notes: Path) -> None:
        self._table = table
        self._notes = notes
        self._chance = random.Random(1)  # noqa: S311  (the same blows each time)
        self._living: dict[SpawnProcess, connection.Connection] = {}

    def start(self, processes: int) -> None:
        began = []
        for _ in range(processes):
            mine, its = get_context("spawn").Pipe()
            process = get_context("spawn").Process(target=work, args=(self._table, self._notes, its), daemon=True)
            process.start()
            its.close()
            self._living[process] = mine
            began.append(mine)
        for mine in began:
            assert mine.recv() == "ready"

    def run(self) -> None:
        """Leave them at work for a moment, at least as long as a call takes; none ends by itself."""
        assert not connection.wait([it.sentinel for it in self._living], timeout=self._chance.uniform(0.01, 0.1))

    def stall(self) -> None:
        """Stop some, at whatever they are doing, while the others go on."""
        stopped = self._chance.sample(list(self._living), self._chance.randint(1, 3))
        for it in stopped:
            os.kill(it.pid or 0, signal.SIGSTOP)
        for it in stopped:
            self.run()
            os.kill(it.pid or 0, signal.SIGCONT)

    def kill(self, processes: int) -> None:
        for it in self._chance.sample(list(self._living), processes):
            it.kill()
            it.join()
            self._living.pop(it).close()

    def close(self) -> None:
        self.kill(len(self._living))


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    file = tmp_path / "notes"
    file.touch()
    return file


@pytest.fixture
def environments(notes: Path) -> Iterator[Environments]:
    with local_table("key") as table:
        them = Environments(table, notes)
        try:
            them.start(PROCESSES)
            yield them
        finally:
            them.close()


def test_environments_that_stall_and_die_at_any_moment_never_admit_more_than_the_limit(
    environments: Environments, notes: Path
) -> None:
    for _ in range(KILLS // 2):
        for _ in range(STALLS // KILLS * 2):
            environments.run()
            environments.stall()
        environments.kill(2)
        environments.start(2)
    environments.close()
    admitted = noted(notes)
    assert len({it.process for it in admitted}) > PROCESSES
    for key, limit in LIMITS.items():
        calls = [(it.at_ns, 1) for it in admitted if it.key == key]
        print(f"\n{key}: {len(calls)} admitted in {(max(calls)[0] - min(calls)[0]) / 1e9:.1f} s")  # noqa: T201
        assert len(calls) > limit.burst
        assert excess(calls, limit) == 0
