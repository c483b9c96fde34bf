from __future__ import annotations

import asyncio
import threading
from functools import partial

import pytest

from hms_svc.local.own_thread import OwnThread


def test_work_is_done_in_order_on_one_thread_and_all_of_it_before_it_is_closed() -> None:
    done: list[tuple[int, int]] = []

    def note(number: int) -> None:
        done.append((number, threading.get_ident()))

    async def work() -> None:
        own = OwnThread("test")
        for number in range(100):
            own.later(partial(note, number))
        await own.close()

    asyncio.run(work())
    assert [number for number, _ in done] == list(range(100))
    assert len({thread for _, thread in done} - {threading.get_ident()}) == 1


def test_without_work_there_is_no_thread() -> None:
    async def none() -> None:
        before = threading.active_count()
        own = OwnThread("test")
        assert threading.active_count() == before
        await own.close()

    asyncio.run(none())


def test_when_it_is_closed_it_takes_no_more_work() -> None:
    async def work() -> None:
        own = OwnThread("test")
        await own.close()
        with pytest.raises(RuntimeError):
            own.later(lambda: None)

    asyncio.run(work())
