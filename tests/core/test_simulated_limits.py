"""Environments that die, before a table that is slow, throttles and loses answers: see benchmarks/limits_world.py."""

from __future__ import annotations

import pickle

import limits_load
import pytest
from limits_bound import over, possible
from limits_world import START_NS, Scenario, Seen, Simulation

from hms_svc.core.config import Limit
from hms_svc.core.gcra import SECOND_NS

SLOW, SHALLOW, FAST = Limit(30, 60, 30), Limit(1_000, 1, 100), Limit(1_000, 1, 1_000)
TROUBLE = {"latency_ms": 20, "throttled": 0.1, "lost": 0.05}
SCENARIOS = [
    Scenario("slow", SLOW, 8, 500, 20, killed=2, **TROUBLE),
    Scenario("shallow", SHALLOW, 20, 1_500, 5, killed=4, **TROUBLE),
    Scenario("fast", FAST, 20, 3_000, 5, killed=4, **TROUBLE),
    Scenario("hundreds", FAST, 300, 2_000, 4, killed=10, **TROUBLE),
    Scenario("volleys", FAST, 8, 500, 15, pulse_s=0.2, rest_s=1.2, heavier=50),
    Scenario("shallow volleys", SHALLOW, 4, 800, 5, pulse_s=0.1, rest_s=0.2, heavier=20, killed=0.5),
    Scenario("volleys amid trouble", FAST, 20, 500, 15, pulse_s=0.2, rest_s=1.2, heavier=50, killed=1, **TROUBLE),
]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda it: it.name)
def test_nothing_that_befalls_environments_or_table_lets_more_pass_than_the_limit(scenario: Scenario) -> None:
    seen = Simulation(scenario).run()
    assert over(seen.admitted_ns, scenario.limit) == 0
    assert len(seen.admitted_ns) > scenario.limit.burst


def test_environments_use_what_the_limit_allows_at_few_writes() -> None:
    seen = Simulation(Scenario("busy", FAST, 8, 1_200, 10)).run()
    assert len(seen.admitted_ns) >= 0.95 * possible(seen.offered_ns, FAST)
    assert len(seen.written_ns) <= 0.05 * len(seen.admitted_ns)
    assert seen.undecided == 0


def test_a_thousand_environments_come_to_ask_no_more_of_one_key_than_the_table_takes() -> None:
    deep = Limit(20_000, 1, 100_000)
    seen = Simulation(Scenario("a thousand", deep, 1_000, 8_000, 6)).run()
    since_ns = START_NS + 4 * SECOND_NS
    admitted, offered, written = (
        sum(at_ns >= since_ns for at_ns in them) for them in (seen.admitted_ns, seen.offered_ns, seen.written_ns)
    )
    assert over(seen.admitted_ns, deep) == 0
    assert admitted >= 0.95 * offered
    assert written <= 0.1 * offered


@pytest.mark.parametrize(("environments", "offered"), [(2, 10_000), (8, 10_000)])
def test_environments_that_compete_each_get_a_share(environments: int, offered: float) -> None:
    seen = Simulation(Scenario("competing", FAST, environments, offered, 20)).run()
    assert over(seen.admitted_ns, FAST) == 0
    assert min(seen.shares) * environments >= 0.4 * len(seen.admitted_ns)


def test_a_simulation_comes_out_the_same_each_time() -> None:
    def once(seed: int) -> Seen:
        return Simulation(Scenario("again", FAST, 4, 200, 2, killed=1, **TROUBLE), seed).run()

    assert once(1) == once(1)
    assert once(1) != once(2)


def test_the_bound_is_exact() -> None:
    calls = [SECOND_NS] * 30
    assert over(calls, SLOW) == 0
    assert over([*calls, 3 * SECOND_NS - 1], SLOW) > 0
    assert over([*calls, 3 * SECOND_NS], SLOW) == 0
    assert possible([*calls, 3 * SECOND_NS - 1], SLOW) == 30
    assert possible([*calls, 3 * SECOND_NS], SLOW) == 31


def test_what_is_measured_on_dynamodb_can_be_sent_to_other_processes() -> None:
    scenario = limits_load.Scenario("fast", FAST)
    assert pickle.loads(pickle.dumps(scenario)) == scenario  # noqa: S301  (its own)
