"""The client of the private services in Lambda: requests, kept from changing anything.

requests by itself rewrites paths, merges repeated fields, adds its own, follows redirects, keeps cookies, takes
credentials from a netrc and proxies from the environment; its session does, so only its adapter is used here: it keeps
connections and verifies TLS. What goes on the wire is written in `upstream_wire`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError, ReadTimeoutError

from hms_svc.aws.upstream_wire import ExactConnection, ExactTlsConnection, Wire
from hms_svc.core.forward import IDEMPOTENT
from hms_svc.core.model import Headers
from hms_svc.core.ports import UpstreamBroken, UpstreamResponse, UpstreamTimeout, UpstreamUnreachable

if TYPE_CHECKING:
    from pathlib import Path

    from hms_svc.core.config import Target
    from hms_svc.core.ports import UpstreamRequest

MAX_BODY = 6_291_556
"""Bytes of an answer's body: more would not leave the function in any form."""
MAX_TARGETS = 256
"""Services to which a connection is kept, one each."""
_PIECE = 65_536


class RequestsUpstream:
    """Speaks HTTP/1.1 to the private services (the core's `Upstream` port). Blocks, and returns whole answers.

    The time of a request holds until the answer's header section is there, however slowly it drips in, and then
    between two pieces of the body; a name that leads to several addresses gets it for each of them when it connects.
    """

    def __init__(self, *, ca_file: Path | None = None, max_body: int = MAX_BODY, body_in_time: bool = False) -> None:
        """``ca_file`` holds the authorities that are believed (PEM); None: those that requests brings along.

        ``body_in_time``: a request's time is for the whole answer.
        """
        self._verify: str | bool = str(ca_file) if ca_file else True
        self._max_body = max_body
        self._body_in_time = body_in_time
        self._adapter = _Adapter(pool_connections=MAX_TARGETS, pool_maxsize=1)

    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        """Send and read the whole answer, as the port says.

        A kept connection that turns out to be closed is replaced once where the method allows that. Raises
        `Unwritable` (a `ValueError`) for a request that would not read back as it was meant.
        """
        wire = Wire(request, body_in_time=self._body_in_time)
        try:
            return self._exchange(wire)
        except UpstreamUnreachable:
            if not wire.reused or (wire.sent and request.method not in IDEMPOTENT):
                raise
        return self._exchange(wire.again())

    def close(self) -> None:
        """Close the connections that are kept."""
        self._adapter.close()

    def _exchange(self, wire: Wire) -> UpstreamResponse:
        seconds = max(wire.left(), 0.001)
        try:
            response = self._adapter.send(_prepared(wire), stream=True, timeout=seconds, verify=self._verify)
        except (requests.RequestException, HTTPError) as error:
            raise _failure(wire, error) from error
        raw = response.raw
        try:
            lines = wire.lines()
            body = self._read(raw)
        except ReadTimeoutError as error:
            raw.close()
            raise UpstreamTimeout("no more of the answer within the time given") from error
        except HTTPError as error:
            raw.close()
            raise UpstreamBroken(f"the answer broke off: {type(error).__name__}") from error
        except ValueError as error:
            raw.close()
            raise UpstreamBroken(str(error)) from error
        except BaseException:
            raw.close()
            raise
        raw.release_conn()
        return UpstreamResponse(response.status_code, Headers(lines), body)

    def _read(self, raw: Any) -> bytes:
        pieces: list[bytes] = []
        size = 0
        while piece := raw.read(_PIECE, decode_content=False):
            pieces.append(piece)
            size += len(piece)
            if size > self._max_body:
                raise UpstreamBroken(f"the answer is over {self._max_body} bytes, more than Lambda can carry")
        return b"".join(pieces)


class _Pool(HTTPConnectionPool):
    ConnectionCls = ExactConnection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = ExactTlsConnection


class _Adapter(HTTPAdapter):
    """requests' own way to a connection, over connections that change nothing."""

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}

    def request_url(self, request: Any, proxies: Any) -> str:  # noqa: ARG002  (the adapter's signature)
        """Nothing that requests could rewrite; the `Wire` has the target."""
        return "/"


def _prepared(wire: Wire) -> requests.PreparedRequest:
    """What the adapter needs to find the connection."""
    prepared = requests.PreparedRequest()
    prepared.method = wire.request.method
    prepared.url = _origin(wire.request.target)
    prepared.headers = wire  # type: ignore[assignment]
    prepared.body = None
    return prepared


def _origin(target: Target) -> str:
    host = f"[{target.host}]" if ":" in target.host else target.host
    return f"{target.scheme}://{host}:{target.port}/"


def _failure(wire: Wire, error: Exception) -> Exception:
    """What the port calls this failure. Says its kind only: foreign messages may repeat what was sent."""
    kind = type(error).__name__
    authority = wire.request.target.authority
    if isinstance(error, requests.Timeout) or wire.left() <= 0:
        return UpstreamTimeout(f"no answer of {authority} within the time given")
    if wire.answered:
        return UpstreamBroken(f"the answer of {authority} is not HTTP: {kind}")
    if wire.sent:
        return UpstreamUnreachable(f"the connection to {authority} was lost before an answer", sent=True)
    return UpstreamUnreachable(f"no connection to {authority}: {kind}", sent=False)
