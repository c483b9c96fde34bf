from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from worlds import CountingRandomness, OwnedClock, drive, request

from hms_svc.core.errors import Unavailable
from hms_svc.core.jobs import Enqueuer
from hms_svc.core.model import NOBODY, Caller, Enqueue, Forward, Response, Route
from hms_svc.core.ports import Job, StoreUnavailable

ALICE = Caller("alice", "oauth", credential_id="jti-1", scopes=frozenset({"b", "a"}), token_key="secret-hash")
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
ROUTE = Route(name="claims", path="/claims/*", action=Enqueue("sqs:claims", "/jobs/{id}/state"), auth=("oauth",))


@dataclass
class Listed:
    """A queue in a list, or one that is down."""

    jobs: list[Job] = field(default_factory=list)
    down: bool = False

    async def put(self, job: Job) -> None:
        if self.down:
            raise StoreUnavailable("disk full")
        self.jobs.append(job)


def enqueue(queue: Listed, route: Route = ROUTE, **more: Any) -> tuple[Response, str]:
    given: dict[str, Any] = {
        "request": request("POST", "/claims/1", query="a=1", headers=[("Content-Type", "text/plain")]),
        "route": route,
        "caller": ALICE,
        "path": "/claims/1",
        "body": b"do it",
        "traceparent": TRACE,
        "request_id": "request-1",
    }
    result: tuple[Response, str] = drive(Enqueuer(queue, OwnedClock(), CountingRandomness()).enqueue(**(given | more)))
    return result


def message(**more: Any) -> dict[str, Any]:
    queue = Listed()
    enqueue(queue, **more)
    return dict(queue.jobs[0].message)


def test_a_job_is_a_cloud_event_that_says_who_asked_for_what_and_when() -> None:
    queue = Listed()
    response, job_id = enqueue(queue)
    (job,) = queue.jobs
    assert (job.id, job.queue) == (job_id, "sqs:claims")
    assert dict(job.message) == {
        "specversion": "1.0",
        "id": job_id,
        "source": "/hms-svc/routes/claims",
        "type": "hms-svc.request",
        "subject": "/claims/1",
        "time": "2027-01-15T08:00:00.000Z",
        "datacontenttype": "text/plain",
        "traceparent": TRACE,
        "hmsrequestid": "request-1",
        "hmsroute": "claims",
        "hmsmethod": "POST",
        "hmspath": "/claims/1",
        "hmsquery": "a=1",
        "hmscaller": "alice",
        "hmsauth": "oauth",
        "hmsscopes": "a b",
        "data_base64": base64.b64encode(b"do it").decode(),
    }
    assert response.status == 202


def test_the_caller_is_told_the_job_and_where_to_ask_for_it() -> None:
    response, job_id = enqueue(Listed())
    assert isinstance(response.body, bytes)
    assert json.loads(response.body) == {"job_id": job_id, "status": "queued"}
    assert response.headers["Content-Type"] == "application/json"
    assert response.headers["Location"] == f"/jobs/{job_id}/state"


def test_without_a_status_url_there_is_no_location() -> None:
    route = Route(name="r", path="/", action=Enqueue("q"), auth=())
    assert "Location" not in enqueue(Listed(), route)[0].headers


def test_no_credential_goes_along() -> None:
    lines = [("Authorization", "Bearer hunter2"), ("Cookie", "s=hunter2"), ("X-API-Key", "hunter2")]
    text = json.dumps(message(request=request("POST", "/", headers=lines)))
    assert "hunter2" not in text
    assert "secret-hash" not in text


def test_what_is_empty_is_left_out_and_the_body_never() -> None:
    event = message(caller=NOBODY, body=b"", request=request("POST", "/"))
    assert {"hmscaller", "hmsscopes", "hmsquery", "hmscontentencoding"} & event.keys() == set()
    assert (event["data_base64"], event["datacontenttype"], event["hmsauth"]) == (
        "",
        "application/octet-stream",
        "none",
    )


def test_a_compressed_body_says_how() -> None:
    event = message(request=request("POST", "/", headers=[("Content-Encoding", "gzip")]))
    assert event["hmscontentencoding"] == "gzip"


def test_every_byte_of_a_body_comes_through() -> None:
    body = bytes(range(256))
    assert base64.b64decode(message(body=body)["data_base64"]) == body


def test_attributes_hold_only_what_an_event_may() -> None:
    event = message(
        caller=Caller("a\x1b[31m\ud800b", "oauth"), route=Route(name="ü/\n", path="/", action=ROUTE.action, auth=())
    )
    assert event["hmscaller"] == "a\ufffd[31m\ufffdb"
    assert event["source"] == "/hms-svc/routes/%C3%BC%2F%0A"
    assert all(name.isalnum() and name.islower() for name in event if name != "data_base64")


def test_without_a_stored_job_there_is_no_202() -> None:
    with pytest.raises(Unavailable) as refusal:
        enqueue(Listed(down=True))
    assert refusal.value.cause == "the job was not stored: disk full"
    assert "disk" not in refusal.value.detail


def test_a_route_that_does_not_enqueue_is_a_bug() -> None:
    with pytest.raises(TypeError, match="Forward"):
        enqueue(Listed(), Route(name="r", path="/", action=Forward(()), auth=()))
