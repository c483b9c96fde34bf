"""Rate limits in DynamoDB Local, beside a peer: decisions a second, how long one takes, calls, over-admission.

hms-svc and zae-limiter (PyPI) decide on the same DynamoDB Local, one after the other, in as many processes, on the same
limits. Over-admission is exact: the moment of every admitted call, by the one clock of this machine, against a bucket
in whole numbers, over every span of time.

Run: pip install --group bench
     HMS_SVC_DYNAMODB_JAR=…/DynamoDBLocal.jar python benchmarks/limits_dynamodb.py   (needs Java)
     HMS_SVC_DYNAMODB_ENDPOINT=http://127.0.0.1:8000 python benchmarks/limits_dynamodb.py --only flood
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import subprocess
import sys
import time
from array import array
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from threading import Barrier, Thread, get_ident
from typing import TYPE_CHECKING, NamedTuple

from limits_contenders import ENVIRONMENT, Ours, Place, Said, Sent, Zae
from urllib3 import PoolManager, Retry

from hms_svc.core.gcra import SECOND_NS
from hms_svc.core.model import Limit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.connection import Connection
    from multiprocessing.synchronize import Barrier as ProcessBarrier

    from limits_contenders import Contender

PORT = 8058
OURS, PEER = Ours(), Zae()


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
    contenders: tuple[Contender, ...] = (OURS, PEER)


HOT = Limit(100_000, 1, 100_000)
SCENARIOS = (
    Scenario("hot key, 100,000/s, 1 process", HOT, processes=1),
    Scenario("hot key, 100,000/s, 8 processes", HOT),
    Scenario("hot key, 100,000/s, 8 processes of 4 threads", HOT, threads=4),
    Scenario("1,000/s, offered 1,200/s, 8 processes", Limit(1_000, 1, 1_000), offered=1_200, seconds=10),
    Scenario("flood on 30/m, 1,000/s, 8 processes", Limit(30, 60, 30), offered=1_000, seconds=10),
    Scenario("flood on 1,000/s, 10,000/s, 8 processes", Limit(1_000, 1, 1_000), offered=10_000, seconds=10),
    Scenario("quiet keys: 30/m, each called in 2.5 s", Limit(30, 60, 30), offered=80, keys=201, seconds=15),
    Scenario(
        "20,000/s, offered 10,000/s, 50 environments", Limit(20_000, 1, 20_000), 5, 10, 10_000, contenders=(OURS,)
    ),
    Scenario("5,000/s, offered 10,000/s, 50 environments", Limit(5_000, 1, 5_000), 5, 10, 10_000, contenders=(OURS,)),
)


@dataclass
class Seen:
    """What came of it, in one environment or in all."""

    admitted_ns: array[int] = field(default_factory=lambda: array("q"))
    """The moments of admitted calls, 1970-01-01T00:00:00Z = 0."""
    took_ns: array[int] = field(default_factory=lambda: array("q"))
    """How long decisions took."""
    leased_ns: array[int] = field(default_factory=lambda: array("q"))
    """Those that admitted and asked nobody."""
    undecided: int = 0
    sent: Counter[str] = field(default_factory=Counter)
    """Calls to DynamoDB."""
    seconds: float = 0.0

    def add(self, other: Seen) -> None:
        """Take in another environment's."""
        self.admitted_ns.extend(other.admitted_ns)
        self.took_ns.extend(other.took_ns)
        self.leased_ns.extend(other.leased_ns)
        self.undecided += other.undecided
        self.sent += other.sent
        self.seconds = max(self.seconds, other.seconds)

    @property
    def refused(self) -> int:
        """Decisions that said no."""
        return len(self.took_ns) - len(self.admitted_ns) - self.undecided

    @property
    def calls(self) -> int:
        """To DynamoDB."""
        return self.sent.total()


def over(admitted_ns: array[int], limit: Limit) -> float:
    """Tokens by which burst + rate * time was exceeded at most, over every span of time: an exact bucket in debt.

    A token is as many units here as there are nanoseconds in the limit's period, so nothing is rounded.
    """
    token, worst, at_ns = limit.period_s * SECOND_NS, 0, 0
    full = level = limit.burst * token
    for now_ns in sorted(admitted_ns):
        level = min(level + limit.limit * (now_ns - at_ns), full) - token
        at_ns = now_ns
        worst = max(worst, -level)
    return worst / token


class Turns(NamedTuple):
    """Which calls of a scenario one environment makes."""

    number: int
    of: int

    def key(self, scenario: Scenario, turn: int) -> str:
        """Of its ``turn``th call."""
        return f"key-{(turn * self.of + self.number) % scenario.keys}"

    def after_ns(self, scenario: Scenario, turn: int, chance: random.Random) -> int:
        """When it comes, from the beginning: at a random moment of the time that is its own."""
        assert scenario.offered
        return round((turn + chance.random()) * self.of / scenario.offered * SECOND_NS)


def environment(scenario: Scenario, turns: Turns, ask: Callable[[str], Said], sent: Counter[str]) -> Seen:
    """Ask until the time is over."""
    seen, chance, turn = Seen(), random.Random(turns.number), 0  # noqa: S311  (the same calls each time)
    begun_ns = time.perf_counter_ns()
    ends_ns = begun_ns + round(scenario.seconds * SECOND_NS)
    while True:
        if scenario.offered:
            due_ns = begun_ns + turns.after_ns(scenario, turn, chance)
            if due_ns < ends_ns:
                time.sleep(max(0, due_ns - time.perf_counter_ns()) / SECOND_NS)
        key, before = turns.key(scenario, turn), sent.total() if sent else 0
        at_ns = time.perf_counter_ns()
        if at_ns >= ends_ns or (scenario.offered and due_ns >= ends_ns):
            break
        said = ask(key)
        took_ns = time.perf_counter_ns() - at_ns
        turn += 1
        seen.took_ns.append(took_ns)
        if said.allowed:
            seen.admitted_ns.append(said.at_ns)
            if sent.total() == before:
                seen.leased_ns.append(took_ns)
        elif said.allowed is None:
            seen.undecided += 1
    seen.seconds = (time.perf_counter_ns() - begun_ns) / SECOND_NS
    seen.sent = Counter(sent)
    return seen


def process(
    scenario: Scenario, contender: Contender, place: Place, number: int, started: ProcessBarrier, out: Connection
) -> None:
    """The environments of one process, a thread each; all processes begin at the same moment."""
    sent, seen, ready = Sent(), Seen(), Barrier(scenario.threads)
    asks = contender.open(place, sent, scenario.threads)
    of = scenario.processes * scenario.threads

    def thread(index: int) -> None:
        asks[index](f"warm-{number}")  # connections, imports and caches are there
        mine = sent.by_thread[get_ident()]
        if ready.wait() == 0:
            started.wait()
        ready.wait()
        mine.clear()
        seen.add(environment(scenario, Turns(number * scenario.threads + index, of), asks[index], mine))

    threads = [Thread(target=thread, args=(index,)) for index in range(scenario.threads)]
    for it in threads:
        it.start()
    for it in threads:
        it.join()
    out.send(seen)


def run(scenario: Scenario, contender: Contender, endpoint: str) -> Seen:
    """What all processes saw."""
    context = multiprocessing.get_context("spawn")
    place, started, seen = contender.prepare(endpoint, scenario.limit), context.Barrier(scenario.processes), Seen()
    running = []
    for number in range(scenario.processes):
        out, into = context.Pipe(duplex=False)
        it = context.Process(target=process, args=(scenario, contender, place, number, started, into), daemon=True)
        it.start()
        running.append((it, out))
    for it, out in running:
        seen.add(out.recv())
        it.join()
    return seen


def percentile(values: array[int], share: float) -> float:
    """In microseconds."""
    return sorted(values)[int(share * (len(values) - 1))] / 1_000 if values else float("nan")


@dataclass
class Figures:
    """What is printed and judged of one run."""

    seconds: float
    decisions: int
    admitted: int
    refused: int
    undecided: int
    over: float
    calls: int
    p50_us: float
    p99_us: float
    leased_p50_us: float

    @classmethod
    def of(cls, seen: Seen, scenario: Scenario) -> Figures:
        """With several keys, over-admission is not looked at: each is asked too seldom."""
        return cls(
            seen.seconds,
            len(seen.took_ns),
            len(seen.admitted_ns),
            seen.refused,
            seen.undecided,
            over(seen.admitted_ns, scenario.limit) if scenario.keys == 1 else 0.0,
            seen.calls,
            percentile(seen.took_ns, 0.5),
            percentile(seen.took_ns, 0.99),
            percentile(seen.leased_ns, 0.5),
        )

    @property
    def rate(self) -> float:
        """Decisions a second."""
        return self.decisions / self.seconds

    def line(self, name: str) -> str:
        """Of the table."""
        return (
            f"  {name:<14}{self.rate:>10,.0f}{self.admitted / self.seconds:>11,.0f}{self.over:>7.2f}"
            f"{self.p50_us:>11,.1f}{self.p99_us:>11,.1f}{self.calls / self.seconds:>9,.1f}"
            f"{self.calls / max(self.decisions, 1):>10.5f}{self.calls / max(self.admitted, 1):>10.4f}"
            f"{self.calls / max(self.refused, 1) if self.refused else float('nan'):>10.5f}{self.undecided:>6}"
        )


HEADINGS = (
    f"  {'':<14}{'decisions/s':>10}{'admitted/s':>11}{'over':>6}{'p50 µs':>11}{'p99 µs':>11}{'calls/s':>9}"
    f"{'calls/dec':>10}{'calls/adm':>10}{'calls/ref':>10}{'undec':>6}"
)


def aims(said: dict[str, dict[str, Figures]]) -> Iterator[tuple[str, float, str, float]]:
    """What was found of each aim: its words, the figure, how it must compare, with what."""
    ours = {name: it[OURS.name] for name, it in said.items()}
    yield "over-admitted tokens, all scenarios", max(it.over for it in ours.values()), "<=", 0
    for name, it in ours.items():
        peer = said[name].get(PEER.name)
        if name.startswith("hot key, 100,000/s, 8 processes") and peer:
            yield f"decisions a second / {PEER.name}: {name}", it.rate / peer.rate, ">=", 50
        if name.startswith("hot key"):
            yield f"p50 of a leased decision, µs: {name}", it.leased_p50_us, "<=", 20
        if name.startswith("1,000/s"):
            yield f"writes an admitted call: {name}", it.calls / it.admitted, "<=", 0.05
        if name.startswith("flood"):
            yield f"calls a refused decision: {name}", it.calls / it.refused, "<=", 0.02
        if name.startswith("quiet"):
            yield f"calls a decision: {name}", it.calls / it.decisions, "<=", 1.02


@contextmanager
def dynamodb_local() -> Iterator[str]:
    """The address of the one that is named, or of one that is started from the jar that is named."""
    endpoint, jar = os.environ.get("HMS_SVC_DYNAMODB_ENDPOINT"), os.environ.get("HMS_SVC_DYNAMODB_JAR")
    if endpoint:
        yield endpoint
        return
    if not jar:
        sys.exit("Name DynamoDB Local: HMS_SVC_DYNAMODB_JAR=…/DynamoDBLocal.jar, or HMS_SVC_DYNAMODB_ENDPOINT=http://…")
    command = ["java", "-jar", jar, "-inMemory", "-disableTelemetry", "-port", str(PORT)]
    started = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        endpoint = f"http://127.0.0.1:{PORT}"
        PoolManager().request("GET", endpoint, retries=Retry(9, backoff_factor=0.1, redirect=0))
        yield endpoint
    finally:
        started.terminate()
        started.wait()


def main() -> None:
    """Run the scenarios, print their figures and which aims are met."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", default="", help="scenarios whose names have this in them")
    chosen = [it for it in SCENARIOS if parser.parse_args().only in it.name]
    os.environ.update(ENVIRONMENT)
    said: dict[str, dict[str, Figures]] = {}
    with dynamodb_local() as endpoint:
        for contender in (OURS, PEER):  # the Java machine compiles what it runs often
            run(Scenario("warm-up", Limit(1_000_000, 1, 20), 2, seconds=5), contender, endpoint)
        print(f"{os.cpu_count()} processors, {OURS.name} and {PEER.name} {version(PEER.name)}\n{HEADINGS}")
        for scenario in chosen:
            print(scenario.name)
            figures = {it.name: Figures.of(run(scenario, it, endpoint), scenario) for it in scenario.contenders}
            said[scenario.name] = figures
            for name, it in figures.items():
                print(it.line(name), flush=True)
            if PEER.name in figures:
                print(f"  {'ratio':<14}{figures[OURS.name].rate / figures[PEER.name].rate:>10.1f}")
    missed = 0
    for words, found, compares, aim in aims(said):
        met = found <= aim if compares == "<=" else found >= aim
        missed += not met
        print(f"{'met   ' if met else 'MISSED'} {words}: {found:,.4g} (aim {compares} {aim})")
    sys.exit(missed > 0)


if __name__ == "__main__":
    main()
