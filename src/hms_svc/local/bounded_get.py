"""GET from an issuer, bounded in every way: which addresses, which redirects, how many bytes, how long in all.

TLS always, but for loopback addresses. There are no proxies, credentials or cookies: nothing but the URL decides what
is sent, and a redirect leads only to the same origin.
"""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import time
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import SplitResult, urljoin, urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_BYTES = 524_288
MAX_REDIRECTS = 3
IDLE_S = 5.0
"""To connect to one address, and between two pieces of an answer."""
_PIECE = 16_384
_OK, _NOT_MODIFIED = 200, 304
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PORTS = {"https": 443, "http": 80}


class FetchFailed(Exception):  # noqa: N818  (named for what it means)
    """Nothing usable came. The message is for the record."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came from ``url``, which is where the redirects led."""

    url: str
    fields: Mapping[str, str]
    """By name in lower case; several lines of one name are joined by commas (RFC 9110, section 5.3)."""
    body: bytes | None
    """None: not modified."""


class BoundedGet:
    """GETs that share one budget of time, which begins now.

    It holds however slowly an answer drips in. Looking up a name is the system's affair, and a name that leads to
    several addresses gets `IDLE_S` for each of them.
    """

    def __init__(self, budget_s: float, ca_file: Path | None = None) -> None:
        """``ca_file``: authorities to trust for TLS instead of the system's, in PEM."""
        self._ends = time.monotonic() + budget_s
        self._ca_file = ca_file

    def __call__(self, url: str, etags: Mapping[str, str] | None = None) -> Answer:
        """The answer of ``url``. ``etags`` are what is known already, by URL. Blocks. Raises `FetchFailed`."""
        for _ in range(MAX_REDIRECTS + 1):
            if not is_allowed(url):
                raise FetchFailed("its address is neither https nor on this machine")
            parts = urlsplit(url)
            path = parts.path or "/"
            etag = (etags or {}).get(url)
            try:
                status, fields, body = self._exchange(parts, etag)
            except TimeoutError as error:
                raise FetchFailed(f"{path} did not come in time") from error
            except (http.client.HTTPException, OSError, ValueError) as error:
                raise FetchFailed(f"fetching {path} failed with {type(error).__name__}") from error
            if status == _OK:
                return Answer(url, fields, body)
            if status == _NOT_MODIFIED and etag is not None:
                return Answer(url, fields, None)
            if status not in _REDIRECTS or "location" not in fields:
                raise FetchFailed(f"{path} is answered with status {status}")
            url = _redirected(url, fields["location"])
        raise FetchFailed(f"{urlsplit(url).path} comes after more than {MAX_REDIRECTS} redirects")

    def _exchange(self, parts: SplitResult, etag: str | None) -> tuple[int, dict[str, str], bytes]:
        host, port = cast("str", parts.hostname), parts.port or _PORTS[parts.scheme]
        target = f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}"
        connection = http.client.HTTPConnection(host, port)
        headers = {"Host": parts.netloc, "Accept": "application/json", "Connection": "close"}
        if etag is not None:
            headers["If-None-Match"] = etag
        with self._connected(parts.scheme, host, port) as sock:
            connection.sock = cast("Any", _TimedSocket(sock, self))
            connection.request("GET", target, headers=headers)
            with connection.getresponse() as response:
                fields: dict[str, str] = {}
                for name, value in response.headers.items():
                    known = fields.get(name.lower())
                    fields[name.lower()] = value if known is None else f"{known}, {value}"
                return response.status, fields, _content(response) if response.status == _OK else b""

    def _connected(self, scheme: str, host: str, port: int) -> socket.socket:
        sock = socket.create_connection((host, port), timeout=self.patience())
        if scheme == "http":
            return sock
        try:
            sock.settimeout(self.patience())
            return ssl.create_default_context(cafile=self._ca_file).wrap_socket(sock, server_hostname=host)
        except BaseException:
            sock.close()
            raise

    def patience(self) -> float:
        """Seconds to wait for what comes next. Raises `TimeoutError`."""
        left = self._ends - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return min(left, IDLE_S)


def is_allowed(url: str) -> bool:
    """Whether keys may be fetched from ``url``: over TLS, or from this machine itself."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
        _ = parts.port
    except ValueError:
        return False
    if not host or parts.username is not None or parts.fragment:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host))


def is_as_safe(url: str, issuer: str) -> bool:
    """Whether ``url``, named by ``issuer``, is over TLS if that is: nobody elsewhere names services of this machine."""
    return not issuer.startswith("https:") or url[:6].lower() == "https:"


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _redirected(url: str, location: str) -> str:
    """Where the answer of ``url`` leads: never away from its origin (RFC 9110, section 4.3.1)."""
    try:
        there = urljoin(url, location)
        if _origin(there) == _origin(url):
            return there
    except ValueError:
        pass
    raise FetchFailed(f"{urlsplit(url).path} redirects to another origin, where nobody follows")


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or _PORTS.get(parts.scheme)


def _content(response: http.client.HTTPResponse) -> bytes:
    coding = response.headers.get("Content-Encoding", "identity")
    if coding.lower() != "identity":
        raise FetchFailed("the answer is compressed, which was not asked for")
    body = b""
    while piece := response.read(_PIECE):
        body += piece
        if len(body) > MAX_BYTES:
            raise FetchFailed(f"the answer is larger than {MAX_BYTES} bytes")
    return body


def brought_along() -> Path:
    """The authorities that come with requests, for where the system has none that can be relied on: Lambda."""
    from requests.utils import DEFAULT_CA_BUNDLE_PATH

    return Path(DEFAULT_CA_BUNDLE_PATH)


class _TimedSocket:
    """What `http.client` needs of a socket, each wait within the budget. Closing it is left to who opened it."""

    def __init__(self, sock: socket.socket, budget: BoundedGet) -> None:
        self._sock, self._budget = sock, budget

    def sendall(self, data: bytes) -> None:
        self._sock.settimeout(self._budget.patience())
        self._sock.sendall(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_TimedReader(self._sock, self._budget))

    def close(self) -> None:
        pass


class _TimedReader(io.RawIOBase):
    def __init__(self, sock: socket.socket, budget: BoundedGet) -> None:
        self._sock, self._budget = sock, budget

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        self._sock.settimeout(self._budget.patience())
        return self._sock.recv_into(buffer)
