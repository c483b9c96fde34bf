from __future__ import annotations

import pytest
from worlds import OwnedClock

from hms_svc.core.moment import Moment, moment

EARLIER = Moment(1_000, 500)


@pytest.mark.parametrize(
    ("wall_ns", "monotonic_ns", "passed_ns"),
    [(1_007, 507, 7), (1_007, 500, 7), (1_000, 507, 7), (993, 500, 7), (1_000, 500, 0)],
    ids=["both go", "frozen", "wall clock stepped", "wall clock stepped back", "at once"],
)
def test_as_much_time_has_passed_as_the_clock_says_that_moved_most(
    wall_ns: int, monotonic_ns: int, passed_ns: int
) -> None:
    assert Moment(wall_ns, monotonic_ns).since(EARLIER) == passed_ns


def test_a_moment_is_now_by_both_clocks() -> None:
    clock = OwnedClock(1_000)
    clock.freeze(1e-6)
    assert moment(clock) == (2_000, 1_000)
