from __future__ import annotations

import sys
import threading

import pytest
from worlds import drive

from hms_svc.aws.policy_runner import MAX_HANGING, LambdaPolicyRunner


def test_a_check_that_overstays_is_given_up_and_the_next_is_asked() -> None:
    runner, go_on = LambdaPolicyRunner(), threading.Event()
    with pytest.raises(TimeoutError):
        drive(runner.run(go_on.wait, 0.01))
    assert drive(runner.run(lambda: "asked", 5.0)) == "asked"
    go_on.set()


def test_when_too_many_hang_no_more_are_asked_until_one_returns() -> None:
    before = set(threading.enumerate())
    runner = LambdaPolicyRunner()
    going_on = [threading.Event() for _ in range(MAX_HANGING)]
    for go_on in going_on:
        with pytest.raises(TimeoutError):
            drive(runner.run(go_on.wait, 0.01))
    with pytest.raises(TimeoutError, match="was not asked: 8 earlier checks have not returned yet"):
        drive(runner.run(lambda: "asked", 5.0))
    hanging = set(threading.enumerate()) - before
    for go_on in going_on:
        go_on.set()
    for thread in hanging:
        thread.join(5)
    assert drive(runner.run(lambda: "asked", 5.0)) == "asked"


def test_a_plug_in_that_exits_ends_neither_the_worker_nor_the_gateway() -> None:
    runner = LambdaPolicyRunner()
    with pytest.raises(SystemExit):
        drive(runner.run(lambda: sys.exit(1), 5.0))
    assert drive(runner.run(lambda: "asked", 5.0)) == "asked"
