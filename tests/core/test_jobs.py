from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from worlds import CountingRandomness, OwnedClock, drive, request

from hms_svc.core.arrive import Arrival
from hms_svc.core.config import Enqueue, HeaderEdits, Route
from hms_svc.core.errors import Unavailable
from hms_svc.core.forward import Admitted
from hms_svc.core.jobs import Enqueuer, prefers_async
from hms_svc.core.model import NOBODY, Caller, Headers, Request, Response
from hms_svc.core.ports import Job, StoreUnavailable

ALICE = Caller("alice", "oauth", credential_id="jti-1", scopes=frozenset({"b", "a"}), token_key="secret-hash")
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
QUEUE = Enqueue("sqs:claims", "/jobs/{id}/state")
ROUTE = Route(name="claims", path="/claims/*", action=QUEUE, auth=("oauth",))
PLAIN = [("Host", "api.agency.example"), ("Content-Type", "text/plain")]


@dataclass
class Listed:
    """A queue in a list, or one that is down."""

    jobs: list[Job] = field(default_factory=list)
    down: bool = False

    async def put(self, job: Job) -> None:
        if self.down:
            raise StoreUnavailable("disk full")
        self.jobs.append(job)


def admitted(
    asked: Request | None = None, *, route: Route = ROUTE, caller: Caller = ALICE, body: bytes = b"do it"
) -> Admitted:
    asked = asked or request("POST", "/claims/1", query="a=1", headers=PLAIN)
    host = asked.headers.get("host", "")
    arrival = Arrival(asked, "request-1", "192.0.2.7", "https", host, "/claims/1", TRACE, trusted=False)
    return Admitted(arrival, route, caller, body)


def enqueue(queue: Listed, what: Admitted | None = None, action: Enqueue = QUEUE) -> tuple[Response, str]:
    enqueuer = Enqueuer(queue, OwnedClock(), CountingRandomness())
    result: tuple[Response, str] = drive(enqueuer.enqueue(what or admitted(), action))
    return result


def message(*arguments: Any, **more: Any) -> dict[str, Any]:
    queue = Listed()
    enqueue(queue, admitted(*arguments, **more))
    return dict(queue.jobs[0].message)


def headers_of(event: dict[str, Any]) -> list[list[str]]:
    read: list[list[str]] = json.loads(event["hmsheaders"])
    return read


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
        "hmsheaders": '[["Content-Type","text/plain"],'
        '["Forwarded","for=192.0.2.7;host=\\"api.agency.example\\";proto=https"],["X-Forwarded-For","192.0.2.7"],'
        '["X-Forwarded-Proto","https"],["X-Forwarded-Host","api.agency.example"]]',
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
    assert "Location" not in enqueue(Listed(), action=Enqueue("q"))[0].headers


SECRETS = [
    ("Authorization", "Bearer hunter2"),
    ("Cookie", "s=hunter2"),
    ("X-API-Key", "hunter2"),
    ("X-Session", "hunter2"),
    ("Proxy-Authorization", "hunter2"),
    ("X_Access_Token", "hunter2"),
    ("X-Amzn-Mtls-Clientcert", "hunter2"),
]


def test_no_credential_goes_along() -> None:
    text = json.dumps(message(request("POST", "/", headers=SECRETS)))
    assert "hunter2" not in text
    assert "secret-hash" not in text


def test_nor_one_that_the_route_would_have_set_for_the_service() -> None:
    edits = HeaderEdits(set=(("X-Backend-Secret", "hunter2"), ("X-Tenant", "acme")))
    event = message(route=Route(name="r", path="/", action=QUEUE, auth=(), request_headers=edits))
    assert "hunter2" not in json.dumps(event)
    assert ["X-Tenant", "acme"] in headers_of(event)


def test_header_lines_go_along_as_a_service_would_have_seen_them() -> None:
    lines = [("Accept", "text/csv"), ("X-HMS-Caller", "mallory"), ("Connection", "X-One-Hop"), ("X-One-Hop", "1")]
    sent = headers_of(message(request("POST", "/", headers=[*lines, ("accept", "text/plain"), ("X-Caf\xe9", "\xfc")])))
    assert [line for line in sent if "orwarded" not in line[0]] == [
        ["Accept", "text/csv"],
        ["accept", "text/plain"],
        ["X-Caf\xe9", "\xfc"],
    ]


def test_what_is_empty_is_left_out_and_the_body_never() -> None:
    event = message(request("POST", "/"), caller=NOBODY, body=b"")
    assert {"hmscaller", "hmsscopes", "hmsquery", "hmscontentencoding"} & event.keys() == set()
    assert (event["data_base64"], event["datacontenttype"], event["hmsauth"]) == (
        "",
        "application/octet-stream",
        "none",
    )


def test_a_compressed_body_says_how() -> None:
    event = message(request("POST", "/", headers=[("Content-Encoding", "gzip")]))
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


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("respond-async", True),
        ("Respond-Async", True),
        ("wait=10, respond-async", True),
        ("respond-async; later=yes", True),
        ('respond-async=""', True),
        (" handling=lenient ,, respond-async\t", True),
        ("return=minimal", False),
        ("respond-asynchronously", False),
        ('note="a, respond-async, b"', False),
        ('note="a \\", respond-async, b"', False),
        ('note="never closed, respond-async', True),
        ("x" * 1_000 + ", respond-async", False),
        ("", False),
    ],
)
def test_a_caller_may_prefer_not_to_wait(value: str, expected: bool) -> None:  # noqa: FBT001  (a column of the table)
    assert prefers_async(Headers([("Prefer", value)])) is expected


def test_preferences_may_stand_in_several_lines() -> None:
    assert prefers_async(Headers([("Prefer", "wait=10"), ("prefer", "respond-async")]))
    assert not prefers_async(Headers())


def test_a_preference_that_is_met_is_confirmed() -> None:
    preferring = request("POST", "/", headers=[("Prefer", "respond-async")])
    assert enqueue(Listed(), admitted(preferring))[0].headers["Preference-Applied"] == "respond-async"
    assert "Preference-Applied" not in enqueue(Listed())[0].headers
