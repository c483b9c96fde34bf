"""What every PolicyRunner does with the plug-in it is handed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from doors import Inline
from worlds import run

from hms_svc.aws.policy_runner import LambdaPolicyRunner
from hms_svc.local.policy_runner import ThreadPolicyRunner

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hms_svc.core.ports import PolicyRunner


@pytest.fixture(params=["inline", "lambda", "threads"])
def runner(request: pytest.FixtureRequest) -> Iterator[PolicyRunner]:
    if request.param == "inline":
        yield Inline()
        return
    if request.param == "lambda":
        yield LambdaPolicyRunner()
        return
    threads = ThreadPolicyRunner()
    yield threads
    threads.close()


def test_the_value_comes_back(runner: PolicyRunner) -> None:
    assert run(runner.run(lambda: 42, 5.0)) == 42


def test_what_the_plug_in_raises_is_raised(runner: PolicyRunner) -> None:
    def broken() -> None:
        raise KeyError("x-office")

    with pytest.raises(KeyError, match="x-office"):
        run(runner.run(broken, 5.0))
