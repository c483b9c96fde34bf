"""Small real implementations of the core's ports, owned by the test that makes them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hms_svc.core.errors import BodyTooLarge
from hms_svc.core.model import Headers, Request, Response
from hms_svc.core.ports import StoreUnavailable, UpstreamRequest, UpstreamResponse

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


def drive(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine that never suspends, as the Lambda door does: without an event loop."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    coroutine.close()
    raise AssertionError("the coroutine waited for something")


@dataclass
class OwnedClock:
    """Time that passes when the test says so."""

    ns: int = 1_800_000_000_000_000_000
    frozen_ns: int = 0

    def wall_ns(self) -> int:
        return self.ns

    def monotonic_ns(self) -> int:
        return self.ns - self.frozen_ns

    def advance(self, seconds: float) -> None:
        self.ns += round(seconds * 1e9)

    def freeze(self, seconds: float) -> None:
        """Time passes that only the wall clock sees, as in a Lambda environment that is frozen."""
        self.frozen_ns += round(seconds * 1e9)
        self.advance(seconds)


class CountingRandomness:
    """Chance that counts: 00…01, 00…02, …; ``below`` goes round."""

    def __init__(self) -> None:
        self.count = 0

    def hex(self, n_bytes: int) -> str:
        self.count += 1
        return f"{self.count:0{2 * n_bytes}x}"

    def below(self, n: int) -> int:
        self.count += 1
        return self.count % n


class WholeBody:
    """A body that is there already."""

    def __init__(self, content: bytes = b"") -> None:
        self._content = content

    async def read(self, limit: int) -> bytes:
        if len(self._content) > limit:
            raise BodyTooLarge(limit)
        return self._content


class Pieces:
    """An answer's body that comes in pieces; an exception among them is raised when its turn comes."""

    def __init__(self, *pieces: bytes | Exception) -> None:
        self._pieces = iter(pieces)
        self.closed = False

    def __aiter__(self) -> Pieces:
        return self

    async def __anext__(self) -> bytes:
        for piece in self._pieces:
            if isinstance(piece, Exception):
                raise piece
            return piece
        raise StopAsyncIteration

    async def aclose(self) -> None:
        self.closed = True


def ok(_: UpstreamRequest) -> UpstreamResponse:
    return UpstreamResponse(200, Headers([("Content-Type", "text/plain"), ("Content-Length", "2")]), b"ok")


@dataclass
class RecordingUpstream:
    """Private services that answer as the test says and remember what they were asked."""

    answer: Callable[[UpstreamRequest], UpstreamResponse] = ok
    seen: list[UpstreamRequest] = field(default_factory=list)

    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        self.seen.append(request)
        return self.answer(request)


@dataclass
class MemorySink:
    """An audit sink that keeps its lines, or refuses them."""

    lines: list[bytes] = field(default_factory=list)
    down: bool = False

    def append(self, line: bytes) -> None:
        if self.down:
            raise StoreUnavailable("the sink is down")
        self.lines.append(line)

    def settle(self) -> None:
        pass

    def close(self) -> None:
        pass


def request(
    method: str = "GET",
    path: str = "/",
    *,
    query: str = "",
    headers: list[tuple[str, str]] | None = None,
    body: bytes = b"",
    peer_ip: str = "192.0.2.7",
    **more: Any,
) -> Request:
    lines = headers if headers is not None else [("Host", "api.agency.example")]
    return Request(method, path, query, Headers(lines), WholeBody(body), peer_ip, **more)


async def content(response: Response) -> bytes:
    """The whole body of an answer."""
    if isinstance(response.body, bytes):
        return response.body
    return b"".join([piece async for piece in response.body])


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(coroutine)
