"""Fuzzes for so many minutes and says how many inputs were tried and what was found: `make fuzz MINUTES=10`.

Half of the time hypothesis draws inputs by chance and shrinks what it finds; half of it atheris, where it is installed,
goes by which lines of the gateway an input reaches. What is found is kept in seeds/ and replayed by the tests.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from fuzz.calls import Call

SEEDS = Path(__file__).parent / "seeds"
BATCH = 500
settings.register_profile(
    "fuzz", max_examples=BATCH, database=None, deadline=None, suppress_health_check=list(HealthCheck)
)


def keep(call: Call) -> Path:
    """Write a call that was found to where the tests replay it."""
    text = call.to_json()
    path = SEEDS / f"found-{hashlib.sha256(text.encode()).hexdigest()[:12]}.json"
    path.write_text(text + "\n", "utf-8")
    return path


def by_chance(seconds: float) -> int:
    """Each property in turn until the time is over. How many found something."""
    settings.load_profile("fuzz")  # before the properties are there: each takes what is in force then
    from fuzz.properties import JUDGE, PROPERTIES, failed

    tried = dict.fromkeys(PROPERTIES, 0)
    broken: dict[str, str] = {}
    ends = time.monotonic() + seconds
    while time.monotonic() < ends and len(broken) < len(PROPERTIES):
        for name, check in PROPERTIES.items():
            if name in broken or time.monotonic() >= ends:
                continue
            try:
                check()
            except Exception:  # noqa: BLE001  (whatever it is, it is a finding)
                kept = keep(failed[-1]) if failed else "no call"
                broken[name] = f"{kept}\n{traceback.format_exc(limit=-4)}"
            tried[name] += BATCH
    for name, count in tried.items():
        print(f"{count:>9} {name}{': BROKEN ' + broken[name] if name in broken else ''}")
    print(f"{sum(JUDGE.statuses.values()):>9} calls answered: {dict(sorted(JUDGE.statuses.items()))}")
    return len(broken)


def guided(seconds: int) -> int:
    """Atheris in a process of its own, since it ends the process it runs in. Its exit code."""
    with tempfile.TemporaryDirectory() as folder:
        options = [
            f"-max_total_time={seconds}",
            "-max_len=4096",
            "-rss_limit_mb=2000",
            f"-artifact_prefix={folder}/",
            folder,
        ]
        done = subprocess.run(
            [sys.executable, "-m", "fuzz.guided", *options],
            check=False,
            capture_output=True,
            text=True,
            cwd=Path(__file__).parents[1],
        )
    said = done.stderr.splitlines()
    last = [line for line in said if line.startswith("guided: ") and "inputs" in line][-1:]
    for line in [*last, *(line for line in said if line.startswith(("Done", "guided: kept")) or "Error" in line)]:
        print(line)
    return done.returncode


def main() -> int:
    """Fuzz; 1 when something was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    seconds = parser.parse_args().minutes * 60
    try:
        import atheris  # noqa: F401
    except ImportError:
        print("atheris is not installed: by chance only")
        return 1 if by_chance(seconds) else 0
    found = by_chance(seconds / 2)
    return 1 if guided(int(seconds / 2)) or found else 0


if __name__ == "__main__":
    sys.exit(main())
