"""200 reloads under traffic: two files in turn, and a broken third in between."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from running import TOKEN, project_copy, started
from worlds import content

from hms_svc.core.config import Target
from hms_svc.core.model import Headers, Response
from hms_svc.core.ports import UpstreamRequest
from hms_svc.local.http.upstream import HttpUpstream

if TYPE_CHECKING:
    from pathlib import Path

ROUTE = """\
- path: /x
  auth: none
  forward_to: http://{service}
  response_headers: {{set: {{X-Table: {name}}}}}
- {{path: /only-{name}, auth: none, forward_to: "http://{service}"}}
"""
FILES = {
    "one": ROUTE.format(name="one", service="faq-svc:9000").encode(),
    "two": ROUTE.format(name="two", service="claims-svc:9001").encode(),
    "broken": b"- path: /x\n  forward_to: http://faq-svc:9000\n",
}
MARK = {"one": b'"faq"', "two": b'"claims"'}
"""What only the service of that table answers."""
RELOADS = 200
CALLERS = 8


class Client:
    """Calls one gateway over kept connections."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname
        assert parts.port
        self._target = Target("http", parts.hostname, parts.port)
        self._upstream = HttpUpstream()

    async def call(self, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, Headers, bytes]:
        lines = [("Host", self._target.authority), ("Content-Length", str(len(body))), *headers.items()]
        answer = await self._upstream.send(UpstreamRequest(self._target, method, path, Headers(lines), body, 30.0))
        return answer.status, answer.headers, await content(Response(answer.status, answer.headers, answer.body))

    async def close(self) -> None:
        await self._upstream.close()


async def _under_load(url: str) -> tuple[int, list[int]]:
    client = Client(url)
    done = asyncio.Event()
    calls = 0

    async def traffic() -> None:
        nonlocal calls
        while not done.is_set():
            status, headers, body = await client.call("GET", "/x")
            assert status == 200
            assert MARK[headers["X-Table"]] in body, "a call saw half of each table"
            calls += 1

    async def reloads() -> list[int]:
        statuses = []
        for number in range(RELOADS):
            name = ("one", "broken", "two", "broken")[number % 4]
            status, _, body = await client.call("PUT", "/_hms/routes", FILES[name], Authorization=f"Bearer {TOKEN}")
            statuses.append(status)
            assert (b"auth" in body) == (name == "broken")
            in_force = {"one": "one", "two": "two"}.get(name, ("one", "two")[number % 4 == 3])
            assert (await client.call("GET", f"/only-{in_force}"))[0] == 200
        done.set()
        return statuses

    async with asyncio.TaskGroup() as group:
        for _ in range(CALLERS):
            group.create_task(traffic())
        reloading = group.create_task(reloads())
    await client.close()
    return calls, reloading.result()


def test_no_call_is_dropped_and_none_sees_half_of_each_table(tmp_path: Path) -> None:
    folder = project_copy(tmp_path)
    (folder / "one.yml").write_bytes(FILES["one"])
    with started(folder, "--demo", "--routes", "one.yml", HMS_SVC_TOKEN=TOKEN) as running:
        calls, statuses = asyncio.run(_under_load(running.url))
        code, _, err = running.stop()
    assert statuses == [200, 422] * (RELOADS // 2)
    assert (code, err) == (0, "")
    lines = (folder / ".hms-svc" / "audit.jsonl").read_bytes().splitlines()
    assert len(lines) == calls + 2 * RELOADS
