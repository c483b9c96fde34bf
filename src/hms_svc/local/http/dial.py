"""From a target's name to a connection: where the name leads, which address answers, TLS."""

from __future__ import annotations

import asyncio
import socket
import ssl
from functools import partial
from ipaddress import ip_address
from typing import TYPE_CHECKING

from hms_svc.core.ports import UpstreamUnreachable
from hms_svc.local.http.upstream_connection import UpstreamConnection

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hms_svc.core.config import Target
    from hms_svc.local.http.pool import Place, Pool


class Dial:
    """Opens connections. ``resolve`` leads ``host`` or ``host:port`` to an address, and to another port if named."""

    def __init__(self, resolve: Mapping[str, tuple[str, int | None]], tls: ssl.SSLContext | None) -> None:
        self._resolve = dict(resolve)
        self._tls = tls

    async def connect(self, target: Target, pool: Pool, place: Place, deadline: float) -> UpstreamConnection:
        """A new connection to ``target``, its addresses tried in order, each given its share of what time is left.

        Raises `UpstreamUnreachable`, or `TimeoutError` when the last address did not answer in its time.
        """
        loop = asyncio.get_running_loop()
        addresses, port = await self._addresses(target)
        tls = self._context() if target.scheme == "https" else None
        error: OSError = OSError("the name leads to no address")
        for tries_left, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
            connection = UpstreamConnection(loop, pool, place)
            share = (deadline - loop.time()) / tries_left
            name = target.host if tls else None
            try:
                async with asyncio.timeout(share):
                    await loop.create_connection(
                        partial(_same, connection), address, port, ssl=tls, server_hostname=name
                    )
            except OSError as failed:
                connection.abort()
                error = failed
            except BaseException:
                connection.abort()
                raise
            if not connection.lost:
                connection.adopted = True
                return connection
            error = ConnectionResetError("closed at once")
        if isinstance(error, TimeoutError):
            raise error
        raise UpstreamUnreachable(f"cannot connect to {target.authority}: {error}", sent=False) from error

    async def _addresses(self, target: Target) -> tuple[list[str], int]:
        """Where the name leads, in the resolver's order, and the port."""
        host, port = target.host, target.port
        place = self._resolve.get(f"{host}:{port}") or self._resolve.get(host)
        if place is not None:
            host, port = place[0], place[1] or port
        try:
            ip_address(host)
        except ValueError:
            pass
        else:
            return [host], port
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise UpstreamUnreachable(f"the name {host} cannot be resolved: {error}", sent=False) from error
        return [str(address[0]) for *_, address in found], port

    def _context(self) -> ssl.SSLContext:
        """The TLS context, built when the first ``https`` target is called."""
        if self._tls is None:
            self._tls = ssl.create_default_context()
        return self._tls


def _same(connection: UpstreamConnection) -> UpstreamConnection:
    return connection
