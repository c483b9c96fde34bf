from __future__ import annotations

import os
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


def test_chance_is_never_handed_out_twice_however_much_is_asked_for() -> None:
    randomness = SystemRandomness()
    drawn = [randomness.hex(size) for size in (16, 24, 1_000, 5_000, 16) * 40]
    assert [len(text) for text in drawn] == [32, 48, 2_000, 10_000, 32] * 40
    assert len({text[:32] for text in drawn}) == len(drawn)


def test_a_forked_process_shares_no_chance_with_its_parent() -> None:
    randomness = SystemRandomness()
    randomness.hex(16)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write, randomness.hex(16).encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 32).decode() != randomness.hex(16)
    os.close(read)
    os.close(write)


def test_numbers_stay_below_and_reach_everywhere() -> None:
    assert {SystemRandomness().below(3) for _ in range(200)} == {0, 1, 2}
