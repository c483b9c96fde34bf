"""The step that stores a request as a job (``enqueue_to``) and answers 202: never without a stored job.

A job is a CloudEvents 1.0 event: who asked for what and when, with the body, and without any credential. Header lines
do not go along, but for the two without which the body cannot be read.
"""

from __future__ import annotations

import base64
import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import quote

from hms_svc.core.errors import Unavailable
from hms_svc.core.model import Enqueue, Headers, Response
from hms_svc.core.ports import Job, StoreUnavailable

if TYPE_CHECKING:
    from hms_svc.core.model import Caller, Request, Route
    from hms_svc.core.ports import Clock, JobQueue, Randomness

EVENT_TYPE = "hms-svc.request"
_NOT_IN_STRINGS = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
"""What a CloudEvents string must not hold (CloudEvents 1.0, type system)."""


def job_from(
    *,
    job_id: str,
    time_ns: int,
    queue: str,
    request: Request,
    route: Route,
    caller: Caller,
    path: str,
    body: bytes,
    traceparent: str,
    request_id: str,
) -> Job:
    """The job that ``request`` becomes. ``time_ns`` is since 1970; ``path`` is the normalised one."""
    seconds, fraction_ns = divmod(time_ns, 1_000_000_000)
    attributes = {
        "specversion": "1.0",
        "id": job_id,
        "source": f"/hms-svc/routes/{quote(route.name, safe='', errors='replace')}",
        "type": EVENT_TYPE,
        "subject": path,
        "time": f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{fraction_ns // 1_000_000:03}Z",
        "datacontenttype": request.headers.get("content-type") or "application/octet-stream",
        "traceparent": traceparent,
        "hmsrequestid": request_id,
        "hmsroute": route.name,
        "hmsmethod": request.method,
        "hmspath": path,
        "hmsquery": request.query,
        "hmscontentencoding": request.headers.get("content-encoding", ""),
        "hmscaller": caller.name,
        "hmsauth": caller.via,
        "hmsscopes": " ".join(sorted(caller.scopes)),
    }
    event = {name: _NOT_IN_STRINGS.sub("\ufffd", value) for name, value in attributes.items() if value}
    return Job(job_id, queue, event | {"data_base64": base64.b64encode(body).decode("ascii")})


class Enqueuer:
    """Puts jobs on ``queue``."""

    def __init__(self, queue: JobQueue, clock: Clock, randomness: Randomness) -> None:
        self._queue = queue
        self._clock = clock
        self._randomness = randomness

    async def enqueue(
        self,
        *,
        request: Request,
        route: Route,
        caller: Caller,
        path: str,
        body: bytes,
        traceparent: str,
        request_id: str,
    ) -> tuple[Response, str]:
        """Store the request: the 202 and the job's id. Raises `Unavailable` when it was not stored."""
        action = route.action
        if not isinstance(action, Enqueue):
            raise TypeError(f"the action of route {route.name} is {type(action).__name__}, not Enqueue")
        job = job_from(
            job_id=self._randomness.hex(16),
            time_ns=self._clock.wall_ns(),
            queue=action.queue,
            request=request,
            route=route,
            caller=caller,
            path=path,
            body=body,
            traceparent=traceparent,
            request_id=request_id,
        )
        try:
            await self._queue.put(job)
        except StoreUnavailable as error:
            raise Unavailable(cause=f"the job was not stored: {error}") from error
        return _accepted(job.id, action.status_url), job.id


def _accepted(job_id: str, status_url: str | None) -> Response:
    """202 (RFC 9110, section 15.3.3), and where to ask how far it is."""
    lines = [("Content-Type", "application/json"), ("Cache-Control", "no-store")]
    if status_url is not None:
        lines.append(("Location", status_url.replace("{id}", job_id)))
    return Response(202, Headers(lines), json.dumps({"job_id": job_id, "status": "queued"}).encode())
