"""Servers and clients compared around the whole pipeline, with aiohttp's plain reverse proxy in the same run.

Run: HMS_SVC_VECTORS=… python benchmarks/servers/compare.py [--seconds 5] [--connections 32] [--rounds 2]
Needs wrk (Debian: apt install wrk) and the libraries of `pip install --group bench`; what is not there is skipped.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from clients import CLIENTS
from pipeline import PATH, TOKEN
from servers import SERVERS

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent.parent / "tests"))
import http_vectors  # noqa: E402  (the tests' own reader of vectors)

_NUMBERS = {"rps": r"Requests/sec:\s+([\d.]+)", "p50": r"50%\s+([\d.]+\w+)", "p99": r"99%\s+([\d.]+\w+)"}
_CORES = sorted(os.sched_getaffinity(0))
MEASURED = str(_CORES[0])
"""The core of what is measured; everything else runs on the others."""
OTHERS = ",".join(map(str, _CORES[1:])) or MEASURED
PROXY = "aiohttp proxy"
"""The yardstick, on the standard loop as `web.run_app` runs it; beside it on uvloop."""
QUIET_S = 0.7
"""For a server that says nothing to a request it finds wanting."""


@dataclass(frozen=True)
class Figures:
    """What wrk measured."""

    rps: float
    p50: str
    p99: str
    errors: str


def on(cores: str) -> tuple[str, ...]:
    """The words before a command that runs on ``cores``."""
    return ("taskset", "-c", cores)


def free_port() -> int:
    """A port that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


@contextlib.contextmanager
def process(*command: object, port: int | None = None, cores: str = MEASURED) -> Iterator[int]:
    """The port on which ``command`` serves: the one given, or the one it prints. Raises `RuntimeError`."""
    words = [*on(cores), sys.executable, *map(str, command)]
    running = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        if port is None:
            line = running.stdout.readline() if running.stdout else ""
            if not line:
                raise RuntimeError(_last_line(running))
            port = int(line)
        for _ in range(100):
            if running.poll() is not None:
                raise RuntimeError(_last_line(running))
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.1)
        yield port
    finally:
        running.kill()
        running.communicate()


def _last_line(running: subprocess.Popen[str]) -> str:
    running.kill()
    return (running.communicate()[1].strip().splitlines() or ["it said nothing"])[-1]


def load(port: int, seconds: int, connections: int) -> Figures:
    """Wrk's figures, after a second to warm up."""
    url = f"http://127.0.0.1:{port}{PATH}"
    command = [*on(OTHERS), "wrk", "-t1", f"-c{connections}", "--latency", "-H", f"Authorization: Bearer {TOKEN}"]
    subprocess.run([*command, "-d1", url], check=True, capture_output=True)
    said = subprocess.run([*command, f"-d{seconds}", url], check=True, capture_output=True, text=True).stdout
    found = {name: match.group(1) for name, sought in _NUMBERS.items() if (match := re.search(sought, said))}
    errors = " ".join(re.findall(r"(Non-2xx[^\n]*|Socket errors[^\n]*)", said))
    return Figures(float(found["rps"]), found.get("p50", ""), found.get("p99", ""), errors)


def accepted(port: int, folder: Path) -> tuple[int, int]:
    """How many of the requests in ``folder`` are answered 2xx, and how many there are."""
    files = [path for path in sorted(folder.glob("*.http")) if path.stem not in http_vectors.BOUNDS_OF_THEIR_ORIGIN]
    return sum(_answered_2xx(port, http_vectors.read(path)) for path in files), len(files)


def _answered_2xx(port: int, raw: bytes) -> bool:
    with socket.create_connection(("127.0.0.1", port), 1) as connection:
        connection.settimeout(QUIET_S)
        came = b""
        with contextlib.suppress(OSError):
            connection.sendall(raw)
            while piece := connection.recv(65_536):
                came += piece
        return re.search(rb"HTTP/1\.[01] 2\d\d", came) is not None


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--seconds", type=int, default=5, help="of load on each candidate and round")
    arguments.add_argument("--connections", type=int, default=32)
    arguments.add_argument("--rounds", type=int, default=2, help="the best one counts")
    given = arguments.parse_args()
    if shutil.which("wrk") is None:
        sys.exit("wrk is not installed (Debian: apt install wrk); nothing was measured")
    speed(given.seconds, given.connections, given.rounds)
    vectors = os.environ.get("HMS_SVC_VECTORS")
    if vectors is None:
        print("\nStrictness was not measured: HMS_SVC_VECTORS names no folder of test vectors")
    else:
        strictness(Path(vectors) / "gunicorn-http")


def speed(seconds: int, connections: int, rounds: int) -> None:
    """Requests a second of every candidate."""
    pairs = [("ours", "ours, no pipeline")] + [(server, "ours") for server in SERVERS]
    pairs += [("ours", client) for client in CLIENTS if client != "ours"]
    rows: dict[str, Figures] = {}
    with process(HERE / "fixed_service.py", cores=OTHERS) as service:
        for _ in range(rounds):
            for server, client in [(PROXY, ""), (PROXY, "uvloop"), *pairs]:
                title = f"{server} + {client}" if server != PROXY else f"{server} {client}".strip()
                port = None if server == PROXY else free_port()
                plain = (HERE / "aiohttp_proxy.py", service, client)
                command = plain if port is None else (HERE / "candidate.py", server, client, service, port)
                try:
                    with process(*command, port=port) as listening:
                        figures = load(listening, seconds, connections)
                except RuntimeError as error:
                    print(f"{title}: skipped: {error}", file=sys.stderr)
                    continue
                if title not in rows or figures.rps > rows[title].rps:
                    rows[title] = figures
    print(f"\nwrk -t1 -c{connections} -d{seconds}s, the best of {rounds}\n")
    print("| server + client | pipeline | requests/s | p50 | p99 | to aiohttp's proxy |")
    print("|---|---|---:|---:|---:|---:|")
    base = rows[PROXY].rps if PROXY in rows else float("nan")
    for title, figures in rows.items():
        whole = "none" if title.startswith(PROXY) or "no pipeline" in title else "whole"
        numbers = f"{figures.rps:,.0f} | {figures.p50} | {figures.p99} | {figures.rps / base:.2f}"
        print(f"| {title} | {whole} | {numbers} | {figures.errors}".rstrip(" |") + " |")


def strictness(folder: Path) -> None:
    """How many requests that are none each server answers 2xx."""
    print("\n| server | of the invalid set answered 2xx | of the valid set answered 2xx |")
    print("|---|---:|---:|")
    for server in SERVERS:
        port = free_port()
        try:
            with process(HERE / "candidate.py", server, "none", 0, port, port=port) as listening:
                (bad, of_bad), (good, of_good) = (accepted(listening, folder / name) for name in ("invalid", "valid"))
        except RuntimeError as error:
            print(f"{server}: skipped: {error}", file=sys.stderr)
            continue
        print(f"| {server} | {bad} of {of_bad} | {good} of {of_good} |")


if __name__ == "__main__":
    main()
