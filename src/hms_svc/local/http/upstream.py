"""The client of the private services: what it is given goes on the wire to the letter, over kept connections.

No redirects, no proxies or credentials from the environment, no cookies, no decompression: nothing is done to a request
or an answer that the journey has not decided.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from hms_svc.core.ports import UpstreamTimeout, UpstreamUnreachable
from hms_svc.local.http.dial import Dial
from hms_svc.local.http.fields import Unwritable, encode_lines
from hms_svc.local.http.pool import Pool, PoolLimits
from hms_svc.local.http.upstream_connection import Stale, UpstreamConnection, Wire

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

    from hms_svc.core.config import Target
    from hms_svc.core.ports import UpstreamRequest, UpstreamResponse
    from hms_svc.local.http.pool import Place

__all__ = ["HttpUpstream", "PoolLimits"]

IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"})
"""RFC 9110, section 9.2.2: what may be sent again when a kept connection turns out to be closed."""


class HttpUpstream:
    """Speaks HTTP/1.1 to the private services (the core's `Upstream` port)."""

    def __init__(
        self,
        *,
        resolve: Mapping[str, tuple[str, int | None]] | None = None,
        limits: PoolLimits | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """``resolve`` leads ``host`` or ``host:port`` to an address, and to another port if one is named."""
        self._dial = Dial(resolve or {}, tls)
        self._pool = Pool(limits or PoolLimits())

    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        """Send and await the answer's header section, as the port says.

        Raises `Unwritable` (a `ValueError`) for a request that would not read back as it was meant.
        """
        wire = _wire(request)
        target = request.target
        place = (target.scheme, target.host, target.port)
        repeatable = request.method in IDEMPOTENT
        loop = asyncio.get_running_loop()
        now = loop.time()
        deadline = now + request.timeout_s
        connection = self._pool.idle(place, now, surely_open=not repeatable)
        if connection is None:
            connection = await self._connection(place, target, deadline)
        try:
            return await connection.exchange(wire, deadline - loop.time())
        except Stale as error:
            if error.sent and not repeatable:
                raise UpstreamUnreachable("a kept connection was lost under the request", sent=True) from error
        connection = await self._connection(place, target, deadline)
        try:
            return await connection.exchange(wire, deadline - loop.time())
        except Stale as error:
            raise UpstreamUnreachable("two kept connections were lost under the request", sent=error.sent) from error

    async def close(self) -> None:
        """Close the connections that are kept; those in use close when their answers end."""
        self._pool.close()
        await asyncio.sleep(0)  # the loop lets go of the sockets in its next round

    async def _connection(self, place: Place, target: Target, deadline: float) -> UpstreamConnection:
        """A new connection, or one that has become free where there may be no more."""
        try:
            async with asyncio.timeout_at(deadline):
                freed = await self._pool.slot(place)
                if freed is not None:
                    return freed
                try:
                    return await self._dial.connect(target, self._pool, place, deadline)
                except BaseException:
                    self._pool.give_back(place)
                    raise
        except TimeoutError as error:
            raise UpstreamTimeout(f"no connection to {target.authority} within the time given") from error


def _wire(request: UpstreamRequest) -> Wire:
    first = f"{request.method} {request.path_and_query} HTTP/1.1"
    if first.count(" ") != 2:  # noqa: PLR2004  (RFC 9112, section 3)
        raise Unwritable("a method or a target holds a space, or there is none")
    head = encode_lines(first, request.headers.lines) + b"\r\n"
    return Wire(head, request.body, request.timeout_s, is_head=request.method == "HEAD")
