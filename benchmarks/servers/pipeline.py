"""The gateway that stands behind every candidate: the whole pipeline, over the adapters of one machine."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hms_svc import wiring
from hms_svc.core.forward import Forwarder
from hms_svc.local.system import SystemClock, SystemRandomness
from hms_svc.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from hms_svc.core.ports import Upstream
    from hms_svc.wiring import Assembly

PATH = "/secure/claims/7"
TOKEN = "demo-user-token"  # noqa: S105  (the demonstration's)
ROUTES = b"""
routes:
- path: /secure/claims/*
  methods: [GET, POST]
  forward_to: http://claims-svc:9001
  auth: oauth
  require: {scopes: [claims:read]}
  rate_limit: 1000000/s
- path: /public/faq
  forward_to: http://claims-svc:9001
  auth: none
"""
"""Matching, a token and its scope, a rate limit, the audit record in a file; no policy (a hop to a thread more)."""


async def build_gateway(service_port: int, state: Path, upstream: Upstream | None = None) -> Assembly:
    """A gateway in front of the service on ``service_port``; ``upstream`` takes the place of the project's client."""
    settings = Settings(
        demo=True,
        state=state,
        audit=state / "audit.jsonl",
        keys=state / "keys.json",
        jobs=state / "jobs.sqlite",
    )
    assembly = wiring.assemble(settings, resolve={"claims-svc": ("127.0.0.1", service_port)}, warn=print)
    await assembly.routes.replace(ROUTES, "routes of the benchmark")
    if upstream is not None:
        forwarder = Forwarder(upstream, SystemClock(), SystemRandomness())
        assembly.gateway._steps = replace(assembly.gateway._steps, forwarder=forwarder)  # noqa: SLF001  (one step exchanged)
    return assembly
