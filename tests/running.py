"""A gateway that really runs: the installed command in a process of its own, on a free port."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

import requests

if TYPE_CHECKING:
    from collections.abc import Iterator

PROJECT = Path(__file__).parent.parent
COMMAND = str(Path(sys.executable).with_name("hms-svc"))
TOKEN = "a-token-of-the-tests"


def environment(**more: str) -> dict[str, str]:
    """The tests' own environment without a setting of the machine's."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HMS_SVC_", "HMS_OPS_"))}
    kept["PATH"] = f"{Path(COMMAND).parent}{os.pathsep}{kept['PATH']}"
    return kept | {"PYTHONWARNINGS": "error"} | more


def hms_svc(*arguments: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run one command to its end."""
    return subprocess.run(
        [COMMAND, *arguments], cwd=cwd, env=environment(**env), capture_output=True, text=True, timeout=60, check=False
    )


class Running:
    """A started gateway."""

    def __init__(self, process: subprocess.Popen[str], url: str, said: list[str]) -> None:
        self.process = process
        self.url = url
        self.said = said
        """What it printed when it started."""
        self.session = requests.Session()
        self.session.trust_env = False

    def get(self, path: str, **headers: str) -> requests.Response:
        return self.session.get(self.url + path, headers=headers, timeout=20)

    def stop(self, with_signal: signal.Signals = signal.SIGTERM) -> tuple[int, str, str]:
        """Tell it to stop; the exit code and what it said since."""
        self.session.close()
        self.process.send_signal(with_signal)
        out, err = self.process.communicate(timeout=30)
        return self.process.returncode, out, err


@contextmanager
def started(cwd: Path, *arguments: str, **env: str) -> Iterator[Running]:
    """``hms-svc start`` with ``arguments`` in the folder ``cwd``, until the block is left."""
    process = subprocess.Popen(
        [COMMAND, "start", "--port", "0", *arguments],
        cwd=cwd,
        env=environment(**env),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        said = _until_ready(process.stdout)
        found = re.search(r"listens on (\S+)", "".join(said))
        assert found, f"it did not start: {''.join(said)}{process.stderr.read() if process.stderr else ''}"
        running = Running(process, found.group(1), said)
        yield running
        running.session.close()
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def _until_ready(out: IO[str]) -> list[str]:
    said: list[str] = []
    for line in out:
        said.append(line)
        if line.startswith("Ctrl-C"):
            break
    return said


def project_copy(folder: Path) -> Path:
    """A folder with what a user of the project has at hand: the example routes and the plug-ins."""
    (folder / "routes.yml").write_bytes((PROJECT / "routes.yml").read_bytes())
    plug_ins = folder / "layers" / "policies"
    plug_ins.mkdir(parents=True)
    for source in (PROJECT / "layers" / "policies").glob("*.py"):
        (plug_ins / source.name).write_bytes(source.read_bytes())
    return folder
