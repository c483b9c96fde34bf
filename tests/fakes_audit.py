"""Requests and their entries as the journey leaves them, a sink in memory, and lines to put into sinks."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hms_svc.core.audit import AuditLog
from hms_svc.core.chain import Head, canonical, seal
from hms_svc.core.config import Forward, Route, Target
from hms_svc.core.entry import Entry, LimitVerdict, PolicyVerdict
from hms_svc.core.model import Caller, Headers, Request
from hms_svc.core.ports import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hms_svc.core.ports import AuditSink

NEW = Head("0f0e0d0c0b0a09080706050403020100", 0, "")


class NoBody:
    async def read(self, limit: int) -> bytes:
        return b""


class MemorySink:
    """A sink that keeps its lines, and refuses while ``refuses`` is set."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.refuses: Exception | None = None
        self.unsettled: Exception | None = None

    def append(self, line: bytes) -> None:
        if self.refuses:
            raise self.refuses
        self.lines.append(line)

    def settle(self) -> None:
        if self.unsettled:
            raise self.unsettled

    def close(self) -> None:
        self.refuses = StoreUnavailable("closed")


def a_request(**changes: Any) -> Request:
    facts: dict[str, Any] = {
        "method": "GET",
        "path": "/secure/claims/17",
        "query": "",
        "headers": Headers([("Host", "gateway.agency.example"), ("User-Agent", "curl/8.5.0")]),
        "body": NoBody(),
        "peer_ip": "192.0.2.7",
    }
    return Request(**{**facts, **changes})


def an_entry(request: Request | None = None, **changes: Any) -> Entry:
    """The entry of a request that was refused before anything but its arrival was known."""
    entry = Entry(request or a_request(), "5f0c1e9b7a3d4c2e8b6a9d0f1e2c3b4a", 1_776_881_335_332_000_000, 1_000_000)
    entry.ip = entry.request.peer_ip
    for name, value in changes.items():
        setattr(entry, name, value)
    return entry


CLAIMS = Route(
    name="claims",
    path="/secure/claims/*",
    action=Forward((Target("http", "claims-svc", 9001),)),
    auth=("oauth",),
    audit="required",
)


def a_served_entry(**changes: Any) -> Entry:
    """The entry of a request that went all the way, with everything in it that a served request can have."""
    request = a_request(
        method="POST",
        query="page=2&filter=open&debug",
        peer_ip="10.0.0.2",
    )
    facts: dict[str, Any] = {
        "ip": "192.0.2.7",
        "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
        "span_id": "00f067aa0ba902b7",
        "config_sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "scheme": "https",
        "host": "gateway.agency.example:8443",
        "path": "/secure/claims/17",
        "route": CLAIMS,
        "caller": Caller(
            name="ada@agency.example",
            via="oauth",
            credential_id="jti-7c1d",
            issuer="https://login.agency.example/",
            scopes=frozenset({"claims:write", "claims:read"}),
        ),
        "limits": [LimitVerdict(per="caller", policy='"default";q=30;w=60', allowed=True, remaining=29)],
        "policies": [PolicyVerdict(name="is_large_file.LargeFileBlocker", allowed=True)],
        "request_bytes": 18,
        "request_sha256": "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae",
        "upstream": "claims-svc:9001",
        "upstream_status": 201,
        "upstream_ns": 3_456_789,
        "attempts": 1,
        "status": 201,
        "response_bytes": 512,
        "response_sha256": "fcde2b2edba56bf408601fb721fe9b5c338d10ee429ea04fae5511b68fbf8fb9",
    }
    return an_entry(**{"request": request, **facts, **changes})


def a_refused_entry(**changes: Any) -> Entry:
    """The entry of a request that a policy refused, with everything in it that only others than served ones have."""
    facts: dict[str, Any] = {
        "status": 403,
        "refusal": "blocked-by-policy",
        "detail": "Claims are closed today",
        "cause": "the calendar says so",
        "limits": [
            LimitVerdict(per="ip", policy='"default";q=30;w=60', allowed=True, remaining=0, shadow=True),
            LimitVerdict("route", '"all";q=9;w=1', allowed=True, remaining=0, error="it is down", on_error="allow"),
        ],
        "policies": [
            PolicyVerdict(name="open.Hours", allowed=False, reason="Claims are closed today"),
            PolicyVerdict(name="open.Days", allowed=False, error="KeyError: 'sunday'"),
        ],
        "admin": "reload",
        "job_id": "0b8e5d6c",
        "incomplete": True,
    }
    return a_served_entry(**{**facts, **changes})


def a_log(*sinks: AuditSink, head: Head = NEW) -> AuditLog:
    return AuditLog(sinks=sinks, head=head, version="0.1.0")


def record_of(entry: Entry, *, took_ns: int = 5_678_901) -> dict[str, Any]:
    """What the record of ``entry`` says, as a reader gets it."""
    return read(line_of(entry, took_ns=took_ns))


def line_of(entry: Entry, *, took_ns: int = 5_678_901) -> bytes:
    sink = MemorySink()
    a_log(sink).close(entry, ended_ns=entry.started_ns + took_ns)
    return sink.lines[0]


def read(line: bytes) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(line)
    return record


def chain_of(count: int, head: Head = NEW, *, size: int = 0) -> tuple[list[bytes], Head]:
    """``count`` small records after ``head``, each with ``size`` bytes more than it needs, and the new head."""
    lines = []
    for number in range(head.sequence + 1, head.sequence + count + 1):
        line, head = small_record(number, head, size=size)
        lines.append(line)
    return lines, head


def small_record(number: int, head: Head, *, size: int = 0) -> tuple[bytes, Head]:
    uid = f"request-{number}"
    after = canonical({"metadata": {"uid": uid}, "padding": "x" * size})[1:]
    return seal('{"activity_id":2,', after, uid, head)


def sequences(lines: Sequence[bytes]) -> list[int]:
    """The place in the chain that each line says it has."""
    return [int(read(line)["attestation_list"][0]["uid"]) for line in lines]
