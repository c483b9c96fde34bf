"""Rate limits shared by many environments, simulated: over-admission, under-use, and writes an admitted call.

The decisions are those of the product (`SharedLimits`), on a clock of the simulation's own and over a table that takes
time to answer, throttles above what one DynamoDB partition takes, and loses answers. Over-admission is exact: the
largest excess over burst + rate * time, over every span of time, must be 0.

Run: python benchmarks/limits_simulation.py            the table of scenarios
     python benchmarks/limits_simulation.py --plot FILE.svg
"""

from __future__ import annotations

import argparse
import heapq
import random
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hms_svc.core.gcra import SECOND_NS, interval_ns
from hms_svc.core.model import Limit
from hms_svc.core.ports import Answer, Bucket, Change, StoreUnavailable, Want
from hms_svc.core.shared_limits import SharedLimits

if TYPE_CHECKING:
    from collections.abc import Coroutine, Generator

START_NS = 1_800_000_000 * SECOND_NS
PARTITION_WRITES = 1_000
"""A second, on one key: what one DynamoDB partition takes."""


@dataclass(frozen=True)
class Scenario:
    """What is simulated."""

    name: str
    limit: Limit
    environments: int
    offered: float
    """Calls a second, of all environments together."""
    seconds: float = 20.0
    latency_ms: float = 3.0
    """The median; one in a hundred takes ten times as long."""
    throttled: float = 0.0
    """Share of calls that the table refuses at random."""
    lost: float = 0.0
    """Share of calls that are made and whose answer never comes."""
    killed: float = 0.0
    """Environments that die a second, with all they hold, each replaced by a new one."""
    skew_s: float = 0.0
    """Clocks differ by up to this much, to both sides."""


class Pause:
    """An await of the simulation's time."""

    def __init__(self, ns: int) -> None:
        self.ns = ns

    def __await__(self) -> Generator[int, None, None]:
        yield self.ns


class World:
    """The simulation's time, and what waits in it."""

    def __init__(self, seed: int) -> None:
        self.ns = START_NS
        self.random = random.Random(seed)  # noqa: S311  (a simulation that can be repeated)
        self._waiting: list[tuple[int, int, Coroutine[Any, Any, None]]] = []
        self._order = 0

    def start(self, task: Coroutine[Any, Any, None], after_ns: int = 0) -> None:
        """Run ``task`` later."""
        self._order += 1
        heapq.heappush(self._waiting, (self.ns + after_ns, self._order, task))

    def run(self, until_ns: int) -> None:
        """Let time pass."""
        while self._waiting and self._waiting[0][0] <= until_ns:
            self.ns, _, task = heapq.heappop(self._waiting)
            try:
                self.start(task, task.send(None))
            except StopIteration:
                pass
        for _, _, task in self._waiting:
            task.close()


class Table:
    """The shared table. It counts its writes, and throttles above `PARTITION_WRITES`."""

    def __init__(self, world: World, scenario: Scenario) -> None:
        self._world = world
        self._scenario = scenario
        self._buckets: dict[str, Bucket] = {}
        self._recent: deque[int] = deque()
        self.writes = self.throttled = 0

    async def change(self, key: str, change: Change, *, now_ns: int, full_ns: int) -> Answer:  # noqa: ARG002
        await Pause(self._latency_ns())
        answer = self._apply(key, change, now_ns)
        await Pause(self._latency_ns())
        if self._world.random.random() < self._scenario.lost:
            raise StoreUnavailable("lost")
        return answer

    async def look(self, key: str) -> Bucket | None:
        await Pause(2 * self._latency_ns())
        return self._buckets.get(key)

    def _apply(self, key: str, change: Change, now_ns: int) -> Answer:
        self.writes += 1
        recent, ns = self._recent, self._world.ns
        while recent and recent[0] <= ns - SECOND_NS:
            recent.popleft()
        if len(recent) >= PARTITION_WRITES or self._world.random.random() < self._scenario.throttled:
            self.throttled += 1
            raise StoreUnavailable("throttled")
        recent.append(ns)
        stands = self._buckets.get(key)
        if not (change.or_absent if stands is None else change.low_ns <= stands.tat_ns <= change.high_ns):
            return Answer(False, stands)
        tat_ns = change.tat_ns + (stands.tat_ns if stands and change.is_added else 0)
        made = self._buckets[key] = Bucket(tat_ns, now_ns // SECOND_NS)
        return Answer(True, made)

    def _latency_ns(self) -> int:
        slow = 10 if self._world.random.random() < 0.01 else 1
        return round(self._scenario.latency_ms * slow * self._world.random.uniform(0.35, 0.65) * 1e6)


@dataclass
class Clock:
    """One environment's: the world's, and wrong by as much as it is."""

    world: World
    skew_ns: int = 0

    def wall_ns(self) -> int:
        return self.world.ns + self.skew_ns

    def monotonic_ns(self) -> int:
        return self.world.ns


@dataclass
class Seen:
    """What came of it."""

    admitted: list[int] = field(default_factory=list)
    """When, by the world's time."""
    refused: int = 0
    refused_locally: int = 0
    undecided: int = 0
    writes: int = 0
    throttled: int = 0

    def over(self, limit: Limit) -> float:
        """Tokens by which burst + rate * time was exceeded at most, over every span: an exact bucket, kept in full."""
        one_ns, tat_ns, worst = interval_ns(limit.limit, limit.period_s), 0, 0
        depth_ns = limit.burst * one_ns
        for at_ns in sorted(self.admitted):
            tat_ns = max(tat_ns, at_ns) + one_ns
            worst = max(worst, tat_ns - at_ns - depth_ns)
        return worst / one_ns

    def possible(self, limit: Limit, offered: list[int]) -> int:
        """How many one exact bucket would have admitted of the same calls."""
        one_ns, tat_ns, admitted = interval_ns(limit.limit, limit.period_s), 0, 0
        depth_ns = limit.burst * one_ns
        for at_ns in sorted(offered):
            new_ns = max(tat_ns, at_ns) + one_ns
            if new_ns <= at_ns + depth_ns:
                tat_ns = new_ns
                admitted += 1
        return admitted


def simulate(scenario: Scenario, seed: int = 1) -> tuple[Seen, list[int]]:
    """Run ``scenario``: what was seen, and when calls were offered."""
    world = World(seed)
    table = Table(world, scenario)
    seen, offered = Seen(), list[int]()
    each = scenario.environments / scenario.offered * SECOND_NS

    async def environment() -> None:
        skew_ns = round(world.random.uniform(-scenario.skew_s, scenario.skew_s) * 1e9)
        dies_ns = float("inf")
        if scenario.killed:
            dies_ns = world.ns + world.random.expovariate(scenario.killed / scenario.environments) * SECOND_NS
        store = SharedLimits(table, Clock(world, skew_ns))
        next_ns = world.ns + world.random.expovariate(1 / each)
        while True:
            await Pause(max(0, round(next_ns) - world.ns))
            next_ns += world.random.expovariate(1 / each)
            if world.ns > dies_ns:
                world.start(environment())
                return
            at_ns, writes = world.ns, table.writes
            offered.append(at_ns)
            try:
                decision = await store.take(Want("key", scenario.limit, 1))
            except StoreUnavailable:
                seen.undecided += 1
                continue
            if decision.allowed:
                seen.admitted.append(at_ns)
            else:
                seen.refused += 1
                seen.refused_locally += table.writes == writes

    for _ in range(scenario.environments):
        world.start(environment())
    world.run(START_NS + round(scenario.seconds * SECOND_NS))
    seen.writes, seen.throttled = table.writes, table.throttled
    return seen, offered


def per_second(rate: int, burst: int | None = None) -> Limit:
    """``rate`` a second."""
    return Limit(rate, 1, burst or rate)


SCENARIOS = (
    Scenario("quiet: 30/m, one call in 10 s", Limit(30, 60, 30), 4, 0.1, seconds=2_000),
    Scenario("30/m under a flood", Limit(30, 60, 30), 8, 1_000, seconds=60),
    Scenario("100/s, asked 50/s", per_second(100), 8, 50),
    Scenario("1000/s, asked 500/s", per_second(1_000), 8, 500),
    Scenario("1000/s, asked 1000/s", per_second(1_000), 8, 1_000),
    Scenario("1000/s, asked 1200/s", per_second(1_000), 8, 1_200),
    Scenario("1000/s, asked 10000/s", per_second(1_000), 8, 10_000, seconds=10),
    Scenario("100000/s, asked 1000/s", per_second(100_000), 8, 1_000),
    Scenario("20000/s, asked 10000/s, 50 env.", per_second(20_000), 50, 10_000, seconds=10),
    Scenario("5000/s, asked 10000/s, 50 env.", per_second(5_000), 50, 10_000, seconds=10),
    Scenario("1000/s, asked 2000/s, 1000 env.", per_second(1_000), 1_000, 2_000, seconds=20),
    Scenario("5000/s, asked 4000/s, 1000 env.", per_second(5_000), 1_000, 4_000, seconds=20),
    Scenario("1000/s, asked 1200/s, slow table", per_second(1_000), 50, 1_200, latency_ms=50),
    Scenario("1000/s, asked 1200/s, 10 % throttled", per_second(1_000), 50, 1_200, throttled=0.1),
    Scenario("1000/s, asked 1200/s, 5 % lost", per_second(1_000), 50, 1_200, lost=0.05),
    Scenario("1000/s, asked 1200/s, 5 die a second", per_second(1_000), 50, 1_200, killed=5),
    Scenario("1000/s, clocks 2 s apart", per_second(1_000), 50, 1_200, skew_s=1),
)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    print(
        f"{'scenario':<40} {'over':>6} {'admitted':>9} {'of':>8} {'use':>6} {'writes/adm':>10} {'writes/ref':>10} {'w/s':>6} {'throttled':>9} {'undecided':>9}"
    )
    for scenario in SCENARIOS:
        if arguments.only not in scenario.name:
            continue
        seen, offered = simulate(scenario)
        possible = seen.possible(scenario.limit, offered)
        admitted = len(seen.admitted)
        print(
            f"{scenario.name:<40} {max(0, seen.over(scenario.limit)):>6.2f} {admitted:>9} {possible:>8} {admitted / possible:>6.3f}"
            f" {seen.writes / max(admitted, 1):>10.4f} {(seen.refused - seen.refused_locally) / max(seen.refused, 1):>10.4f}"
            f" {seen.writes / scenario.seconds:>6.0f} {seen.throttled:>9} {seen.undecided:>9}",
            flush=True,
        )


if __name__ == "__main__":
    main()
