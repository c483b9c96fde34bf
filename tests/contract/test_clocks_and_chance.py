"""What every Clock and every Randomness does, the machine's and the tests' own."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from worlds import CountingRandomness, OwnedClock

from hms_svc.local.system import SystemClock, SystemRandomness

if TYPE_CHECKING:
    from hms_svc.core.ports import Clock, Randomness


@pytest.mark.parametrize("clock", [SystemClock(), OwnedClock()], ids=lambda clock: type(clock).__name__)
def test_time_never_steps_back_and_counts_nanoseconds(clock: Clock) -> None:
    times = [clock.monotonic_ns() for _ in range(10)]
    assert times == sorted(times)
    assert clock.wall_ns() > 1_700_000_000_000_000_000


@pytest.mark.parametrize("chance", [SystemRandomness(), CountingRandomness()], ids=lambda made: type(made).__name__)
def test_chance_has_the_length_asked_for_never_repeats_and_stays_below(chance: Randomness) -> None:
    drawn = [chance.hex(16) for _ in range(100)]
    assert len(set(drawn)) == 100
    assert all(re.fullmatch("[0-9a-f]{32}", text) for text in drawn)
    assert {chance.below(3) for _ in range(200)} == {0, 1, 2}
