"""The two services of the demonstration, on free loopback ports: a public FAQ and a register of claims.

They answer what a first look needs: who the gateway says is calling, and which way the request came.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from hms_svc.core.model import Headers, Response
from hms_svc.local.http.server import Server

if TYPE_CHECKING:
    from hms_svc.core.errors import Refusal
    from hms_svc.core.model import Request

MAX_UPLOAD = 100_000_000
FAQ = [
    {"question": "What is this?", "answer": "A private service behind hms-svc. It never faces the internet."},
    {"question": "How did I get here?", "answer": "routes.yml forwards /public/faq to http://faq-svc:9000."},
    {"question": "Who may ask?", "answer": "Everybody (auth: none), 30 times a minute (rate_limit: 30/m)."},
]
CLAIMS = [
    {"id": 1, "title": "Storm damage to the roof", "status": "open"},
    {"id": 2, "title": "Water in the cellar", "status": "settled"},
]


class DemoService:
    """A door of its own, handing each request to ``answer``."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def handle(self, request: Request) -> Response:
        """The service's answer, as JSON."""
        body = await request.body.read(MAX_UPLOAD)
        if self.name == "faq-svc":
            return _json(200, {"faq": FAQ})
        return claims(request, body)

    async def refuse(self, request: Request, refusal: Refusal) -> Response:
        """What the service says to something that is no HTTP."""
        del request
        return refusal.answer("")


def claims(request: Request, body: bytes) -> Response:
    """The register: all claims, one by its number, an upload counted."""
    seen = {name: request.headers.get(f"X-HMS-{name}", "") for name in ("Caller", "Auth", "Scopes")}
    last = request.path.rstrip("/").rsplit("/", 1)[-1]
    if request.method == "POST":
        return _json(201, {"received_bytes": len(body), "seen_by_the_service": seen})
    if last.isdigit():
        found = [claim for claim in CLAIMS if str(claim["id"]) == last]
        if not found:
            return _json(404, {"error": f"there is no claim {last}"})
        return _json(200, {"claim": found[0], "seen_by_the_service": seen})
    return _json(200, {"claims": CLAIMS, "seen_by_the_service": seen})


async def start() -> tuple[list[Server], dict[str, tuple[str, int | None]]]:
    """Start both; the servers to drain at the end, and where their names lead."""
    servers: list[Server] = []
    places: dict[str, tuple[str, int | None]] = {}
    for name, port in (("faq-svc", 9000), ("claims-svc", 9001)):
        server = Server(DemoService(name))
        places[f"{name}:{port}"] = await server.start("127.0.0.1", 0)
        servers.append(server)
    return servers, places


def _json(status: int, value: object) -> Response:
    return Response(status, Headers([("Content-Type", "application/json")]), json.dumps(value).encode() + b"\n")
