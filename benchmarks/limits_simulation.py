"""Rate limits shared by up to 1,000 environments, simulated: over-admission, under-use, writes an admitted call.

Over-admission is exact: the largest excess over burst + rate * time, over every span of time. It must be 0; the exit
status says so too. "least" is what the environment that got least has admitted, of an even share. `limits_world` has
the model.

Run: python benchmarks/limits_simulation.py [--only WORDS]
     python benchmarks/limits_simulation.py --plot docs/images/limits-simulation.svg
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from limits_bound import over, possible
from limits_world import START_NS, Scenario, Simulation

from hms_svc.core.config import Limit
from hms_svc.core.gcra import SECOND_NS

if TYPE_CHECKING:
    from limits_world import Seen


def per_second(rate: int) -> Limit:
    """A bucket of one second."""
    return Limit(rate, 1, rate)


MINUTE, THOUSAND, FIVE_THOUSAND = Limit(30, 60, 30), per_second(1_000), per_second(5_000)
BUSY = Scenario("1,000/s: 1,200/s", THOUSAND, 50, 1_200)
TROUBLED = replace(BUSY, name="  all of these", latency_ms=50, throttled=0.1, lost=0.05, killed=5)
HUNDREDS = Scenario("5,000/s: 6,000/s", FIVE_THOUSAND, 1_000, 6_000)
SCENARIOS = (
    Scenario("30/m: a call every 10 s", MINUTE, 4, 0.1, seconds=2_000),
    Scenario("30/m: flood of 1,000/s", MINUTE, 8, 1_000, seconds=60),
    Scenario("100/s: 50/s", per_second(100), 8, 50),
    Scenario("1,000/s: 500/s", THOUSAND, 8, 500),
    Scenario("1,000/s: 1,000/s", THOUSAND, 8, 1_000),
    Scenario("1,000/s: 1,200/s", THOUSAND, 8, 1_200),
    Scenario("1,000/s: flood of 10,000/s", THOUSAND, 8, 10_000, seconds=10),
    Scenario("100,000/s: 1,000/s", per_second(100_000), 8, 1_000),
    Scenario("20,000/s: 10,000/s", per_second(20_000), 50, 10_000, seconds=10),
    Scenario("5,000/s: 10,000/s", FIVE_THOUSAND, 50, 10_000, seconds=10),
    BUSY,
    replace(BUSY, name="  table answers in 50 ms", latency_ms=50),
    replace(BUSY, name="  10 % throttled", throttled=0.1),
    replace(BUSY, name="  5 % of answers lost", lost=0.05),
    replace(BUSY, name="  5 die a second", killed=5),
    TROUBLED,
    replace(TROUBLED, name="  all of these, in pulses", pulse_s=1.5, rest_s=1.5),
    replace(BUSY, name="  volleys", offered=500, pulse_s=0.25, rest_s=1.5, heavier=100),
    replace(BUSY, name="  clocks 20 ms apart", skew_s=0.01),
    replace(BUSY, name="  clocks 2 s apart", skew_s=1),
    Scenario("1,000/s: 2,000/s", THOUSAND, 1_000, 2_000),
    Scenario("5,000/s: 4,000/s", FIVE_THOUSAND, 1_000, 4_000),
    HUNDREDS,
    replace(HUNDREDS, name="  20 ms, 5 % throttled, 2 % lost", latency_ms=20, throttled=0.05, lost=0.02),
    replace(HUNDREDS, name="  and 20 die a second", latency_ms=20, throttled=0.05, lost=0.02, killed=20),
    Scenario("20,000/s, 5 s of burst: 10,000/s", Limit(20_000, 1, 100_000), 1_000, 10_000, seconds=10),
    replace(HUNDREDS, name="  volleys", offered=2_000, pulse_s=0.25, rest_s=1.5, heavier=100),
)
HEADINGS = (
    f"{'limit: offered':<34}{'env.':>6}{'over':>6}{'admitted':>9}{'possible':>9}{'use':>7}{'writes/s':>9}"
    f"{'/admitted':>10}{'/refused':>9}{'throttled':>10}{'undecided':>10}{'unused':>8}{'least':>7}"
)


def allowed(scenario: Scenario) -> Limit:
    """What may be admitted by the world's clock: a clock that is ahead has its refill early, once."""
    limit = scenario.limit
    return replace(limit, burst=limit.burst + round(2 * scenario.skew_s * limit.limit / limit.period_s))


def line(scenario: Scenario, seen: Seen) -> str:
    """Of the table."""
    admitted, writes = len(seen.admitted_ns), len(seen.written_ns)
    could = possible(seen.offered_ns, scenario.limit)
    least = "-" if scenario.killed else f"{min(seen.shares) * len(seen.shares) / admitted:.2f}"
    per_refused = f"{seen.refused_calls / seen.refused:.4f}" if seen.refused else "-"
    return (
        f"{scenario.name:<34}{scenario.environments:>6,}{over(seen.admitted_ns, allowed(scenario)):>6.2f}{admitted:>9,}"
        f"{could:>9,}{admitted / could:>7.3f}{writes / scenario.seconds:>9,.1f}{writes / admitted:>10.4f}"
        f"{per_refused:>9}{seen.throttled:>10,}{seen.undecided:>10,}{seen.most_unused:>8,}{least:>7}"
    )


def table(only: str) -> bool:
    """Print it; whether nothing was over-admitted."""
    kept = True
    print(HEADINGS)
    for scenario in SCENARIOS:
        if only in scenario.name:
            seen = Simulation(scenario).run()
            kept = kept and not over(seen.admitted_ns, allowed(scenario))
            print(line(scenario, seen), flush=True)
    return kept


OFFERED = (100, 200, 400, 600, 800, 1_000, 1_200, 1_500, 2_000, 3_000, 5_000, 10_000)
SETTLED_S, MEASURED_S = 10, 10
"""A full bucket lets more pass at first, which is not what the plot is about."""


def rates(environments: int, offered: float) -> tuple[float, float]:
    """Admitted and written a second at 1,000/s, when the first burst is over."""
    seen = Simulation(Scenario("", THOUSAND, environments, offered, SETTLED_S + MEASURED_S)).run()
    since_ns = START_NS + SETTLED_S * SECOND_NS
    admitted, written = (sum(at_ns >= since_ns for at_ns in them) for them in (seen.admitted_ns, seen.written_ns))
    return admitted / MEASURED_S, written / MEASURED_S


def plot(file: Path) -> None:
    """Draw what comes of ever more calls."""
    from limits_plot import Line, Panel, drawn

    lines = {environments: [rates(environments, offered) for offered in OFFERED] for environments in (8, 50)}
    exact = Line("an exact bucket", [min(offered, 1_000) for offered in OFFERED], 0, is_dashed=True)
    admitted, written = (
        [Line(f"{it} environments", [found[which] for found in lines[it]], 1 + order) for order, it in enumerate(lines)]
        for which in (0, 1)
    )
    panels = [
        Panel("Admitted calls a second, one key, limit 1,000/s", [exact, *admitted], step=200),
        Panel("Writes to the table a second", written, step=50),
    ]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(drawn("offered calls a second", OFFERED, panels))


def main() -> None:
    """Print the table, or draw."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", default="", help="scenarios whose names have this in them")
    parser.add_argument("--plot", type=Path, help="an SVG file to write instead")
    arguments = parser.parse_args()
    if arguments.plot:
        plot(arguments.plot)
    elif not table(arguments.only):
        sys.exit("more was admitted than the limit allows")


if __name__ == "__main__":
    main()
