from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from worlds import RecordingUpstream, drive

from hms_svc.aws.traced import TracedUpstream
from hms_svc.core.config import Target
from hms_svc.core.model import Headers
from hms_svc.core.ports import UpstreamRequest

TRACE = "Root=1-6564f0a2-0123456789abcdef01234567;Parent=53995c3f42cd8ad8;Sampled="
CALL = UpstreamRequest(Target("http", "claims-svc", 9001), "GET", "/claims/7?secret=1", Headers(), b"", 3.0)
IN_LAMBDA = """
import os
from test_traced import CALL
from worlds import RecordingUpstream, drive
from hms_svc.aws.traced import TracedUpstream
print(drive(TracedUpstream(RecordingUpstream(), os.environ).send(CALL)).status)
"""


def in_lambda(sampled: str, tmp_path: Path) -> tuple[str, list[dict[str, Any]]]:
    """What a process with Lambda's environment prints, and what it tells a tracing daemon: a real UDP socket."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as daemon:
        daemon.bind(("127.0.0.1", 0))
        environment = os.environ | {
            "AWS_XRAY_DAEMON_ADDRESS": f"127.0.0.1:{daemon.getsockname()[1]}",
            "LAMBDA_TASK_ROOT": str(tmp_path),
            "_X_AMZN_TRACE_ID": TRACE + sampled,
        }
        here = Path(__file__).parent
        environment["PYTHONPATH"] = os.pathsep.join([str(here), str(here.parent)])
        command = [sys.executable, "-W", "ignore", "-c", IN_LAMBDA]
        ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60)
        daemon.setblocking(False)
        told = []
        try:
            while True:
                told.append(json.loads(daemon.recv(65_536).split(b"\n", 1)[1]))
        except BlockingIOError:
            pass
    return ran.stdout.strip(), told


def test_a_call_of_a_traced_request_is_a_subsegment_without_its_path(tmp_path: Path) -> None:
    printed, (subsegment,) = in_lambda("1", tmp_path)
    assert printed == "200"
    assert (subsegment["name"], subsegment["namespace"]) == ("claims-svc", "remote")
    assert subsegment["trace_id"] == "1-6564f0a2-0123456789abcdef01234567"
    assert subsegment["parent_id"] == "53995c3f42cd8ad8"
    assert subsegment["http"] == {"request": {"method": "GET"}, "response": {"status": 200}}
    assert "secret" not in json.dumps(subsegment)


def test_other_requests_cost_nothing(tmp_path: Path) -> None:
    assert in_lambda("0", tmp_path) == ("200", [])
    upstream = RecordingUpstream()
    assert drive(TracedUpstream(upstream, {}).send(CALL)).status == 200
