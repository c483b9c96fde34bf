"""Rate limits in DynamoDB Local, beside a peer: decisions a second, how long one takes, calls, over-admission.

hms-svc and zae-limiter (PyPI) decide on the same DynamoDB Local, one after the other, in as many processes, on the same
limits. Over-admission is exact: the moment of every admitted call, by the one clock of this machine, against an exact
bucket, over every span of time.

Run: pip install --group bench
     HMS_SVC_DYNAMODB_JAR=…/DynamoDBLocal.jar python benchmarks/limits_dynamodb.py   (needs Java)
     HMS_SVC_DYNAMODB_ENDPOINT=http://127.0.0.1:8000 python benchmarks/limits_dynamodb.py --only flood
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from operator import ge, le
from typing import TYPE_CHECKING

from limits_bound import over, possible
from limits_contenders import ENVIRONMENT, Ours, Zae
from limits_load import Scenario, run
from urllib3 import PoolManager, Retry

from hms_svc.core.config import Limit

if TYPE_CHECKING:
    from array import array
    from collections.abc import Iterator

    from limits_load import Seen

PORT = 8058
OURS, PEER = Ours(), Zae()
MINUTE, THOUSAND, HOT = Limit(30, 60, 30), Limit(1_000, 1, 1_000), Limit(100_000, 1, 100_000)
COMPARED = (
    Scenario("hot key, 100,000/s, 1 process", HOT, processes=1),
    Scenario("hot key, 100,000/s, 8 processes", HOT),
    Scenario("hot key, 100,000/s, 8 processes of 4 threads", HOT, threads=4),
    Scenario("1,000/s, offered 1,200/s, 8 processes", THOUSAND, offered=1_200, seconds=10),
    Scenario("flood on 30/m: 1,000/s, 8 processes", MINUTE, offered=1_000, seconds=10),
    Scenario("flood on 1,000/s: 10,000/s, 8 processes", THOUSAND, offered=10_000, seconds=10),
    Scenario("quiet keys: 30/m, each called every 2.5 s", MINUTE, offered=80, keys=201, seconds=15),
)
ALONE = (
    Scenario("20,000/s, offered 10,000/s, 50 environments", Limit(20_000, 1, 20_000), 5, 10, offered=10_000),
    Scenario("5,000/s, offered 10,000/s, 50 environments", Limit(5_000, 1, 5_000), 5, 10, offered=10_000),
)


def percentile_us(values_ns: array[int], share: float) -> float:
    """Not a number where there are none."""
    return sorted(values_ns)[int(share * (len(values_ns) - 1))] / 1_000 if values_ns else float("nan")


@dataclass(frozen=True)
class Figures:
    """What one run says."""

    decisions: float
    """A second."""
    admitted: float
    """A second."""
    over: float
    """Tokens. Not looked at where there are several keys."""
    use: float
    """Share of the calls that one exact bucket would have admitted."""
    p50_us: float
    p99_us: float
    leased_p50_us: float
    calls: float
    """A second."""
    undecided: float
    """A second."""

    @classmethod
    def of(cls, seen: Seen, scenario: Scenario) -> Figures:
        """The times are sorted, not sampled."""
        admitted, seconds, one = len(seen.admitted_ns), seen.seconds, scenario.keys == 1
        return cls(
            decisions=len(seen.took_ns) / seconds,
            admitted=admitted / seconds,
            over=over(seen.admitted_ns, scenario.limit) if one else 0.0,
            use=admitted / possible(seen.asked_ns, scenario.limit) if one else admitted / len(seen.took_ns),
            p50_us=percentile_us(seen.took_ns, 0.5),
            p99_us=percentile_us(seen.took_ns, 0.99),
            leased_p50_us=percentile_us(seen.leased_ns, 0.5),
            calls=seen.sent.total() / seconds,
            undecided=seen.undecided.total() / seconds,
        )

    @property
    def per_decision(self) -> float:
        """Calls to DynamoDB."""
        return self.calls / self.decisions

    @property
    def per_admitted(self) -> float:
        """Calls to DynamoDB, those of refused decisions too."""
        return self.calls / self.admitted if self.admitted else float("nan")

    @property
    def per_refused(self) -> float:
        """Calls to DynamoDB, those of admitted decisions too."""
        refused = self.decisions - self.admitted - self.undecided
        return self.calls / refused if refused > 0.01 else float("nan")

    def line(self, name: str) -> str:
        """Of the table."""
        return (
            f"  {name:<12}{self.decisions:>12,.0f}{self.admitted:>11,.0f}{self.over:>6.2f}{self.use:>7.3f}"
            f"{self.p50_us:>12,.1f}{self.p99_us:>12,.1f}{self.leased_p50_us:>8,.1f}{self.calls:>9,.1f}"
            f"{self.per_decision:>10.5f}{self.per_admitted:>10.4f}{self.per_refused:>10.5f}"
        )


HEADINGS = (
    f"  {'':<12}{'decisions/s':>12}{'admitted/s':>11}{'over':>6}{'use':>7}{'p50 µs':>12}{'p99 µs':>12}{'leased':>8}"
    f"{'calls/s':>9}{'/decision':>10}{'/admitted':>10}{'/refused':>10}"
)


def aims(ours: dict[str, Figures], peers: dict[str, Figures]) -> Iterator[tuple[str, float, str, float]]:
    """What was found of each aim: its words, the figure, how it must compare, with what.

    The peer's rate is held against the calls we admit, since a limit may refuse many for nothing.
    """
    for name, it in ours.items():
        yield f"over-admitted tokens: {name}", it.over, "<=", 0
        if name.startswith("hot key") and " 8 processes" in name:
            yield f"admitted a second, of {PEER.name}'s: {name}", it.admitted / peers[name].admitted, ">=", 50
        if name.startswith("hot key"):
            yield f"p50 of a leased decision, µs: {name}", it.leased_p50_us, "<=", 20
        if name.startswith("1,000/s"):
            yield f"calls an admitted call: {name}", it.per_admitted, "<=", 0.05
        if name.startswith("flood"):
            yield f"calls a refused decision: {name}", it.per_refused, "<=", 0.02
        if name.startswith("quiet"):
            yield f"calls a decision: {name}", it.per_decision, "<=", 1.02


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
        PoolManager().request("GET", endpoint, retries=Retry(connect=9, backoff_factor=0.1, status=0))
        yield endpoint
    finally:
        started.terminate()
        started.wait()


def compare(scenario: Scenario, endpoint: str, ours: dict[str, Figures], peers: dict[str, Figures]) -> None:
    """Run it, print its lines and note its figures."""
    print(scenario.name)
    for contender, noted in ((OURS, ours), (PEER, peers)):
        if contender is OURS or scenario in COMPARED:
            seen = run(scenario, contender, endpoint)
            noted[scenario.name] = Figures.of(seen, scenario)
            print(noted[scenario.name].line(contender.name), flush=True)
            for why, times in seen.undecided.items():
                print(f"  {times} undecided: {why}")
    if scenario in COMPARED:
        mine, its = ours[scenario.name], peers[scenario.name]
        print(f"  {'ratio':<12}{mine.decisions / its.decisions:>12,.1f}{mine.admitted / its.admitted:>11,.1f}")


def main() -> None:
    """Run the scenarios, print their figures and which aims are met."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", default="", help="scenarios whose names have this in them")
    only = parser.parse_args().only
    os.environ.update(ENVIRONMENT)
    ours, peers = dict[str, Figures](), dict[str, Figures]()
    with dynamodb_local() as endpoint:
        for contender in (OURS, PEER):  # the Java machine compiles what it runs often
            run(Scenario("warm-up", Limit(1_000_000, 1, 20), seconds=6), contender, endpoint)
        print(f"{os.cpu_count()} processors; {PEER.name} {version(PEER.name)}\n{HEADINGS}")
        for scenario in (*COMPARED, *ALONE):
            if only in scenario.name:
                compare(scenario, endpoint, ours, peers)
    missed = 0
    for words, found, compares, aim in aims(ours, peers):
        met = (le if compares == "<=" else ge)(found, aim)
        missed += not met
        print(f"{'met   ' if met else 'MISSED'} {words}: {found:,.4g} (aim {compares} {aim})")
    sys.exit(missed > 0)


if __name__ == "__main__":
    main()
