"""Processes and threads that ask a limiter, all from the same moment on, and what they saw."""

from __future__ import annotations

import copyreg
import multiprocessing
import random
import time
from array import array
from collections import Counter
from dataclasses import dataclass, field
from threading import Barrier, Thread, get_ident
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from limits_contenders import Sent

from hms_svc.core.gcra import SECOND_NS

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection
    from multiprocessing.synchronize import Barrier as ProcessBarrier

    from limits_contenders import Contender, Place, Said

    from hms_svc.core.config import Limit


def _read_only(mapping: dict[Any, Any]) -> MappingProxyType[Any, Any]:
    return MappingProxyType(mapping)


# A limit goes to other processes, and its plans are a mapping that cannot be changed.
copyreg.pickle(MappingProxyType, lambda proxy: (_read_only, (dict(proxy),)))


@dataclass(frozen=True)
class Scenario:
    """What is asked, by how many."""

    name: str
    limit: Limit
    processes: int = 8
    threads: int = 1
    """In each process, each an environment."""
    offered: float | None = None
    """Calls a second, of all environments together; None: as many as they can."""
    keys: int = 1
    """Asked in turn."""
    seconds: float = 6.0


def _times() -> array[int]:
    return array("q")


@dataclass
class Seen:
    """What came of it, in one environment or in all. Times are nanoseconds."""

    asked_ns: array[int] = field(default_factory=_times)
    """The moments of all calls, 1970-01-01T00:00:00Z = 0."""
    admitted_ns: array[int] = field(default_factory=_times)
    """Of those that were admitted."""
    took_ns: array[int] = field(default_factory=_times)
    """How long decisions took."""
    leased_ns: array[int] = field(default_factory=_times)
    """Those that admitted and asked nobody."""
    undecided: Counter[str] = field(default_factory=Counter)
    """Why."""
    sent: Counter[str] = field(default_factory=Counter)
    """Calls to DynamoDB, by operation."""
    seconds: float = 0.0

    def add(self, other: Seen) -> None:
        """Take in another environment's."""
        self.asked_ns.extend(other.asked_ns)
        self.admitted_ns.extend(other.admitted_ns)
        self.took_ns.extend(other.took_ns)
        self.leased_ns.extend(other.leased_ns)
        self.undecided += other.undecided
        self.sent += other.sent
        self.seconds = max(self.seconds, other.seconds)

    def note(self, said: Said, took_ns: int, *, alone: bool) -> None:
        """A decision; whether it was made without a call."""
        self.asked_ns.append(said.at_ns)
        self.took_ns.append(took_ns)
        if said.allowed:
            self.admitted_ns.append(said.at_ns)
            if alone:
                self.leased_ns.append(took_ns)
        elif said.allowed is None:
            self.undecided[said.why] += 1


class Turns(NamedTuple):
    """The calls that one environment makes."""

    scenario: Scenario
    number: int
    of: int
    """Environments."""

    def key(self, turn: int) -> str:
        """That its ``turn``th call asks."""
        return f"key-{(turn * self.of + self.number) % self.scenario.keys}"

    def wait(self, turn: int, begun_ns: int, chance: float) -> None:
        """Until it comes: ``chance`` of the way through the time between two calls."""
        if self.scenario.offered:
            due_ns = begun_ns + round((turn + chance) * self.of / self.scenario.offered * SECOND_NS)
            time.sleep(max(0, due_ns - time.perf_counter_ns()) / SECOND_NS)


def environment(turns: Turns, ask: Callable[[str], Said], sent: Counter[str]) -> Seen:
    """Ask until the time is over."""
    seen, turn, chance = Seen(), 0, random.Random(turns.number).random  # noqa: S311  (the same calls each time)
    begun_ns = time.perf_counter_ns()
    ends_ns = begun_ns + round(turns.scenario.seconds * SECOND_NS)
    while True:
        turns.wait(turn, begun_ns, chance())
        key, calls = turns.key(turn), sent.total()
        at_ns = time.perf_counter_ns()
        if at_ns >= ends_ns:
            break
        said = ask(key)
        seen.note(said, time.perf_counter_ns() - at_ns, alone=sent.total() == calls)
        turn += 1
    seen.seconds = (time.perf_counter_ns() - begun_ns) / SECOND_NS
    seen.sent = Counter(sent)
    return seen


class Work(NamedTuple):
    """What all processes of a run have in common."""

    scenario: Scenario
    contender: Contender
    place: Place
    started: ProcessBarrier


def process(work: Work, number: int, out: Connection) -> None:
    """The environments of one process, a thread each."""
    scenario = work.scenario
    sent, seen, ready = Sent(), Seen(), Barrier(scenario.threads)
    asks = work.contender.open(work.place, sent, scenario.threads)

    def thread(index: int) -> None:
        asks[index](f"warm-{number}")  # connections, imports and caches are there
        mine = sent.by_thread[get_ident()]
        if ready.wait() == 0:
            work.started.wait()
        ready.wait()
        mine.clear()
        turns = Turns(scenario, number * scenario.threads + index, scenario.processes * scenario.threads)
        seen.add(environment(turns, asks[index], mine))

    threads = [Thread(target=thread, args=(index,)) for index in range(scenario.threads)]
    for it in threads:
        it.start()
    for it in threads:
        it.join()
    out.send(seen)


def run(scenario: Scenario, contender: Contender, endpoint: str) -> Seen:
    """What all processes saw."""
    context, seen = multiprocessing.get_context("spawn"), Seen()
    work = Work(scenario, contender, contender.prepare(endpoint, scenario.limit), context.Barrier(scenario.processes))
    running = []
    for number in range(scenario.processes):
        out, into = context.Pipe(duplex=False)
        it = context.Process(target=process, args=(work, number, into), daemon=True)
        it.start()
        into.close()
        running.append((it, out))
    for it, out in running:
        seen.add(out.recv())
        it.join()
    return seen
