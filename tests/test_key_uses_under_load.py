"""The turn of an hour, when every key is used for the first time: noting that holds up nothing and loses nothing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from worlds import request

from hms_svc import wiring
from hms_svc.core.credentials.api_keys import issue
from hms_svc.local import key_document
from hms_svc.local.key_file import KeyFile
from hms_svc.local.system import SystemClock, SystemRandomness
from hms_svc.local.whole_file import locked
from hms_svc.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

KEYS = 100
"""More than the event loop has threads."""
ROUTES = b"routes:\n- {path: /a, redirect: {host: elsewhere.example}, auth: api_key}\n"


def test_names_are_looked_up_while_uses_wait_for_the_disk_and_all_are_noted_before_it_stops(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    issued = [
        issue(SystemRandomness(), name="n", owner="o", scopes=frozenset(), now_s=1, expires_s=None) for _ in range(KEYS)
    ]
    path.write_bytes(key_document.write([kept for _, kept in issued]))

    async def use_all() -> None:
        settings = Settings(keys=path, audit=tmp_path / "audit.jsonl", state=tmp_path, jobs=tmp_path / "jobs.sqlite")
        assembly = wiring.assemble(settings, resolve={}, warn=lambda _: None)
        await assembly.routes.replace(ROUTES, "routes.yml")
        with locked(tmp_path / "keys.json.used"):
            for key, _ in issued:
                answer = await assembly.gateway.handle(request(path="/a", headers=[("Host", "a"), ("X-API-Key", key)]))
                assert answer.status == 302
            looked_up = asyncio.get_running_loop().getaddrinfo("localhost", 80)
            assert await asyncio.wait_for(looked_up, 10)
        await assembly.close()

    asyncio.run(use_all())
    assert all(key.last_used_s for key in KeyFile(path, SystemClock()).all().keys)
