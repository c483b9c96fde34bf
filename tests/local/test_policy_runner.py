from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from hms_svc.local.policy_runner import MAX_WAITING, ThreadPolicyRunner

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def runner() -> Iterator[ThreadPolicyRunner]:
    runner = ThreadPolicyRunner(workers=2)
    yield runner
    runner.close()


def raiser(error: BaseException) -> Any:
    def check() -> None:
        raise error

    return check


def test_a_check_runs_on_another_thread(runner: ThreadPolicyRunner) -> None:
    assert asyncio.run(runner.run(threading.get_ident, 5)) != threading.get_ident()


@pytest.mark.parametrize("error", [ValueError("x"), TimeoutError("its own"), SystemExit(1)], ids=repr)
def test_what_a_check_raises_reaches_who_awaits_it(runner: ThreadPolicyRunner, error: BaseException) -> None:
    async def ask() -> BaseException | None:
        try:
            await runner.run(raiser(error), 5)
        except BaseException as raised:  # noqa: BLE001  (SystemExit too)
            return raised
        return None

    assert asyncio.run(ask()) is error


def test_the_worker_goes_on_whatever_was_raised(runner: ThreadPolicyRunner) -> None:
    async def ask() -> int:
        for _ in range(10):
            with pytest.raises((SystemExit, RuntimeError)):
                await runner.run(raiser(SystemExit(1)), 5)
        return await runner.run(lambda: 42, 5)

    assert asyncio.run(ask()) == 42


def test_a_check_that_hangs_is_given_up_and_the_next_one_runs(runner: ThreadPolicyRunner) -> None:
    free = threading.Event()

    async def ask() -> str:
        with pytest.raises(TimeoutError):
            await runner.run(free.wait, 0.02)
        return await runner.run(lambda: "next", 5)

    assert asyncio.run(ask()) == "next"
    free.set()


def test_while_all_workers_hang_calls_time_out_and_afterwards_they_are_served_again() -> None:
    runner = ThreadPolicyRunner(workers=2)
    free = threading.Event()
    asked: list[str] = []

    async def ask() -> str:
        for _ in range(2):
            with pytest.raises(TimeoutError):
                await runner.run(free.wait, 0.02)
        with pytest.raises(TimeoutError):
            await runner.run(lambda: asked.append("too late"), 0.02)
        free.set()
        return await runner.run(lambda: "served", 5)

    assert asyncio.run(ask()) == "served"
    assert asked == []
    runner.close()


def test_no_more_calls_wait_than_the_bound_and_none_holds_its_request_once_given_up() -> None:
    class Large:
        """A request's body, say."""

        def check(self) -> None: ...

    runner = ThreadPolicyRunner(workers=1)
    free = threading.Event()
    held: list[weakref.ref[Large]] = []

    async def ask() -> str:
        hanging = asyncio.create_task(runner.run(free.wait, 5))
        await asyncio.sleep(0)
        waiting = []
        for _ in range(MAX_WAITING + 1):
            large = Large()
            held.append(weakref.ref(large))
            waiting.append(asyncio.create_task(runner.run(large.check, 0.05)))
            del large
        said = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(it, TimeoutError) for it in said)
        last = str(said[-1])
        del waiting, said
        await asyncio.sleep(0)
        gc.collect()
        assert [it for it in held if it() is not None] == []
        free.set()
        await hanging
        return last

    assert "1000 calls wait" in asyncio.run(ask())
    runner.close()


def test_a_caller_who_leaves_gives_up_the_check(runner: ThreadPolicyRunner) -> None:
    free = threading.Event()

    async def leave() -> None:
        task = asyncio.create_task(runner.run(free.wait, 5))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(leave())
    free.set()


def test_a_check_that_outlives_the_loop_disturbs_nobody(runner: ThreadPolicyRunner) -> None:
    free, ended = threading.Event(), threading.Event()

    def check() -> None:
        free.wait()
        ended.set()

    async def give_up() -> None:
        with pytest.raises(TimeoutError):
            await runner.run(check, 0.02)

    asyncio.run(give_up())
    free.set()
    assert ended.wait(5)
    assert asyncio.run(runner.run(lambda: "another loop", 5)) == "another loop"


def test_a_closed_runner_says_so() -> None:
    runner = ThreadPolicyRunner(workers=1)
    asyncio.run(runner.run(lambda: None, 5))
    runner.close()
    runner.close()
    with pytest.raises(RuntimeError, match="closed"):
        asyncio.run(runner.run(lambda: None, 5))


def test_a_check_that_never_returns_does_not_keep_the_process() -> None:
    program = """
import asyncio, threading
from hms_svc.local.policy_runner import ThreadPolicyRunner
async def main():
    try:
        await ThreadPolicyRunner().run(threading.Event().wait, 0.02)
    except TimeoutError:
        print("given up")
asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    assert (done.stdout, done.stderr) == ("given up\n", "")
