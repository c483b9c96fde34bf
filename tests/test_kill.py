"""`kill -9` of the running gateway while the endpoint for records is down: what had been answered is on record."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from ops_endpoint import OpsEndpoint
from running import project_copy, started

from hms_svc.core.chain import verify

if TYPE_CHECKING:
    from pathlib import Path

CALLS = 50


def test_what_was_answered_before_a_kill_is_delivered_in_order_afterwards(tmp_path: Path) -> None:
    folder = project_copy(tmp_path)
    with OpsEndpoint() as endpoint:
        endpoint.down()
        with started(folder, "--demo", "--routes", "routes.yml", HMS_OPS_URL=endpoint.url) as running:
            asked = [running.get(f"/no/such/path/{number}").headers["X-Request-Id"] for number in range(CALLS)]
            running.process.kill()
            running.process.wait()
        on_file = (folder / ".hms-svc" / "audit.jsonl").read_bytes().splitlines(keepends=True)
        endpoint.up()
        with started(folder, "--demo", "--routes", "routes.yml", HMS_OPS_URL=endpoint.url) as running:
            asked.append(running.get("/one/more").headers["X-Request-Id"])
            delivered = endpoint.wait_for_lines(CALLS + 1)
            assert running.stop()[0] == 0
    assert [json.loads(line)["metadata"]["uid"] for line in on_file] == asked[:CALLS]
    assert [json.loads(line)["metadata"]["uid"] for line in delivered] == asked
    assert verify(delivered).ok
    assert verify((folder / ".hms-svc" / "audit.jsonl").read_bytes().splitlines(keepends=True)).good == CALLS + 1
