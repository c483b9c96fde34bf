from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

import pytest
import vectors
from fakes_audit import (
    CLAIMS,
    MemorySink,
    NoBody,
    a_log,
    a_refused_entry,
    a_request,
    a_served_entry,
    an_entry,
    line_of,
    read,
    record_of,
)
from hypothesis import given
from hypothesis import strategies as st

from hms_svc.core.audit_text import MAX_TEXT
from hms_svc.core.chain import canonical, verify
from hms_svc.core.credentials.api_keys import SHAPE
from hms_svc.core.entry import Entry, LimitVerdict, PolicyVerdict
from hms_svc.core.model import Caller, Headers, Request

TEXT = st.text(max_size=20) | st.sampled_from(['"', "\\", "\n", "\x1b[31m", "\ud83d", "x" * 2_000, '","a":"'])
COUNT = st.integers(0, 2**40)
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "request": st.builds(
        Request,
        method=TEXT,
        path=TEXT,
        query=TEXT,
        headers=st.lists(st.tuples(st.sampled_from(["User-Agent", "Cookie", "Host"]), TEXT)).map(Headers),
        body=st.just(NoBody()),
        peer_ip=TEXT,
        http_version=TEXT,
    ),
    "request_id": TEXT,
    "started_wall_ns": COUNT,
    "started_ns": COUNT,
    "trace_id": st.text("0123456789abcdef"),
    "span_id": st.text("0123456789abcdef"),
    "config_sha256": st.text("0123456789abcdef"),
    "ip": TEXT,
    "scheme": TEXT,
    "host": TEXT,
    "path": TEXT,
    "route": st.none() | st.just(CLAIMS),
    "caller": st.builds(Caller, name=TEXT, via=TEXT, credential_id=TEXT, issuer=TEXT, scopes=st.frozensets(TEXT)),
    "limits": st.lists(st.builds(LimitVerdict, TEXT, TEXT, st.booleans(), COUNT, st.booleans(), TEXT), max_size=2),
    "policies": st.lists(st.builds(PolicyVerdict, TEXT, st.booleans(), TEXT, TEXT), max_size=2),
    "request_bytes": st.none() | COUNT,
    "request_sha256": st.text("0123456789abcdef"),
    "upstream": TEXT,
    "upstream_status": st.none() | st.integers(100, 599),
    "upstream_ns": st.none() | COUNT,
    "attempts": st.integers(0, 9),
    "job_id": TEXT,
    "admin": TEXT,
    "status": st.none() | st.integers(100, 599),
    "refusal": TEXT,
    "detail": TEXT,
    "cause": TEXT,
    "response_bytes": COUNT,
    "response_sha256": st.text("0123456789abcdef"),
    "incomplete": st.booleans(),
}
ENTRIES = st.builds(Entry, **FIELDS)


@given(st.lists(st.tuples(ENTRIES, st.booleans()), min_size=1, max_size=3))
def test_whatever_a_request_holds_its_record_is_one_canonical_line_of_the_chain(
    entries: list[tuple[Entry, bool]],
) -> None:
    sink = MemorySink()
    log = a_log(sink)
    for entry, is_required in entries:
        if is_required:
            log.begin(entry)
        log.close(entry, ended_ns=entry.started_ns + 1)
    assert log.lost == 0
    assert verify(sink.lines).ok
    for line in sink.lines:
        assert line.endswith(b"\n")
        assert len(line.splitlines()) == 1
        assert f"{canonical(json.loads(line))}\n".encode() == line


def test_the_strategy_fills_every_field_an_entry_has() -> None:
    assert {field.name for field in fields(Entry)} == FIELDS.keys()


@pytest.mark.parametrize(
    ("method", "activity"),
    [
        ("POST", 1),
        ("GET", 2),
        ("HEAD", 2),
        ("OPTIONS", 2),
        ("PUT", 3),
        ("PATCH", 3),
        ("DELETE", 4),
        ("PROPFIND", 99),
        ("get", 99),
    ],
)
def test_the_activity_is_read_from_the_method(method: str, activity: int) -> None:
    record = record_of(an_entry(a_request(method=method), status=200))
    assert (record["activity_id"], record["type_uid"]) == (activity, 600300 + activity)
    assert record["http_request"]["http_method"] == method


@pytest.mark.parametrize(
    ("status", "refusal", "severity", "outcome"),
    [
        (200, "", 1, "Success"),
        (302, "", 1, "Success"),
        (404, "", 1, "Failure"),
        (500, "", 1, "Failure"),
        (400, "malformed-request", 2, "Failure"),
        (404, "no-such-path", 2, "Failure"),
        (401, "bad-credentials", 3, "Failure"),
        (403, "forbidden", 3, "Failure"),
        (429, "too-many-calls", 3, "Failure"),
        (502, "bad-gateway", 3, "Failure"),
        (503, "unavailable", 3, "Failure"),
        (500, "internal-error", 4, "Failure"),
    ],
)
def test_severity_and_status_follow_from_the_answer_and_who_gave_it(
    status: int, refusal: str, severity: int, outcome: str
) -> None:
    record = record_of(an_entry(status=status, refusal=refusal))
    assert (record["severity_id"], record["status"], record["status_code"]) == (severity, outcome, str(status))
    assert record["status_id"] == {"Success": 1, "Failure": 2}[outcome]


def test_a_caller_who_had_gone_before_there_was_an_answer_is_a_failure_without_a_code() -> None:
    record = record_of(an_entry(incomplete=True))
    assert (record["status"], record["status_id"], record["severity_id"]) == ("Failure", 2, 2)
    assert record["status_detail"] == "The caller had gone before there was an answer"
    assert record.keys().isdisjoint({"status_code", "http_response"})


def test_an_answer_that_broke_off_is_a_failure_whatever_its_status() -> None:
    record = record_of(a_served_entry(incomplete=True))
    assert (record["status"], record["status_code"], record["status_detail"]) == (
        "Failure",
        "201",
        "The answer broke off",
    )
    assert record["unmapped"]["hms"]["incomplete"] is True


def test_nobody_is_anonymous_and_of_unknown_type() -> None:
    assert record_of(an_entry())["actor"] == {"user": {"name": "anonymous", "type": "Unknown", "type_id": 0}}


def test_a_caller_who_is_called_anonymous_is_still_told_from_nobody() -> None:
    record = record_of(an_entry(caller=Caller("anonymous", "oauth")))
    assert record["actor"] == {"user": {"name": "anonymous", "type": "oauth", "type_id": 99}}


def test_a_request_without_a_route_has_its_method_alone_as_operation() -> None:
    assert record_of(an_entry())["api"] == {"operation": "GET"}


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("gateway:8443", {"hostname": "gateway", "port": 8443}),
        ("gateway", {"hostname": "gateway"}),
        ("[2001:db8::1]:80", {"hostname": "2001:db8::1", "port": 80}),
        ("[2001:db8::1]", {"hostname": "2001:db8::1"}),
        ("::1", {"hostname": "::1"}),
        ("gateway:", {"hostname": "gateway:"}),
        ("gateway:99999", {"hostname": "gateway:99999"}),
        ("gateway:٣", {"hostname": "gateway:٣"}),
        ("", {"hostname": ""}),
    ],
)
def test_the_host_is_parted_from_its_port(host: str, url: dict[str, Any]) -> None:
    said = record_of(an_entry(host=host))["http_request"]["url"]
    assert {name: said[name] for name in ("hostname", "port") if name in said} == url


def test_a_proxy_in_between_is_told_from_the_caller() -> None:
    record = record_of(an_entry(a_request(peer_ip="10.0.0.2"), ip="192.0.2.7"))
    assert record["src_endpoint"] == {"intermediate_ips": ["10.0.0.2"], "ip": "192.0.2.7"}
    assert record_of(an_entry())["src_endpoint"] == {"ip": "192.0.2.7"}


def test_latencies_are_in_milliseconds_and_exactly_in_microseconds() -> None:
    record = record_of(a_served_entry(), took_ns=5_678_901)
    assert record["http_response"]["latency"] == 5
    assert record["unmapped"]["hms"]["latency_us"] == 5_678
    assert record["unmapped"]["hms"]["upstream"]["latency_us"] == 3_456


def test_a_clock_that_stands_still_gives_no_negative_latency() -> None:
    assert record_of(a_served_entry(), took_ns=-5)["unmapped"]["hms"]["latency_us"] == 0


SECRET = "hms_9f8e7d6c-S3cr3t"
PLACES = (
    ("Authorization", f"Bearer {SECRET}"),
    ("Proxy-Authorization", f"Basic {SECRET}"),
    ("Cookie", f"theme=dark; session={SECRET}"),
    ("X-API-Key", SECRET),
    ("x_api_key", SECRET),
    ("X-Auth-Token", SECRET),
    ("X-Amz-Security-Token", SECRET),
    ("Set-Cookie", SECRET),
    ("Referer", f"https://shop.example/?token={SECRET}"),
)


@pytest.mark.parametrize("path", ["/secure/claims", f"http://ada:{SECRET}@gateway/secure", f"//ada@/x?k={SECRET}"])
def test_no_token_key_or_cookie_is_in_the_record_wherever_the_caller_put_it(path: str) -> None:
    headers = Headers([("Host", f"ada:{SECRET}@gateway"), *PLACES])
    request = a_request(path=path, query=f"access_token={SECRET}&{SECRET}&key={SECRET}#{SECRET}", headers=headers)
    said = f"cannot verify '{SECRET}' of Bearer {SECRET}: https://ada:{SECRET}@idp/keys?key={SECRET}"
    for entry in (an_entry, a_served_entry, a_refused_entry):
        secretive = entry(
            request=request,
            path="",
            host=f"ada:{SECRET}@gateway",
            status=401,
            refusal="bad-credentials",
            detail=said,
            cause=said,
            limits=[LimitVerdict("ip", '"default";q=1;w=1', allowed=False, remaining=0, error=said)],
            policies=[PolicyVerdict("open.Hours", allowed=False, reason=said, error=said)],
        )
        line = line_of(secretive).decode()
        assert "S3cr3t" not in line
        assert "cannot verify" in line


KEY = "hms_7Qx9Zk2LmN4pR6sT8vW1yB3dF5gH0jKcXaVbQwErTyUiOpAsD"
"""Of the shape of one, and found in no record by chance."""


def lines_with(**changes: Any) -> list[str]:
    return [line_of(entry(**changes)).decode() for entry in (an_entry, a_served_entry, a_refused_entry)]


@pytest.mark.parametrize(
    ("changes", "facts"),
    [
        ({"query": f"{KEY}=1&a=2"}, {}),
        ({"query": f"x{KEY}y=1"}, {}),
        ({"method": KEY}, {}),
        ({"method": f"X{KEY}"}, {}),
        ({"path": f"/keys/{KEY}/a"}, {}),
        ({"path": f"/keys/%zz{KEY}"}, {}),
        ({"path": f"/{'a' * 980}{KEY}"}, {}),
        ({"peer_ip": KEY}, {}),
        ({"http_version": KEY}, {}),
        ({"headers": Headers([("User-Agent", f"curl {KEY} {KEY}")])}, {}),
        ({"headers": Headers([("User-Agent", f"{'a' * MAX_TEXT}{KEY}")])}, {}),
        ({}, {"host": KEY}),
        ({}, {"host": f"{KEY}.agency.example:8443"}),
        ({}, {"scheme": KEY}),
        ({}, {"request_id": KEY}),
        ({}, {"path": f"/{KEY}"}),
        ({}, {"cause": f"cannot read {KEY}", "detail": KEY}),
    ],
)
def test_an_api_key_in_a_wrong_place_is_in_no_record(changes: dict[str, Any], facts: dict[str, Any]) -> None:
    assert SHAPE.fullmatch(KEY)
    for line in lines_with(request=a_request(**changes), **facts):
        assert KEY[:12] not in line
        assert not changes.get("query") or "[redacted]" in json.loads(line)["unmapped"]["hms"]["query"]["names"][0]


@given(st.text(max_size=1_100), st.text(max_size=60))
def test_no_text_of_a_record_holds_an_api_key_or_most_of_one(before: str, after: str) -> None:
    request = a_request(headers=Headers([("User-Agent", before + KEY + after)]), path=f"/{before}{KEY}{after}")
    assert all(KEY[4:30] not in line for line in lines_with(request=request))


def leaves(value: Any, path: str = "") -> set[str]:
    """The path of every member that is no object itself; a list counts as its items."""
    if isinstance(value, dict):
        return set().union(*(leaves(item, f"{path}.{name}".lstrip(".")) for name, item in value.items()))
    if isinstance(value, list):
        return set().union(*(leaves(item, f"{path}[]") for item in value))
    return {path}


ALL_RECORDS = (record_of(a_served_entry()), record_of(a_refused_entry()), record_of(an_entry()))


def attributes(name: str) -> dict[str, Any]:
    found = vectors.read_json(f"ocsf/{name}.json")["attributes"]
    return {key: what for key, what in found.items() if key != "$include"}


@vectors.needed
@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("actor", "actor"),
        ("api", "api"),
        ("http_request", "http_request"),
        ("http_response", "http_response"),
        ("metadata", "metadata"),
        ("attestation_list", "attestation"),
    ],
)
def test_every_object_has_the_attributes_ocsf_requires_and_no_others(place: str, name: str) -> None:
    known = attributes(name)
    required = {key for key, what in known.items() if what.get("requirement") == "required"}
    for record in ALL_RECORDS:
        if place not in record:
            continue
        said = record[place][0] if place == "attestation_list" else record[place]
        assert required <= said.keys() <= known.keys()


@vectors.needed
def test_the_event_has_the_attributes_ocsf_requires_and_no_others() -> None:
    known = attributes("base_event") | attributes("api_activity") | attributes("profile_record_integrity")
    required = {key for key, what in known.items() if what.get("requirement") == "required"}
    for record in ALL_RECORDS:
        assert required <= record.keys() <= (known.keys() - {"duration"}) | {"trace"}


@vectors.needed
def test_activities_and_outcomes_are_those_of_ocsf() -> None:
    activities = attributes("api_activity")["activity_id"]["enum"]
    assert [activities[str(number)]["caption"] for number in (1, 2, 3, 4)] == ["Create", "Read", "Update", "Delete"]
    outcomes = attributes("base_event")["status_id"]["enum"]
    assert (outcomes["1"]["caption"], outcomes["2"]["caption"]) == ("Success", "Failure")


def test_an_opening_record_says_that_the_outcome_is_unknown() -> None:
    sink = MemorySink()
    a_log(sink).begin(a_served_entry(status=None, upstream="", upstream_status=None, response_sha256=""))
    record = read(sink.lines[0])
    assert (record["status"], record["status_id"], record["unmapped"]["hms"]["phase"]) == ("Unknown", 0, "opening")
    assert "http_response" not in record
    assert record["metadata"]["uid"] == f"{record['metadata']['correlation_uid']}:opening"
