"""The bound on the memory that a refusal takes, held by the benchmark that prints it, and its time as well."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "refusal_cost.py"


def test_no_refusal_takes_more_memory_than_its_bound() -> None:
    """Time is for the benchmark to say: a test that goes by it fails on another machine."""
    done = subprocess.run(
        [sys.executable, str(BENCHMARK), "--cpu-ms", "inf"], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("within the bounds\n")
