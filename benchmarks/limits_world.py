"""A world without waiting: time that jumps from event to event, a table that is slow and unreliable, environments.

The decisions are the product's (`SharedLimits`); time, table and fate are not. The client of the table tries twice, as
the router's does. Everything follows from the seed.
"""

from __future__ import annotations

import heapq
import random
from array import array
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hms_svc.aws.dynamodb_limits import ANSWER_S, TRIES
from hms_svc.core.gcra import SECOND_NS
from hms_svc.core.ports import Answer, Bucket, Change, StoreUnavailable, Want
from hms_svc.core.shared_limits import SharedLimits

if TYPE_CHECKING:
    from collections.abc import Coroutine, Generator

    from hms_svc.core.config import Limit

START_NS = 1_800_000_000 * SECOND_NS
PARTITION_WRITES = 1_000
"""A second: what DynamoDB takes on one key."""
SLOW_SHARE, SLOWER = 0.01, 10
"""That share of the ways to the table and back takes that many times as long."""
PAUSE_S = 0.05
"""Before a call is tried again that was throttled."""
LOOK_S = 0.01
"""So often it is counted what lies unused in leases."""


@dataclass(frozen=True)
class Scenario:
    """What is simulated: calls of one token on one key."""

    name: str
    limit: Limit
    environments: int
    offered: float
    """Calls a second, of all environments together, at random moments."""
    seconds: float = 20.0
    latency_ms: float = 3.0
    """Of a call to the table, on average."""
    throttled: float = 0.0
    """Share of calls that the table refuses by chance, beside those above `PARTITION_WRITES`."""
    lost: float = 0.0
    """Share of calls that the table carries out, and whose answer never comes."""
    killed: float = 0.0
    """Environments that die a second, with all they hold, each replaced by a new one."""
    skew_s: float = 0.0
    """Clocks are wrong by up to this much, to both sides."""
    pulse_s: float = float("inf")
    """Calls come for so long,"""
    rest_s: float = 0.0
    """and then none for so long: buckets fill and leases lapse."""
    heavier: float = 1.0
    """Every other pulse has so many times as many calls: all that is held is spent at once."""


def _times() -> array[int]:
    return array("q")


@dataclass
class Seen:
    """What came of it. Times are nanoseconds by the world's clock."""

    offered_ns: array[int] = field(default_factory=_times)
    admitted_ns: array[int] = field(default_factory=_times)
    written_ns: array[int] = field(default_factory=_times)
    """Calls that reached the table: each is a write, as DynamoDB counts, made or not."""
    refused: int = 0
    refused_calls: int = 0
    """Calls to the table in decisions that refused."""
    throttled: int = 0
    undecided: int = 0
    shares: list[int] = field(default_factory=list)
    """What each environment admitted, the dead ones and those that came after them too."""
    most_unused: int = 0
    """Tokens that lay in leases at one moment, neither spent nor lapsed; those of the dead too."""


class Pause:
    """An await of the world's time."""

    def __init__(self, seconds: float) -> None:
        self._ns = round(seconds * SECOND_NS)

    def __await__(self) -> Generator[int, None, None]:
        """Tell the world for how long."""
        yield self._ns


class World:
    """Time, and what waits in it."""

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
                pause_ns = task.send(None)
            except StopIteration:
                continue
            self.start(task, pause_ns)
        for _, _, task in self._waiting:
            task.close()


class Clock:
    """One environment's: the world's, and wrong by as much as it is."""

    def __init__(self, world: World, skew_ns: int) -> None:
        self._world = world
        self._skew_ns = skew_ns

    def wall_ns(self) -> int:
        """As it is told here."""
        return self._world.ns + self._skew_ns

    def monotonic_ns(self) -> int:
        """As it passes."""
        return self._world.ns


class Table:
    """The shared table, which takes a time to answer, throttles and loses answers."""

    def __init__(self, world: World, scenario: Scenario, seen: Seen) -> None:
        self._world = world
        self._scenario = scenario
        self._seen = seen
        self._bucket: Bucket | None = None
        self._recent: deque[int] = deque()

    async def change(self, change: Change, now_ns: int) -> Answer | None:
        """What a try comes to; None: throttled. Raises `StoreUnavailable` when the answer is lost."""
        await self._way()
        answer = None if self._is_throttled() else self._apply(change, now_ns)
        if self._chance(self._scenario.lost):
            await Pause(ANSWER_S)
            raise StoreUnavailable("lost")
        await self._way()
        return answer

    async def _way(self) -> None:
        slower = SLOWER if self._chance(SLOW_SHARE) else 1
        await Pause(self._scenario.latency_ms / 1_000 / 2 * slower * self._world.random.uniform(0.7, 1.3))

    def _chance(self, share: float) -> bool:
        return self._world.random.random() < share

    def _is_throttled(self) -> bool:
        ns, recent = self._world.ns, self._recent
        self._seen.written_ns.append(ns)
        while recent and recent[0] <= ns - SECOND_NS:
            recent.popleft()
        throttled = len(recent) >= PARTITION_WRITES or self._chance(self._scenario.throttled)
        if throttled:
            self._seen.throttled += 1
        else:
            recent.append(ns)
        return throttled

    def _apply(self, change: Change, now_ns: int) -> Answer:
        stands = self._bucket
        if not (change.or_absent if stands is None else change.low_ns <= stands.tat_ns <= change.high_ns):
            return Answer(False, stands)
        tat_ns = change.tat_ns + (stands.tat_ns if stands and change.is_added else 0)
        self._bucket = Bucket(tat_ns, now_ns // SECOND_NS)
        return Answer(True, self._bucket)


class Client:
    """One environment's `BucketTable`: tries `TRIES` times, and counts."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self.calls = 0

    async def change(self, key: str, change: Change, *, now_ns: int, full_ns: int) -> Answer:  # noqa: ARG002
        """As the port says."""
        for _ in range(TRIES):
            self.calls += 1
            try:
                answer = await self._table.change(change, now_ns)
            except StoreUnavailable:
                continue
            if answer:
                return answer
            await Pause(PAUSE_S)
        raise StoreUnavailable("throttled or lost")


class Simulation:
    """A scenario on its way."""

    def __init__(self, scenario: Scenario, seed: int = 1) -> None:
        self._scenario = scenario
        self._world = World(seed)
        self._want = Want("key", scenario.limit, 1)
        self.seen = Seen()
        self._table = Table(self._world, scenario, self.seen)
        self._stores: list[tuple[SharedLimits, Clock]] = []

    def run(self) -> Seen:
        """From the beginning to the end."""
        for _ in range(self._scenario.environments):
            self._world.start(self._environment())
        self._world.start(self._look())
        self._world.run(START_NS + round(self._scenario.seconds * SECOND_NS))
        return self.seen

    async def _environment(self) -> None:
        scenario, world, seen = self._scenario, self._world, self.seen
        clock = Clock(world, round(world.random.uniform(-scenario.skew_s, scenario.skew_s) * SECOND_NS))
        client = Client(self._table)
        store = SharedLimits(client, clock)
        self._stores.append((store, clock))
        which = len(seen.shares)
        seen.shares.append(0)
        killed = scenario.killed / scenario.environments
        dies_ns = world.ns + world.random.expovariate(killed) * SECOND_NS if killed else float("inf")
        due_s = self._worked_s()
        while True:
            pulse = due_s // scenario.pulse_s
            heavier = scenario.heavier if pulse % 2 else 1.0
            due_s += world.random.expovariate(heavier * scenario.offered / scenario.environments)
            await Pause(max(0.0, due_s + due_s // scenario.pulse_s * scenario.rest_s - self._passed_s()))
            if world.ns > dies_ns:
                world.start(self._environment())
                return
            at_ns, calls = world.ns, client.calls
            seen.offered_ns.append(at_ns)
            try:
                decision = await store.take(self._want)
            except StoreUnavailable:
                seen.undecided += 1
                continue
            if decision.allowed:
                seen.admitted_ns.append(at_ns)
                seen.shares[which] += 1
            else:
                seen.refused += 1
                seen.refused_calls += client.calls - calls

    def _passed_s(self) -> float:
        return (self._world.ns - START_NS) / SECOND_NS

    def _worked_s(self) -> float:
        """In how much of that calls came."""
        pulses, into_s = divmod(self._passed_s(), self._scenario.pulse_s + self._scenario.rest_s)
        return min(into_s, self._scenario.pulse_s) + (pulses * self._scenario.pulse_s if pulses else 0.0)

    async def _look(self) -> None:
        """Count, again and again, what lies unused in leases."""
        while True:
            unused = sum(_unused(store, clock.wall_ns()) for store, clock in self._stores)
            self.seen.most_unused = max(self.seen.most_unused, unused)
            await Pause(LOOK_S)


def _unused(store: SharedLimits, now_ns: int) -> int:
    """Tokens that an environment could spend now without asking."""
    held = 0
    for _, known in store._known.values():  # noqa: SLF001  (no decision needs to be told this, so nothing tells it)
        held_ns = known._end_ns - max(now_ns, known._start_ns)  # noqa: SLF001
        held += max(0, held_ns) // known.figures.interval_ns
    return held
