"""The step that stores a request as a job (``enqueue_to``) and answers 202: never without a stored job.

A job is a CloudEvents 1.0 event: who asked for what and when, with the body and the header lines that a service would
have seen, but for those that are credentials or may be.
"""

from __future__ import annotations

import base64
import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import quote

from hms_svc.core.credentials.api_keys import SHAPE
from hms_svc.core.errors import Unavailable
from hms_svc.core.forward import upstream_headers
from hms_svc.core.model import NOBODY, Headers, Response
from hms_svc.core.ports import Job, StoreUnavailable

if TYPE_CHECKING:
    from hms_svc.core.config import Enqueue
    from hms_svc.core.forward import Admitted
    from hms_svc.core.ports import Clock, JobQueue, Randomness

EVENT_TYPE = "hms-svc.request"
RESPOND_ASYNC = "respond-async"
MAX_PREFER = 1_000
"""Characters of ``Prefer`` that are read; a longer one prefers nothing."""
_NOT_IN_STRINGS = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
"""What a CloudEvents string must not hold (CloudEvents 1.0, type system)."""
_CREDENTIALS = re.compile(
    r"auth|cookie|token|secret|passw|key|session|credential|signature|jwt|saml|cert", re.IGNORECASE
)
"""Header names whose values are credentials, or may be. A queue is kept longer, and read by more, than a request."""
_SAID_ELSEWHERE = frozenset({"content-length", "traceparent", "x-request-id", "x-hms-auth"})
"""Fields whose values are attributes of the event."""
_PREFERENCE = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*")+')


def prefers_async(headers: Headers) -> bool:
    """Whether the caller would rather have a 202 now than wait (RFC 7240, section 4.1)."""
    value = headers.get("prefer", "")
    if not value or len(value) > MAX_PREFER:
        return False
    names = (re.split("[;=]", preference, maxsplit=1)[0].strip().lower() for preference in _PREFERENCE.findall(value))
    return RESPOND_ASYNC in names


def job_from(admitted: Admitted, *, job_id: str, time_ns: int, queue: str) -> Job:
    """The job that an admitted request becomes, at ``time_ns`` since 1970."""
    arrival, route, caller, body, _ = admitted
    request = arrival.request
    seconds, fraction_ns = divmod(time_ns, 1_000_000_000)
    attributes = {
        "specversion": "1.0",
        "id": job_id,
        "source": f"/hms-svc/routes/{quote(route.name, safe='', errors='replace')}",
        "type": EVENT_TYPE,
        "subject": arrival.path,
        "time": f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{fraction_ns // 1_000_000:03}Z",
        "datacontenttype": request.headers.get("content-type") or "application/octet-stream",
        "traceparent": arrival.traceparent,
        "hmsrequestid": arrival.request_id,
        "hmsroute": route.name,
        "hmsmethod": request.method,
        "hmspath": arrival.path,
        "hmsquery": request.query,
        "hmscontentencoding": request.headers.get("content-encoding", ""),
        "hmsheaders": _headers(admitted),
        "hmscaller": caller.name,
        "hmsauth": caller.via,
        "hmsscopes": " ".join(sorted(caller.scopes)),
    }
    event = {name: _NOT_IN_STRINGS.sub("\ufffd", value) for name, value in attributes.items() if value}
    return Job(job_id, queue, event | {"data_base64": base64.b64encode(body).decode("ascii")})


def _headers(admitted: Admitted) -> str:
    """The lines that go along, in order, as JSON: ``[["Accept", "text/csv"]]``; an attribute is a string."""
    of_nobody = admitted._replace(caller=NOBODY)
    lines = [
        (name, value)
        for name, value in upstream_headers(of_nobody)
        if name.lower() not in _SAID_ELSEWHERE and not _CREDENTIALS.search(name) and not SHAPE.search(value)
    ]
    return json.dumps(lines, separators=(",", ":"))


class Enqueuer:
    """Puts jobs on ``queue``."""

    def __init__(self, queue: JobQueue, clock: Clock, randomness: Randomness) -> None:
        self._queue = queue
        self._clock = clock
        self._randomness = randomness

    async def enqueue(self, admitted: Admitted, action: Enqueue) -> tuple[Response, str]:
        """Store the request: the 202 and the job's id. Raises `Unavailable` when it was not stored."""
        job = job_from(admitted, job_id=self._randomness.hex(16), time_ns=self._clock.wall_ns(), queue=action.queue)
        try:
            await self._queue.put(job)
        except StoreUnavailable as error:
            raise Unavailable(cause=f"the job was not stored: {error}") from error
        is_preferred = prefers_async(admitted.arrival.request.headers)
        return _accepted(job.id, action.status_url, is_preferred=is_preferred), job.id


def _accepted(job_id: str, status_url: str | None, *, is_preferred: bool) -> Response:
    """202 (RFC 9110, section 15.3.3), and where to ask how far it is."""
    lines = [("Content-Type", "application/json"), ("Cache-Control", "no-store")]
    if status_url is not None:
        lines.append(("Location", status_url.replace("{id}", job_id)))
    if is_preferred:
        lines.append(("Preference-Applied", RESPOND_ASYNC))
    return Response(202, Headers(lines), json.dumps({"job_id": job_id, "status": "queued"}).encode())
