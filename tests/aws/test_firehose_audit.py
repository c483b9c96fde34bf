from __future__ import annotations

import gzip
import json
from dataclasses import dataclass, field
from hashlib import sha256
from threading import Barrier, Thread
from typing import TYPE_CHECKING, Any, cast

import boto3
import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError, EndpointConnectionError
from fakes_audit import NEW, a_log, a_served_entry, chain_of
from moto import mock_aws

from hms_svc.aws.firehose_audit import (
    MAX_CALL_BYTES,
    MAX_CALL_RECORDS,
    MAX_RECORD_BYTES,
    PAUSES_S,
    TRIES,
    FirehoseAudit,
    firehose_client,
)
from hms_svc.aws.spill import LOST, MAX_EVENT, MEMBER, SPILLED, Spill
from hms_svc.core.chain import verify
from hms_svc.core.ports import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mypy_boto3_firehose import FirehoseClient

SERVICE_DOWN: Any = {
    "Error": {"Code": "ServiceUnavailableException", "Message": "slow down"},
    "ResponseMetadata": {"HTTPStatusCode": 503},
}
NO_STREAM: Any = {
    "Error": {"Code": "ResourceNotFoundException", "Message": "Firehose audit under account 1 not found."},
    "ResponseMetadata": {"HTTPStatusCode": 400},
}
UNREACHABLE = EndpointConnectionError(endpoint_url="https://firehose.example")


@dataclass
class Stream:
    """A Firehose client that takes what the test says: for each call an exception or the numbers it refuses."""

    script: list[Exception | set[int]] = field(default_factory=list)
    calls: list[list[bytes]] = field(default_factory=list)
    taken: list[bytes] = field(default_factory=list)

    def put_record_batch(self, **call: Any) -> dict[str, Any]:
        assert call["DeliveryStreamName"] == "audit"
        data = [record["Data"] for record in call["Records"]]
        assert 0 < len(data) <= MAX_CALL_RECORDS
        assert sum(map(len, data)) <= MAX_CALL_BYTES
        assert all(0 < len(one) <= MAX_RECORD_BYTES for one in data)
        self.calls.append(data)
        refused = self.script.pop(0) if self.script else set()
        if isinstance(refused, Exception):
            raise refused
        self.taken += [one for number, one in enumerate(data) if number not in refused]
        return {
            "FailedPutCount": len(refused),
            "RequestResponses": [
                {"ErrorCode": "ServiceUnavailableException", "ErrorMessage": "x"}
                if number in refused
                else {"RecordId": "1"}
                for number in range(len(data))
            ],
        }


class World:
    """A sink and everything around it."""

    def __init__(self, *script: Exception | set[int], **more: Any) -> None:
        self.stream = Stream(list(script))
        self.log: list[str] = []
        self.counts: dict[str, int] = {}
        self.pauses: list[float] = []
        spill = Spill(emit=self.log.append, count=self.count)
        self.sink = FirehoseAudit(
            "audit", lambda: cast("FirehoseClient", self.stream), spill=spill, pause=self.pauses.append, **more
        )

    def count(self, name: str, n: int) -> None:
        self.counts[name] = self.counts.get(name, 0) + n

    def append(self, lines: Iterable[bytes]) -> None:
        for line in lines:
            self.sink.append(line)

    @property
    def sent(self) -> list[bytes]:
        """The lines that the stream took, in the order it took them."""
        return b"".join(self.stream.taken).splitlines(keepends=True)

    @property
    def spilled(self) -> list[bytes]:
        return restored(self.log)


def restored(log: Iterable[str]) -> list[bytes]:
    """The records in log lines, as a reader puts them together."""
    records, text = [], ""
    for event in map(json.loads, log):
        text += event[MEMBER]
        if event.get("piece") == event.get("pieces"):
            record = text.encode("utf-8", "surrogateescape") + b"\n"
            assert event["sha256"] == sha256(record).hexdigest()
            records.append(record)
            text = ""
    assert text == ""
    return records


def padded(count: int, size: int) -> list[bytes]:
    return chain_of(count, size=size)[0]


def test_nothing_is_sent_before_the_flush_and_all_of_it_in_order_by_it() -> None:
    world = World()
    lines = padded(5, 10)
    world.append(lines)
    assert world.stream.calls == []
    world.sink.flush()
    assert world.stream.calls == [[b"".join(lines)]]
    assert verify(world.sent, after=NEW).good == 5
    assert world.counts == {}


def test_a_flush_without_records_calls_nobody() -> None:
    world = World()
    world.sink.flush()
    world.append(padded(1, 1))
    world.sink.flush()
    world.sink.flush()
    assert len(world.stream.calls) == 1


def test_lines_share_firehose_records_as_far_as_they_fit() -> None:
    world = World()
    lines = padded(30, 100_000)
    world.append(lines)
    world.sink.flush()
    (call,) = world.stream.calls
    assert [len(data.splitlines()) for data in call] == [10, 10, 10]
    assert world.sent == lines


def test_what_one_call_cannot_hold_goes_in_several() -> None:
    world = World(max_buffer_bytes=100_000_000)
    lines = padded(12, 900_000)
    world.append(lines)
    world.sink.flush()
    assert [len(call) for call in world.stream.calls] == [4, 4, 4]
    assert world.sent == lines


def test_a_full_buffer_is_sent_at_once() -> None:
    world = World(max_buffer_bytes=1_000)
    lines = padded(4, 400)
    world.append(lines[:1])
    assert world.stream.calls == []
    world.append(lines[1:])
    assert world.sent == lines


def test_records_that_a_call_did_not_take_are_sent_again_alone_and_in_order() -> None:
    world = World({1, 2})
    lines = padded(4, 900_000)
    world.append(lines)
    world.sink.flush()
    assert [len(call) for call in world.stream.calls] == [4, 2]
    assert world.stream.calls[1] == lines[1:3]
    assert sorted(world.sent) == sorted(lines)
    assert (world.log, world.pauses) == ([], [PAUSES_S[0]])


def test_what_follows_a_partial_failure_waits_for_it() -> None:
    world = World({3}, max_buffer_bytes=100_000_000)
    lines = padded(6, 900_000)
    world.append(lines)
    world.sink.flush()
    assert world.stream.calls == [lines[:4], lines[3:]]


@pytest.mark.parametrize(
    "error", [UNREACHABLE, ConnectTimeoutError(endpoint_url="x"), ClientError(SERVICE_DOWN, "Put")]
)
def test_a_call_that_fails_is_made_again(error: Exception) -> None:
    world = World(error, error)
    lines = padded(3, 10)
    world.append(lines)
    world.sink.flush()
    assert (world.sent, world.log, world.pauses) == (lines, [], list(PAUSES_S))


@pytest.mark.parametrize(
    ("error", "why"), [(UNREACHABLE, "EndpointConnectionError"), (ClientError(SERVICE_DOWN, "Put"), SERVICE_DOWN)]
)
def test_a_stream_that_is_down_has_its_records_in_the_log(error: Exception, why: Any) -> None:
    world = World(*[error] * TRIES)
    lines = padded(20, 400_000)
    world.append(lines[:9])
    world.sink.flush()
    assert world.spilled == lines[:9]
    assert world.counts == {SPILLED: 9}
    assert len(world.stream.calls) == TRIES
    assert {json.loads(event)["why"] for event in world.log} == {why if isinstance(why, str) else why["Error"]["Code"]}
    world.append(lines[9:])
    world.sink.flush()
    assert world.sent == lines[9:]


def test_an_error_that_no_further_try_mends_is_not_tried_again() -> None:
    world = World(ClientError(NO_STREAM, "PutRecordBatch"))
    world.append(padded(2, 10))
    world.sink.flush()
    assert (len(world.stream.calls), world.pauses, world.counts) == (1, [], {SPILLED: 2})
    assert "account" not in "".join(world.log)


def test_records_that_stay_refused_go_to_the_log_and_the_others_do_not() -> None:
    world = World({1}, {0}, {0})
    lines = padded(3, 900_000)
    world.append(lines)
    world.sink.flush()
    assert world.sent == [lines[0], lines[2]]
    assert world.spilled == [lines[1]]
    assert world.counts == {SPILLED: 1}


def test_a_stream_that_is_down_holds_up_a_flush_for_its_tries_only() -> None:
    world = World(*[UNREACHABLE] * TRIES, max_buffer_bytes=100_000_000)
    lines = padded(40, 900_000)
    world.append(lines)
    world.sink.flush()
    assert len(world.stream.calls) == TRIES
    assert (len(world.spilled), world.counts) == (40, {SPILLED: 40})


def test_a_record_that_is_too_long_for_the_stream_goes_to_the_log_in_pieces() -> None:
    world = World()
    (before, long, after) = (padded(1, 10)[0], padded(1, MAX_RECORD_BYTES)[0], padded(1, 20)[0])
    world.append([before, long, after])
    world.sink.flush()
    assert world.sent == [before, after]
    assert world.spilled == [long]
    assert world.counts == {SPILLED: 1}
    assert [json.loads(event)["piece"] for event in world.log] == list(range(1, len(world.log) + 1))
    assert max(map(len, world.log)) <= MAX_EVENT


def test_a_record_as_long_as_the_stream_takes_goes_there() -> None:
    world = World()
    line = padded(1, MAX_RECORD_BYTES - len(padded(1, 0)[0]))[0]
    assert len(line) == MAX_RECORD_BYTES
    world.append([line])
    world.sink.flush()
    assert (world.sent, world.log) == ([line], [])


@pytest.mark.parametrize("character", ["\U0001f512", "\u00fc", '"', "\\"])
def test_no_piece_of_a_spilled_record_is_longer_than_an_event_of_the_log(character: str) -> None:
    log: list[str] = []
    line = (character * 300_000).encode() + b"\n"
    Spill(emit=log.append, count=lambda _name, _n: None).take([line], "why " * 1_000)
    assert restored(log) == [line]
    assert max(len(event.encode()) for event in log) <= MAX_EVENT


def test_a_spilled_record_is_the_same_bytes_even_if_they_are_no_text() -> None:
    log: list[str] = []
    Spill(emit=log.append, count=lambda _name, _n: None).take([b'{"a":"\xff"}\n'], "")
    assert restored(log) == [b'{"a":"\xff"}\n']


def test_a_record_that_cannot_even_be_logged_is_counted() -> None:
    def broken(text: str) -> None:
        if "request-2" in text:
            raise OSError("stdout is closed")

    counts: dict[str, int] = {}
    Spill(emit=broken, count=lambda name, n: counts.update({name: n})).take(padded(3, 1)[0:2], "down")
    assert counts == {SPILLED: 1, LOST: 1}


def test_an_answer_that_does_not_add_up_is_not_believed() -> None:
    world = World()
    answer = {"FailedPutCount": 1, "RequestResponses": []}
    asked = iter([answer])
    real = world.stream.put_record_batch
    short = type("Short", (), {"put_record_batch": lambda _self, **call: next(asked, None) or real(**call)})()
    sink = FirehoseAudit(
        "audit", lambda: cast("FirehoseClient", short), spill=Spill(emit=world.log.append, count=world.count), pause=id
    )
    lines = padded(2, 1)
    for line in lines:
        sink.append(line)
    sink.flush()
    assert (world.sent, world.log) == (lines, [])


def test_a_client_that_cannot_be_made_costs_no_record() -> None:
    def nothing() -> FirehoseClient:
        raise ValueError("no such endpoint")

    world = World()
    spill = Spill(emit=world.log.append, count=world.count)
    sink = FirehoseAudit("audit", nothing, spill=spill, pause=world.pauses.append)
    lines = padded(2, 1)
    for line in lines:
        sink.append(line)
    sink.flush()
    assert (world.spilled, world.counts) == (lines, {SPILLED: 2})


def test_a_required_record_is_in_the_stream_before_the_request_goes_on() -> None:
    world = World()
    log = a_log(world.sink)
    log.close(a_served_entry(), ended_ns=2_000_000)
    log.begin(a_served_entry(status=None))
    assert len(world.sent) == 2


def test_a_required_record_that_the_stream_does_not_take_stops_the_request_and_stays_in_the_chain() -> None:
    world = World(*[UNREACHABLE] * TRIES)
    log = a_log(world.sink)
    log.close(a_served_entry(), ended_ns=2_000_000)
    with pytest.raises(StoreUnavailable, match="the audit stream audit did not take it: EndpointConnectionError"):
        log.begin(a_served_entry(status=None))
    log.close(a_served_entry(status=503), ended_ns=2_000_000)
    world.sink.flush()
    assert (log.lost, world.counts) == (0, {SPILLED: 2})
    assert verify([*world.spilled, *world.sent], after=NEW, until=log.head).good == 3


def test_a_required_record_is_told_from_others_that_were_spilled() -> None:
    world = World()
    world.append(padded(1, MAX_RECORD_BYTES))
    world.append(padded(1, 1))
    world.sink.settle()
    assert len(world.spilled) == 1


def test_a_required_record_that_a_full_buffer_sent_in_vain_is_told_too() -> None:
    world = World(*[UNREACHABLE] * TRIES, max_buffer_bytes=1)
    world.append(padded(1, 1))
    with pytest.raises(StoreUnavailable):
        world.sink.settle()


def test_closing_sends_the_rest_and_takes_no_more() -> None:
    world = World()
    lines = padded(2, 1)
    world.append(lines)
    world.sink.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        world.sink.append(lines[0])
    world.sink.close()
    assert world.sent == lines


def test_two_threads_that_flush_keep_the_order() -> None:
    world = World(max_buffer_bytes=500)
    lines = padded(300, 100)
    start = Barrier(2)

    def flush() -> None:
        start.wait()
        for _ in range(300):
            world.sink.flush()

    thread = Thread(target=flush)
    thread.start()
    start.wait()
    world.append(lines)
    thread.join()
    world.sink.flush()
    assert world.sent == lines


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")


@pytest.mark.usefixtures("aws")
def test_records_come_out_of_the_bucket_line_by_line() -> None:
    with mock_aws():
        s3 = boto3.client("s3")
        s3.create_bucket(Bucket="audit", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
        role = "arn:aws:iam::123456789012:role/firehose"
        boto3.client("firehose").create_delivery_stream(
            DeliveryStreamName="audit", S3DestinationConfiguration={"RoleARN": role, "BucketARN": "arn:aws:s3:::audit"}
        )
        spill = Spill(emit=pytest.fail, count=lambda _name, _n: None)
        sink = FirehoseAudit("audit", firehose_client, spill=spill, pause=id)
        lines, head = chain_of(7)
        for line in lines:
            sink.append(line)
        sink.flush()
        (item,) = s3.list_objects_v2(Bucket="audit")["Contents"]
        data = s3.get_object(Bucket="audit", Key=item["Key"])["Body"].read()
        data = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
        assert verify(data.splitlines(keepends=True), after=NEW, until=head).good == 7


@pytest.mark.usefixtures("aws")
def test_a_stream_that_is_not_there_spills() -> None:
    with mock_aws():
        world = World()
        spill = Spill(emit=world.log.append, count=world.count)
        sink = FirehoseAudit("audit", firehose_client, spill=spill, pause=world.pauses.append)
        sink.append(padded(1, 1)[0])
        sink.flush()
        assert (world.spilled, world.counts, world.pauses) == (padded(1, 1), {SPILLED: 1}, [])


@pytest.mark.usefixtures("aws")
def test_the_client_gives_up_soon() -> None:
    config: Any = firehose_client().meta.config
    assert (config.connect_timeout, config.read_timeout, config.retries["total_max_attempts"]) == (1.0, 2.0, 1)
