"""Issuers that are asked about tokens, in the test's hands: as a port in memory, and over HTTP for real."""

from __future__ import annotations

import http.server
import json
import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qs

from worlds import OwnedClock

from hms_svc.core.config import IntrospectionEndpoint, Issuer
from hms_svc.core.ports import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

NOW_S = OwnedClock().ns // 1_000_000_000
LEGACY = Issuer(
    "legacy",
    "https://login.legacy.example/",
    ("hms-api",),
    introspection=IntrospectionEndpoint("hms-svc", "file:/run/secrets/legacy"),
)
ACTIVE: Mapping[str, Any] = {
    "active": True,
    "aud": "hms-api",
    "sub": "alice",
    "exp": NOW_S + 600,
    "scope": "claims:read claims:write",
    "jti": "t-1",
}
INACTIVE: Mapping[str, Any] = {"active": False}


@dataclass
class Answers:
    """An `Introspection` in memory: an answer for each token, and for the others that they are not active."""

    by_token: dict[str, bytes | Mapping[str, Any]] = field(default_factory=lambda: {"opaque": ACTIVE})
    down: bool = False
    asked: Counter[str] = field(default_factory=Counter)

    async def introspect(self, issuer: Issuer, token: str) -> bytes:
        self.asked[token] += 1
        if self.down:
            raise StoreUnavailable(f"issuer {issuer.name} cannot be asked")
        answer = self.by_token.get(token, INACTIVE)
        return answer if isinstance(answer, bytes) else json.dumps(answer).encode()


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Whoever asked has gone: that is what some tests are about."""


class IntrospectionServer:
    """An introspection endpoint and its discovery document on a loopback port. It counts who asks, and how."""

    def __init__(self) -> None:
        self.tokens: dict[str, Mapping[str, Any]] = {"opaque": ACTIVE}
        self.asked: Counter[str] = Counter()
        """By path."""
        self.forms: list[dict[str, list[str]]] = []
        self.seen_headers: list[dict[str, str]] = []
        self.answers: dict[str, tuple[int, bytes]] = {}
        """What is answered instead, by path."""
        self.basic: str | None = None
        """Where set, whoever does not send it is answered 401."""
        self.gate: threading.Event | None = None
        """When there is one, answers wait for it."""
        self.began = threading.Event()
        self.hang_up = 0
        """So many questions are answered by closing the connection."""
        self.url = ""

    def __enter__(self) -> Self:
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self.answer(b"")

            def do_POST(self) -> None:
                self.answer(self.rfile.read(int(self.headers["Content-Length"])))

            def answer(self, body: bytes) -> None:
                outer.asked[self.path] += 1
                outer.seen_headers.append({name.lower(): value for name, value in self.headers.items()})
                outer.began.set()
                if outer.gate is not None:
                    outer.gate.wait(10)
                if outer.hang_up:
                    outer.hang_up -= 1
                    self.close_connection = True
                    return
                status, text = outer.answers.get(self.path) or outer.answer(
                    self.path, body.decode(), self.headers.get("Authorization")
                )
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                if status // 100 == 3:
                    self.send_header("Location", f"{outer.url}elsewhere")
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the base class's name)
                pass

        self._server = _Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, path: str, body: str, authorization: str | None) -> tuple[int, bytes]:
        if path == "/.well-known/openid-configuration":
            document = {"issuer": self.url, "introspection_endpoint": f"{self.url}introspect"}
            return 200, json.dumps(document).encode()
        if path.partition("?")[0] != "/introspect":
            return 404, b"{}"
        if self.basic is not None and authorization != self.basic:
            return 401, b"{}"
        form = parse_qs(body, keep_blank_values=True)
        self.forms.append(form)
        return 200, json.dumps(self.tokens.get(form["token"][0], INACTIVE)).encode()

    def issuer(self, *, discovery: bool = False, secret: str = "file:secret", **more: Any) -> Issuer:
        url = None if discovery else f"{self.url}introspect"
        endpoint = IntrospectionEndpoint("hms-svc", secret, url, **more)
        return Issuer("legacy", self.url, ("hms-api",), introspection=endpoint)
