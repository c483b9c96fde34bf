"""An observability endpoint on the loopback that answers as it is told."""

from __future__ import annotations

import base64
import socket
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Condition, Thread
from typing import TYPE_CHECKING, ClassVar, Self, cast

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import TracebackType

PATIENCE_S = 20.0
"""Until a test that waits for something gives up; nothing waits so long that works."""


@dataclass
class Received:
    """One POST."""

    path: str
    headers: Mapping[str, str]
    lines: list[bytes]
    accepted: bool


@dataclass
class OpsEndpoint:
    """Takes batches; what it does with the next ones is in ``answers``, each a status with headers; then 204."""

    answers: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    drops: int = 0
    """Connections to close without an answer."""
    received: list[Received] = field(default_factory=list)
    port: int = 0

    def __post_init__(self) -> None:
        self.changed = Condition()
        self._server: ThreadingHTTPServer | None = None
        self._answered = 0
        """Lines that were accepted, and whose sender was told so."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/ingest"

    def __enter__(self) -> Self:
        self.up()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.down()

    def up(self) -> None:
        """Begin to listen, on the port used before if there was one."""
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version: ClassVar[str] = "HTTP/1.1"  # type: ignore[misc]

            def do_POST(self) -> None:
                data = self.rfile.read(int(self.headers["Content-Length"]))
                endpoint._take(self, data)

            def log_message(self, *args: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            open_sockets: ClassVar[list[socket.socket]] = []

            def process_request(self, request: object, client_address: object) -> None:
                self.open_sockets.append(cast("socket.socket", request))
                super().process_request(cast("socket.socket", request), client_address)

        self._server = Server(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_port
        Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def down(self) -> None:
        """Stop listening and drop every connection."""
        if self._server is None:
            return
        self._server.shutdown()
        self._server.server_close()
        for connection in self._server.open_sockets:  # type: ignore[attr-defined]
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        self._server = None

    def _take(self, handler: BaseHTTPRequestHandler, data: bytes) -> None:
        with self.changed:
            lines = data.splitlines(keepends=True)
            if self.drops:
                self.drops -= 1
                answer: tuple[int, dict[str, str]] = (0, {})
            else:
                answer = self.answers.pop(0) if self.answers else (204, {})
            status, headers = answer
            accepted = 200 <= status <= 299
            self.received.append(Received(handler.path, dict(handler.headers.items()), lines, accepted))
            self.changed.notify_all()
        if not status:
            handler.close_connection = True
            return
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        if status != 204:
            handler.send_header("Content-Length", "0")
        handler.end_headers()
        with self.changed:
            self._answered += len(lines) if accepted else 0
            self.changed.notify_all()

    def lines(self) -> list[bytes]:
        """The lines of the batches that were accepted, in the order they came."""
        return [line for post in self.received if post.accepted for line in post.lines]

    def wait_for_lines(self, count: int) -> list[bytes]:
        with self.changed:
            self.changed.wait_for(lambda: self._answered >= count, PATIENCE_S)
            return self.lines()

    def wait_for_posts(self, count: int) -> list[Received]:
        with self.changed:
            self.changed.wait_for(lambda: len(self.received) >= count, PATIENCE_S)
            return list(self.received)


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


class Pauses:
    """The waiting of a delivering thread, which the test owns: no pause lasts, each is written down.

    After ``limit`` pauses the thread waits for the test to say `go_on`; `stop` ends the waiting for good.
    """

    def __init__(self, limit: int = 1_000_000) -> None:
        self.seconds: list[float] = []
        self._left = limit
        self._is_stopped = False
        self._changed = Condition()

    def __call__(self, seconds: float) -> bool:
        with self._changed:
            self.seconds.append(seconds)
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._left > 0 or self._is_stopped, PATIENCE_S)
            self._left -= 1
            return self._is_stopped

    def go_on(self, times: int = 1) -> None:
        with self._changed:
            self._left += times
            self._changed.notify_all()

    def stop(self) -> None:
        with self._changed:
            self._is_stopped = True
            self._changed.notify_all()

    def wait_for(self, count: int) -> list[float]:
        """The pauses that were begun, as soon as there are ``count``."""
        with self._changed:
            self._changed.wait_for(lambda: len(self.seconds) >= count, PATIENCE_S)
            return list(self.seconds)

    def __iter__(self) -> Iterator[float]:
        return iter(self.seconds)
