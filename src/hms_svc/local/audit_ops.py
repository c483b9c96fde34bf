"""Audit records to an observability endpoint (``HMS_OPS_URL``): through a spool on disk, by a thread of its own.

Records are POSTed in order as ``application/x-ndjson``; any 2xx answer accepts the batch, anything else is tried
again, later and later. What the endpoint has not accepted when the gateway ends is delivered by the next one.
Nothing of the URL but its host is ever logged: the rest may be a credential.
"""

from __future__ import annotations

import logging
import random
import time
from contextlib import suppress
from email.utils import parsedate_to_datetime
from threading import Event, Thread
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from hms_svc.core.ports import StoreUnavailable
from hms_svc.local.audit_spool import Batch, Spool

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import requests

    from hms_svc.core.chain import Head

MAX_LINES = 500
MAX_BYTES = 1_000_000
"""Of one batch."""
LINGER_S = 1.0
"""How long records may wait for others to make a batch with."""
FIRST_RETRY_S = 0.5
LAST_RETRY_S = 30.0
LONGEST_RETRY_AFTER_S = 300.0
CONNECT_S, ANSWER_S = 5.0, 15.0
_ANSWER_BYTES = 65_536
"""Of an answer's body are read, so that its connection can be used again."""
_ACCEPTED = range(200, 300)
_CONTENT_TOO_LARGE = 413
_log = logging.getLogger(__name__)


class OpsSink:
    """An `AuditSink` that delivers at least once and in order. ``append`` never waits for the network."""

    def __init__(
        self,
        url: str,
        folder: Path,
        *,
        max_bytes: int = 1_000_000_000,
        token: str = "",
        ca_file: Path | None = None,
        flush_s: float = 5.0,
        wait: Callable[[float], bool] | None = None,
        wall_s: Callable[[], float] = time.time,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Open the spool in ``folder``; `start` begins the delivery.

        Args:
            url: ``http`` or ``https``; a user and password in it become basic authentication.
            folder: for this gateway alone.
            max_bytes: of records that wait; when they are more, `append` refuses.
            token: sent as a bearer token.
            ca_file: certificate authorities to trust instead of the well-known ones, PEM.
            flush_s: how long `close` may try to deliver what waits.
            wait: pauses the delivering thread so many seconds; says whether it was told to stop.
            wall_s: seconds since 1970.
            jitter: a number from 0 to 1, so that many gateways do not try again all at once.

        Raises `ValueError` for a URL that is none, `StoreUnavailable` when the folder cannot be had.
        """
        self._url = url
        self._host = _host(url)
        self._token = token
        self._verify: str | bool = str(ca_file) if ca_file else True
        self._flush_s = flush_s
        self._stop = Event()
        self._wait = wait or self._stop.wait
        self._wall_s = wall_s
        self._jitter = jitter
        self._max_lines = MAX_LINES
        self._failures = 0
        self._thread: Thread | None = None
        self._session: requests.Session | None = None
        self._spool = Spool(folder, max_bytes=max_bytes)
        if self._spool.torn:
            _log.warning("%s ended in an incomplete line of %d bytes, moved aside", folder, self._spool.torn)

    @property
    def pending(self) -> int:
        """Records that the endpoint has not accepted yet."""
        return self._spool.pending

    def head(self) -> Head | None:
        """The last record that was appended, delivered or not. Raises `StoreUnavailable`."""
        return self._spool.head()

    def start(self) -> None:
        """Begin to deliver, what waits from before first."""
        if self._thread is None and not self._stop.is_set():
            self._thread = Thread(target=self._deliver, name="audit-ops", daemon=True)
            self._thread.start()

    def append(self, line: bytes) -> None:
        """Keep one record until it is delivered. Raises `StoreUnavailable` when the spool is full, broken or closed."""
        if self._stop.is_set():
            raise StoreUnavailable("the observability sink is closed")
        self._spool.append(line)

    def settle(self) -> None:
        """Nothing: what was appended is in the spool, and is delivered from there."""

    def _deliver(self) -> None:
        pause = 0.0
        stopping = False
        while not (stopping and pause):
            stopping = self._wait(pause) or self._stop.is_set()
            try:
                pause = self._ship()
            except Exception as error:  # noqa: BLE001  (a thread that ended in silence would keep records for ever)
                pause = self._failed(type(error).__name__)
        self._let_go()

    def _ship(self) -> float:
        """Deliver one batch. Seconds to pause before the next; 0 when more waits and the endpoint takes it."""
        batch = self._spool.batch(max_lines=self._max_lines, max_bytes=MAX_BYTES)
        if batch is None:
            return LINGER_S
        import requests

        try:
            status, retry_after = self._post(batch)
        except (requests.RequestException, OSError, ValueError) as error:
            return self._failed(type(error).__name__)
        if status not in _ACCEPTED:
            if status == _CONTENT_TOO_LARGE and batch.lines > 1:
                self._max_lines = batch.lines // 2
                return self._failed("413, trying smaller batches", 0.0)
            return self._failed(str(status), self._asked(retry_after))
        if self._failures:
            _log.warning("%s takes audit records again; %d wait", self._host, self._spool.pending - batch.lines)
        self._failures = 0
        self._spool.advance(batch)
        more = self._spool.pending
        return 0.0 if more >= self._max_lines or (more and self._stop.is_set()) else LINGER_S

    def _post(self, batch: Batch) -> tuple[int, str]:
        import requests

        if self._session is None:
            self._session = requests.Session()
            self._session.trust_env = False
            self._session.headers.update({"Content-Type": "application/x-ndjson", "User-Agent": "hms-svc"})
            if self._token:
                self._session.headers["Authorization"] = f"Bearer {self._token}"
        with self._session.post(
            self._url,
            data=batch.data,
            timeout=(CONNECT_S, ANSWER_S),
            allow_redirects=False,
            verify=self._verify,
            stream=True,
        ) as answer:
            with suppress(requests.RequestException):
                next(answer.iter_content(_ANSWER_BYTES), b"")
            return answer.status_code, answer.headers.get("Retry-After", "")

    def _failed(self, why: str, at_least_s: float = 0.0) -> float:
        """Note a failure; seconds until the next try."""
        if not self._failures:
            _log.warning("%s did not take audit records (%s); %d wait on disk", self._host, why, self._spool.pending)
        pause = min(LAST_RETRY_S, FIRST_RETRY_S * 2.0 ** min(self._failures, 10))
        self._failures += 1
        return max(at_least_s, pause * (0.5 + self._jitter() / 2))

    def _asked(self, retry_after: str) -> float:
        """Seconds that ``Retry-After`` asks for, a number or a date (RFC 9110, section 10.2.3), within bounds."""
        try:
            if retry_after.isdecimal():
                asked = float(retry_after)
            else:
                asked = parsedate_to_datetime(retry_after).timestamp() - self._wall_s()
        except (ValueError, OverflowError):
            return 0.0
        return min(max(asked, 0.0), LONGEST_RETRY_AFTER_S)

    def close(self) -> None:
        """Try to deliver what waits, for at most ``flush_s`` seconds; the rest stays on disk. Safe to call twice."""
        self._stop.set()
        if self._thread is None:
            self._let_go()
        else:
            self._thread.join(self._flush_s)

    def _let_go(self) -> None:
        if self._session is not None:
            self._session.close()
        self._spool.close()


def _host(url: str) -> str:
    """The host of ``url``. Raises `ValueError`, which does not repeat it: there may be a password in it."""
    with suppress(ValueError):
        parts = urlsplit(url)
        if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
            return parts.hostname
    raise ValueError("the observability endpoint is a URL that begins with http:// or https:// and a host")
