"""What a rate-limit decision costs in memory: ns a decision, ns a whole limit step, bytes a key. One process, one core.

Run: python benchmarks/limits_memory.py
"""

from __future__ import annotations

import time
import tracemalloc
from typing import TYPE_CHECKING, Any

from hms_svc.core.config import Forward, Limit, Route
from hms_svc.core.entry import Entry
from hms_svc.core.limit import Limiter
from hms_svc.core.model import NOBODY, Headers, Request
from hms_svc.core.ports import Want
from hms_svc.local.limits import MemoryLimits

if TYPE_CHECKING:
    from collections.abc import Coroutine

DECISIONS = 200_000
BEST_OF = 5


class MonotonicClock:
    """The machine's own."""

    wall_ns = staticmethod(time.time_ns)
    monotonic_ns = staticmethod(time.monotonic_ns)


def drive(coroutine: Coroutine[Any, Any, Any]) -> None:
    """Run a coroutine that never suspends."""
    try:
        coroutine.send(None)
    except StopIteration:
        return


def ns_a_decision(keys: list[str], limit: Limit) -> float:
    """The best of some runs over ``keys``, each run on an empty store."""
    best = float("inf")
    for _ in range(BEST_OF):
        store = MemoryLimits(MonotonicClock())
        begun = time.perf_counter_ns()
        for key in keys:
            drive(store.take(Want(key, limit, 1)))
        best = min(best, (time.perf_counter_ns() - begun) / len(keys))
    return best


def ns_a_step(route: Route) -> float:
    """The whole step: keys, decision, verdict for the record, header lines."""
    store = MemoryLimits(MonotonicClock())
    limiter = Limiter(store, store)
    request = Request("GET", "/", "", Headers(), None, "192.0.2.7")  # type: ignore[arg-type]  # no body is read here
    best = float("inf")
    for _ in range(BEST_OF):
        entry = Entry(request, "", 0, 0)
        begun = time.perf_counter_ns()
        for _ in range(20_000):
            drive(limiter.take(route, NOBODY, "192.0.2.7", entry))
        best = min(best, (time.perf_counter_ns() - begun) / 20_000)
    return best


def bytes_a_key(count: int) -> float:
    """Memory that ``count`` live buckets take, keys and all."""
    store = MemoryLimits(MonotonicClock(), max_keys=count)
    tracemalloc.start()
    for number in range(count):
        drive(store.take(Want(f"11:/public/faq:0:ip:{number >> 8}.{number & 255}.2.7", Limit(30, 3_600, 30), 1)))
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(store) == count
    return used / count


def main() -> None:
    """Print the figures."""
    generous, strict = Limit(1_000_000_000, 1, 1_000_000_000), Limit(1, 86_400, 1)
    one = ["11:/public/faq:0:ip:192.0.2.7"] * DECISIONS
    many = [f"11:/public/faq:0:ip:{n >> 16}.{n >> 8 & 255}.{n & 255}.7" for n in range(DECISIONS)]
    print(f"one key, admitted          {ns_a_decision(one, generous):8.0f} ns/decision")
    print(f"one key, refused           {ns_a_decision(one, strict):8.0f} ns/decision")
    print(f"new keys, half of them over the bound {ns_a_decision(many, strict):8.0f} ns/decision")
    print(f"new keys, idle at once     {ns_a_decision(many, generous):8.0f} ns/decision")
    route = Route(name="/public/faq", path="/public/faq", action=Forward(()), auth=(), limits=(generous,))
    print(f"the whole step, one limit  {ns_a_step(route):8.0f} ns/call")
    print(f"memory                     {bytes_a_key(100_000):8.0f} bytes/key")


if __name__ == "__main__":
    main()
