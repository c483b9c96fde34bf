"""A minute of load on the whole pipeline: no error, no growth of memory.

Run: python benchmarks/servers/soak.py [--seconds 60] [--connections 64]. Needs wrk. Exits 1 when it does not hold.
"""

from __future__ import annotations

import argparse
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from compare import HERE, OTHERS, free_port, load, on
from pipeline import PATH, TOKEN

MAY_GROW_KIB = 4_096
"""Between the end of the warm-up and the end."""
WARM_UP_S = 5


def resident_kib(pid: int) -> int:
    """What the process holds of the memory (Linux)."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text("ascii"))
    return int(found.group(1)) if found else 0


def main() -> None:
    """Load, look, tell."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--seconds", type=int, default=60)
    arguments.add_argument("--connections", type=int, default=64)
    given = arguments.parse_args()
    if shutil.which("wrk") is None:
        sys.exit("wrk is not installed (Debian: apt install wrk); nothing was measured")
    with tempfile.TemporaryDirectory() as scratch:
        sys.exit(0 if soak(given.seconds, given.connections, Path(scratch)) else 1)


def soak(seconds: int, connections: int, scratch: Path) -> bool:
    """Whether nothing failed and nothing grew."""
    said = scratch / "stderr"
    service = subprocess.Popen(
        [*on(OTHERS), sys.executable, HERE / "fixed_service.py"], stdout=subprocess.PIPE, text=True
    )
    port = free_port()
    with said.open("w") as stderr:
        behind = service.stdout.readline().strip() if service.stdout else ""
        command = [sys.executable, HERE / "candidate.py", "ours", "ours", behind, str(port)]
        gateway = subprocess.Popen(command, stderr=stderr)
    try:
        _wait_for(port)
        load(port, WARM_UP_S, connections)
        before = resident_kib(gateway.pid)
        url = f"http://127.0.0.1:{port}{PATH}"
        wrk = [*on(OTHERS), "wrk", "-t1", f"-c{connections}", f"-d{seconds}", "--latency"]
        output = subprocess.run(
            [*wrk, "-H", f"Authorization: Bearer {TOKEN}", url], check=True, capture_output=True, text=True
        ).stdout
        after = resident_kib(gateway.pid)
    finally:
        for running in (gateway, service):
            running.kill()
            running.communicate()
    errors = re.findall(r"(Non-2xx[^\n]*|Socket errors[^\n]*)", output)
    print(output)
    print(f"memory: {before} KiB after the warm-up, {after} KiB at the end; errors: {errors or 'none'}")
    print(said.read_text("utf-8"), end="")
    return not errors and after - before <= MAY_GROW_KIB and not said.read_text("utf-8")


def _wait_for(port: int) -> None:
    for _ in range(100):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return


if __name__ == "__main__":
    main()
