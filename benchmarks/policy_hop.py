"""What it costs to ask a policy on a thread: µs a call, one after the other and many at a time.

Run: python benchmarks/policy_hop.py
"""

from __future__ import annotations

import asyncio
import time

from hms_svc.local.policy_runner import ThreadPolicyRunner

CALLS = 20_000
AT_A_TIME = 50


async def direct() -> float:
    """The same without threads, for comparison."""

    async def check() -> bool:
        return True

    begun = time.perf_counter()
    for _ in range(CALLS):
        await check()
    return (time.perf_counter() - begun) / CALLS * 1e6


async def hop(runner: ThreadPolicyRunner, at_a_time: int) -> float:
    """µs a call."""

    async def caller() -> None:
        for _ in range(CALLS // at_a_time):
            await runner.run(bool, 1.0)

    begun = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(at_a_time)))
    return (time.perf_counter() - begun) / CALLS * 1e6


async def main() -> None:
    """Print the figures."""
    print(f"no thread          {await direct():6.1f} µs/call")
    for workers in (1, 8):
        runner = ThreadPolicyRunner(workers)
        await runner.run(bool, 1.0)
        for at_a_time in (1, AT_A_TIME):
            print(f"{workers} threads, {at_a_time:2} at a time {await hop(runner, at_a_time):6.1f} µs/call")
        runner.close()


if __name__ == "__main__":
    import uvloop

    for name, run in (("asyncio", asyncio.run), ("uvloop", uvloop.run)):
        print(name)
        run(main())
