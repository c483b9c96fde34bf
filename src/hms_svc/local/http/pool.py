"""Connections to private services that are kept for the next request, and how many there may be."""

from __future__ import annotations

import asyncio
import select
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hms_svc.local.http.upstream_connection import UpstreamConnection

Place = tuple[str, str, int]
"""Scheme, host and port, as the route names them."""
_SWEEP_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolLimits:
    """Bounds for each target. Raises `ValueError` for one that is not positive."""

    idle: int = 32
    """Connections kept when there is nothing to do; a burst may leave more, for a second."""
    idle_timeout_s: float = 30.0
    total: int = 256
    """Beyond them a request waits for another one to end."""

    def __post_init__(self) -> None:
        if min(self.idle, self.idle_timeout_s, self.total) <= 0:
            raise ValueError("the bounds of a pool are more than 0")


@dataclass(slots=True, eq=False)
class _Lane:
    """The connections to one place."""

    idle: deque[UpstreamConnection] = field(default_factory=deque)
    open: int = 0
    waiters: deque[asyncio.Future[UpstreamConnection | None]] = field(default_factory=deque)


class Pool:
    """Hands out connections. Who takes a slot makes a connection in it, or gives it back."""

    def __init__(self, limits: PoolLimits) -> None:
        self._limits = limits
        self._lanes: dict[Place, _Lane] = {}
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False

    def idle(self, place: Place, now: float, *, surely_open: bool) -> UpstreamConnection | None:
        """A kept connection, the last used first; ``surely_open`` looks whether the service has closed it meanwhile.

        ``now`` is the loop's time: who asks has it at hand, and asking for the running loop is a system call.
        """
        lane = self._lanes.get(place)
        if lane is None or not lane.idle:
            return None
        oldest = now - self._limits.idle_timeout_s
        while lane.idle:
            connection = lane.idle.pop()
            if connection.lost:
                continue
            if connection.idle_since < oldest or (surely_open and _has_input(connection)):
                connection.abort()
                continue
            return connection
        return None

    async def slot(self, place: Place) -> UpstreamConnection | None:
        """Leave to open a connection (None), or one that has become free while waiting for that."""
        lane = self._lanes.setdefault(place, _Lane())
        if lane.open < self._limits.total:
            lane.open += 1
            return None
        waiter: asyncio.Future[UpstreamConnection | None] = asyncio.get_running_loop().create_future()
        lane.waiters.append(waiter)
        try:
            return await waiter
        except BaseException:
            if waiter.done() and not waiter.cancelled():
                connection = waiter.result()
                if connection is None:
                    self.give_back(place)
                else:
                    self.put(place, connection)
            raise

    def give_back(self, place: Place) -> None:
        """A slot has become free: its connection is closed, or was never made."""
        lane = self._lanes[place]
        waiter = _next_waiter(lane)
        if waiter is None:
            lane.open -= 1
            if not lane.open:
                del self._lanes[place]
        else:
            waiter.set_result(None)

    def put(self, place: Place, connection: UpstreamConnection) -> None:
        """Keep a connection for the next request."""
        if self._closed:
            connection.abort()
            return
        lane = self._lanes[place]
        waiter = _next_waiter(lane)
        if waiter is not None:
            waiter.set_result(connection)
            return
        loop = connection.loop
        connection.idle_since = loop.time()
        lane.idle.append(connection)
        if self._sweeper is None:
            self._sweeper = loop.call_later(_SWEEP_S, self._sweep)

    def close(self) -> None:
        """Close what is kept, and keep no more."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        for lane in self._lanes.values():
            while lane.idle:
                lane.idle.pop().abort()

    def _sweep(self) -> None:
        """Close what has been idle for too long, and what a burst has left behind."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        kept = False
        for lane in self._lanes.values():
            idle = lane.idle
            while idle and (
                idle[0].lost
                or now - idle[0].idle_since > self._limits.idle_timeout_s
                or (len(idle) > self._limits.idle and now - idle[0].idle_since > _SWEEP_S / 2)
            ):
                idle.popleft().abort()
            kept = kept or bool(idle)
        self._sweeper = loop.call_later(_SWEEP_S, self._sweep) if kept else None


def _next_waiter(lane: _Lane) -> asyncio.Future[UpstreamConnection | None] | None:
    while lane.waiters:
        waiter = lane.waiters.popleft()
        if not waiter.done():
            return waiter
    return None


def _has_input(connection: UpstreamConnection) -> bool:
    """Whether there is something to read on a connection that should be silent: its end, nearly always."""
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))
