"""What limits would say of many calls at an even pace, against fresh buckets: the gateway's decision, and no store."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from hms_svc.core.gcra import SECOND_NS, decide, judged
from hms_svc.core.summary import limit_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hms_svc.core.config import Limit

MAX_CALLS = 1_000_000


class Pace(NamedTuple):
    """How often one request comes."""

    calls: int
    every_ns: int
    """From one to the next."""


class Refused(NamedTuple):
    """The first call that is refused."""

    call: int
    """Its number; the first is 1."""
    at_ns: int
    """Since the first call."""
    limits: tuple[int, ...]
    """The numbers of the limits that refuse it."""
    retry_ns: int | None
    """Until the same call would pass; None: never."""


class Outcome(NamedTuple):
    """What became of the calls."""

    passed: int
    first_refused: Refused | None
    over: tuple[int, ...]
    """For each limit how many calls it refused, or in shadow would have."""


def what_if(limits: Sequence[Limit], pace: Pace) -> Outcome:
    """One caller's calls at this pace, all of whose buckets are full and nobody else's.

    A call that one limit refuses takes nothing of the others; one in shadow refuses nothing.
    """
    tats = [0] * len(limits)
    over = [0] * len(limits)
    passed, first = 0, None
    for number in range(pace.calls):
        now_ns = number * pace.every_ns
        looked = [
            judged(decide(tat_ns, now_ns, limit, 0)[0], limit, limit.cost)
            for tat_ns, limit in zip(tats, limits, strict=True)
        ]
        for index, decision in enumerate(looked):
            over[index] += not decision.allowed
        refusing = [i for i, decision in enumerate(looked) if not decision.allowed and not limits[i].shadow]
        if not refusing:
            passed += 1
            for index, limit in enumerate(limits):
                tats[index] = decide(tats[index], now_ns, limit, limit.cost)[1]
        elif first is None:
            waits = [wait for i in refusing if (wait := looked[i].retry_ns) is not None]
            retry_ns = max(waits) if len(waits) == len(refusing) else None
            first = Refused(number + 1, now_ns, tuple(refusing), retry_ns)
    return Outcome(passed, first, tuple(over))


def what_if_text(limits: Sequence[Limit], pace: Pace) -> list[str]:
    """What became of the calls, in a sentence or a few."""
    calls = f"{pace.calls} call{'' if pace.calls == 1 else 's'}"
    how = f"{calls}, one every {_seconds(pace.every_ns)}" if pace.every_ns else f"{calls} at once"
    passed, first, over = what_if(limits, pace)
    if first is None:
        said = [f"{how}: all pass"]
    else:
        said = [f"{how}: {passed} pass, {pace.calls - passed} refused"]
        by = " and ".join(limit_text(limits[index]) for index in first.limits)
        wait = "never passes" if first.retry_ns is None else f"Retry-After: {-(-first.retry_ns // SECOND_NS)}"
        said.append(f"first refused: call {first.call} after {_seconds(first.at_ns)}, by {by}, {wait}")
    shadows = [(limit, count) for limit, count in zip(limits, over, strict=True) if limit.shadow]
    return said + [f"{limit_text(limit)} would refuse {count}" for limit, count in shadows]


def _seconds(ns: int) -> str:
    return f"{ns / SECOND_NS:.6f}".rstrip("0").rstrip(".") + " s"
