"""A moment by both clocks, and how long ago it was.

The wall clock may step; the monotonic one may stand still while a Lambda environment is frozen or the machine sleeps.
What must not be used for too long goes by the one that says more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from hms_svc.core.ports import Clock


class Moment(NamedTuple):
    """Nanoseconds by both clocks."""

    wall_ns: int
    monotonic_ns: int

    def since(self, earlier: Moment) -> int:
        """The nanoseconds from ``earlier`` to this moment; a wall clock that stepped back counts as time, too."""
        return max(abs(self.wall_ns - earlier.wall_ns), self.monotonic_ns - earlier.monotonic_ns)


def moment(clock: Clock) -> Moment:
    """Now."""
    return Moment(clock.wall_ns(), clock.monotonic_ns())
