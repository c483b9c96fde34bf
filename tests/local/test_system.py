from __future__ import annotations

import re
from typing import TYPE_CHECKING

from hms_svc.local.system import SystemClock, SystemRandomness

if TYPE_CHECKING:
    from hms_svc.core.ports import Clock, Randomness


def test_the_clock_goes_on() -> None:
    clock: Clock = SystemClock()
    assert clock.monotonic_ns() <= clock.monotonic_ns()
    assert clock.wall_ns() > 1_700_000_000_000_000_000


def test_chance_has_the_length_asked_for_and_differs() -> None:
    randomness: Randomness = SystemRandomness()
    drawn = {randomness.hex(16) for _ in range(50)}
    assert len(drawn) == 50
    assert all(re.fullmatch("[0-9a-f]{32}", text) for text in drawn)


def test_numbers_stay_below_and_reach_everywhere() -> None:
    assert {SystemRandomness().below(3) for _ in range(200)} == {0, 1, 2}
