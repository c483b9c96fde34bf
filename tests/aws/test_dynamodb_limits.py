from __future__ import annotations

import hashlib
import json
import socket
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, cast

import boto3
import pytest
from aws.dynamodb_local import make_table
from botocore.exceptions import ClientError, NoRegionError, ReadTimeoutError
from hypothesis import given
from hypothesis import strategies as st
from moto import mock_aws
from worlds import OwnedClock, drive

from hms_svc.aws.dynamodb_limits import CALLS, DynamoDbBuckets, client_within, limits_client
from hms_svc.core.config import Limit
from hms_svc.core.gcra import SECOND_NS, decide
from hms_svc.core.ports import Change, Decision, StoreUnavailable, Want
from hms_svc.core.shared_limits import MAX_CALLS, SharedLimits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mypy_boto3_dynamodb import DynamoDBClient

S = SECOND_NS
LIMIT = Limit(30, 60, 30)
KEY = "5:login:0:ip:192.0.2.7"
TABLE = "limits"
IN_USE = "tat BETWEEN :low AND :high"
FULL = f"{IN_USE} OR attribute_not_exists(tat)"


class Conditional:
    """A table of buckets in memory that evaluates the conditions; ``meanwhile`` is run before each write."""

    def __init__(self) -> None:
        self.items: dict[str, dict[str, Any]] = {}
        self.calls: list[str] = []
        self.meanwhile: Callable[[], None] = lambda: None

    def get_item(self, **asked: Any) -> dict[str, Any]:
        self.calls.append("get")
        assert asked["ConsistentRead"]
        item = self.items.get(asked["Key"]["key"]["S"])
        return {"Item": item} if item else {}

    def update_item(self, **asked: Any) -> dict[str, Any]:
        self.calls.append(asked["ConditionExpression"])
        self.meanwhile()
        values = {name: int(value["N"]) for name, value in asked["ExpressionAttributeValues"].items()}
        key = asked["Key"]["key"]["S"]
        item = self.items.get(key)
        tat = int(item["tat"]["N"]) if item else None
        assert asked["ConditionExpression"] in {IN_USE, FULL}
        holds = asked["ConditionExpression"] == FULL if tat is None else values[":low"] <= tat <= values[":high"]
        if not holds:
            error: Any = {"Error": {"Code": "ConditionalCheckFailedException"}} | ({"Item": item} if item else {})
            raise ClientError(error, "UpdateItem")
        new = (tat or 0) + values[":tat"] if "tat + :tat" in asked["UpdateExpression"] else values[":tat"]
        kept = {"tat": new, "written_s": values[":written"], "expires_s": values[":expires"]}
        self.items[key] = {name: {"N": str(value)} for name, value in kept.items()}
        return {"Attributes": self.items[key]}

    @property
    def only(self) -> dict[str, int]:
        (item,) = self.items.values()
        return {name: int(value["N"]) for name, value in item.items()}


@dataclass
class Broken:
    """DynamoDB that answers with an exception."""

    error: Exception
    calls: list[str] = field(default_factory=list)

    def update_item(self, **asked: Any) -> None:
        self.calls.append("update")
        raise self.error

    get_item = update_item


def in_table(make_client: Callable[[], DynamoDBClient], clock: OwnedClock, **more: Any) -> SharedLimits:
    return SharedLimits(DynamoDbBuckets(TABLE, make_client, clock, **more), clock)


def over(client: object, clock: OwnedClock | None = None, **more: Any) -> SharedLimits:
    return in_table(lambda: cast("DynamoDBClient", client), clock or OwnedClock(), **more)


def take(store: SharedLimits, cost: int = 1, limit: Limit = LIMIT, key: str = KEY) -> Decision:
    decision: Decision = drive(store.take(Want(key, limit, cost)))
    return decision


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[DynamoDBClient]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    with mock_aws():
        client = boto3.client("dynamodb", region_name="eu-central-1")
        make_table(client, TABLE, "key")
        yield client


@given(
    st.lists(st.tuples(st.integers(0, 70 * S), st.integers(0, 8)), max_size=30),
    st.builds(Limit, st.integers(1, 50), st.sampled_from([1, 7, 60]), st.integers(1, 7)),
)
def test_each_decision_is_the_one_of_the_core(steps: list[tuple[int, int]], limit: Limit) -> None:
    clock, kept = OwnedClock(), 0
    store = over(Conditional(), clock)
    for later_ns, cost in steps:
        clock.ns += later_ns
        if cost > limit.burst:
            assert not take(store, cost, limit).allowed
            continue
        expected, kept = decide(kept, clock.ns, limit, cost)
        assert take(store, cost, limit) == expected


def test_moto_decides_as_the_core_does(aws: DynamoDBClient) -> None:
    clock, kept = OwnedClock(), 0
    store = in_table(limits_client, clock)
    for later_ns, cost in [(0, 0), (0, 20), (S, 10), (S, 1), (0, 1), (0, 1), (0, 0), (99 * S, 30), (0, 1), (2 * S, 1)]:
        clock.ns += later_ns
        expected, kept = decide(kept, clock.ns, LIMIT, cost)
        assert take(store, cost) == expected


def test_no_address_or_token_stands_in_the_table_and_a_bucket_expires(aws: DynamoDBClient) -> None:
    clock = OwnedClock(1_800_000_000 * S + 1)
    take(in_table(limits_client, clock))
    [item] = aws.scan(TableName=TABLE)["Items"]
    assert set(item) == {"key", "tat", "written_s", "expires_s"}
    assert item["key"]["S"] == hashlib.sha256(KEY.encode()).hexdigest()
    assert "192.0.2.7" not in json.dumps(item)
    assert item["expires_s"] == {"N": str(1_800_000_000 + 60 + 1 + 300)}


def test_one_call_decides_whether_the_bucket_is_new_in_use_or_full_again() -> None:
    counted: list[str] = []
    clock, table = OwnedClock(), Conditional()
    store = over(table, clock, count=counted.append)
    assert take(store, 28).remaining == 2
    assert take(store).remaining == 1
    clock.advance(1_000)
    assert take(store) == Decision(True, 29, 2 * S)
    assert table.calls == [FULL, IN_USE, FULL]
    assert counted == [CALLS] * 3


def test_an_empty_bucket_costs_nothing_until_it_could_have_a_token() -> None:
    clock, table = OwnedClock(), Conditional()
    store = over(table, clock)
    take(store, 30)
    table.calls.clear()
    clock.advance(1.999_999)
    assert [take(store).allowed for _ in range(50)] == [False] * 50
    assert table.calls == []
    clock.advance(0.000_001)
    assert take(store).allowed
    assert len(table.calls) == 1


def test_a_call_that_costs_nothing_asks_nobody() -> None:
    table = Conditional()
    store = over(table)
    assert take(store, 0) == Decision(True, 30, 0)
    assert table.calls == []
    take(store, 4)
    assert take(store, 0).remaining == 26
    assert len(table.calls) == 1


def test_a_look_is_one_read() -> None:
    table = Conditional()
    buckets = DynamoDbBuckets(TABLE, lambda: cast("DynamoDBClient", table), OwnedClock())
    assert drive(buckets.look(KEY)) is None
    assert (table.calls, table.items) == (["get"], {})


def test_what_the_bucket_can_never_hold_is_refused_without_a_call() -> None:
    assert take(over(Broken(NoRegionError())), 31) == Decision(False, 30, 0, None)


def test_who_is_overtaken_takes_of_what_is_left() -> None:
    clock, table = OwnedClock(), Conditional()
    other, here = over(table, clock), over(table, clock)

    def overtaken() -> None:
        table.meanwhile = lambda: None
        take(other, 29)

    table.meanwhile = overtaken
    assert take(here) == Decision(True, 0, 60 * S)
    assert table.calls[-1] == IN_USE
    assert not take(here).allowed


def test_who_is_overtaken_by_the_last_token_is_refused() -> None:
    clock, table = OwnedClock(), Conditional()
    other, here = over(table, clock), over(table, clock)

    def overtaken() -> None:
        table.meanwhile = lambda: None
        take(other, 30)

    table.meanwhile = overtaken
    assert take(here) == Decision(False, 0, 60 * S, 2 * S)


def test_who_is_overtaken_again_and_again_gives_up() -> None:
    clock, table = OwnedClock(), Conditional()

    def overtaken() -> None:
        item = hashlib.sha256(KEY.encode()).hexdigest()
        tat = clock.ns + (1 if table.calls[-1] == FULL else -1)
        table.items[item] = {"tat": {"N": str(tat)}, "written_s": {"N": "0"}}

    table.meanwhile = overtaken
    with pytest.raises(StoreUnavailable, match="too many decide on one bucket"):
        take(over(table, clock))
    assert len(table.calls) == MAX_CALLS


def test_who_is_overtaken_gives_up_when_the_time_is_over() -> None:
    clock, table = OwnedClock(), Conditional()
    take(over(table, clock))
    table.calls.clear()
    table.meanwhile = lambda: clock.advance(0.6)
    with pytest.raises(StoreUnavailable, match="too slow for a decision in time"):
        take(over(table, clock))
    assert len(table.calls) == 1


SMALLER = Limit(10, 60, 10)


def test_a_bucket_made_smaller_reads_as_empty_and_is_put_back_to_that_when_nobody_writes_it() -> None:
    clock, table = OwnedClock(), Conditional()
    store = over(table, clock)
    limit = Limit(1, 1, 3_600)
    take(store, 3_600, limit)
    tat = table.only["tat"]
    for _ in range(2):
        assert take(store, 1, SMALLER) == Decision(False, 0, 60 * S, 6 * S)
        clock.advance(30)
    assert table.only["tat"] == tat
    # It was empty a minute ago, and nobody was admitted since: by now it is full, but for a second that is rounded up.
    assert sum(take(store, 1, SMALLER).allowed for _ in range(20)) == 9
    clock.advance(60)
    assert sum(take(store, 1, SMALLER).allowed for _ in range(20)) == 10


def test_who_waits_a_minute_longer_than_was_said_after_a_limit_was_lowered_is_admitted() -> None:
    clock, table = OwnedClock(), Conditional()
    store, rare = over(table, clock), Limit(10, 86_400, 2)
    take(store, 3_600, Limit(1, 60, 3_600))
    told = take(store, 1, rare)
    assert told.retry_ns == 8_640 * S
    clock.advance(8_640 + 60)
    assert take(store, 1, rare).allowed


def test_environments_whose_clocks_differ_give_each_other_no_room() -> None:
    for first, second in ((3 * S, 0), (0, 3 * S)):
        table = Conditional()
        stores = [over(table, OwnedClock(OwnedClock().ns + ahead_ns)) for ahead_ns in (first, second)]
        admitted = sum(take(store).allowed for _ in range(100) for store in stores)
        assert admitted == 30 + second // (2 * S)


def test_environments_with_the_old_and_the_new_limit_give_each_other_no_room() -> None:
    clock, table = OwnedClock(), Conditional()
    old, new = over(table, clock), over(table, clock)
    admitted = 0
    for _ in range(200):
        admitted += take(old, 1, LIMIT).allowed
        admitted += take(new, 1, SMALLER).allowed
    assert admitted <= 30


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            ClientError({"Error": {"Code": "ThrottlingException", "Message": f"of {KEY}"}}, "UpdateItem"),
            "DynamoDB: UpdateItem: ThrottlingException",
        ),
        (ReadTimeoutError(endpoint_url="https://dynamodb.example"), "DynamoDB: ReadTimeoutError"),
        (NoRegionError(), "DynamoDB: NoRegionError"),
    ],
)
def test_what_goes_wrong_is_unavailable_with_its_code_and_without_the_key(error: Exception, text: str) -> None:
    with pytest.raises(StoreUnavailable) as failed:
        take(over(Broken(error)))
    assert str(failed.value) == text


@pytest.mark.parametrize("error", [NoRegionError(), ValueError("Invalid endpoint: here")])
def test_a_client_that_cannot_be_made_is_unavailable(error: Exception) -> None:
    def fails() -> DynamoDBClient:
        raise error

    with pytest.raises(StoreUnavailable, match=r"DynamoDB: (NoRegionError|Invalid endpoint: here)"):
        take(in_table(fails, OwnedClock()))


@pytest.mark.parametrize(
    "item", [{"tat": {"S": "x"}}, {"tat": {"N": "1"}}, {"tat": {"N": "x"}, "written_s": {"N": "1"}}]
)
def test_an_item_of_somebody_else_is_unavailable(item: dict[str, Any]) -> None:
    table = Conditional()
    table.items[hashlib.sha256(KEY.encode()).hexdigest()] = item
    buckets = DynamoDbBuckets(TABLE, lambda: cast("DynamoDBClient", table), OwnedClock())
    with pytest.raises(StoreUnavailable, match="not one of this gateway's"):
        drive(buckets.look(KEY))


def test_a_table_that_did_not_answer_is_left_alone_for_a_second() -> None:
    clock, broken = OwnedClock(), Broken(ReadTimeoutError(endpoint_url="https://dynamodb.example"))
    store = over(broken, clock)
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            take(store)
    assert len(broken.calls) == 1
    clock.advance(1)
    with pytest.raises(StoreUnavailable):
        take(store)
    assert len(broken.calls) == 2


def test_a_give_back_that_was_not_answered_leaves_the_table_in_use() -> None:
    clock, table = OwnedClock(), Conditional()
    single = Broken(ReadTimeoutError(endpoint_url="https://dynamodb.example"))
    fast, slow = Limit(1, 60, 1), Limit(20, 3_600, 20)
    take(over(table, clock), 1, fast, "fast")
    store = over(table, clock, make_single=lambda: cast("DynamoDBClient", single))
    said = drive(store.take_all([Want("fast", fast, 1), Want("slow", slow, 1)]))
    assert [it.allowed for it in said] == [False, True]
    assert len(single.calls) == 1
    assert take(store, 1, slow, "another").allowed


@contextmanager
def silent() -> Iterator[str]:
    """A server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=16) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def test_a_table_that_never_answers_holds_a_call_no_longer_than_was_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    with silent() as endpoint:
        client = client_within(0.05, 0.1, endpoint)
        store = over(client)
        began = time.monotonic()
        with pytest.raises(StoreUnavailable, match="ReadTimeoutError"):
            take(store)
        took = time.monotonic() - began
        client.close()
    assert 2 * 0.1 <= took < 2 * (0.05 + 0.1) + 0.05 + 0.5  # the last is for a busy machine


@contextmanager
def slow_at_first() -> Iterator[tuple[str, list[bytes]]]:
    """DynamoDB that carries out each request it gets, and answers the first one too late. What it got."""
    got: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(self.rfile.read(int(self.headers["Content-Length"])))
            if len(got) == 1:
                waiting.wait(10)
                return
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"Attributes": {"tat": {"N": "1"}, "written_s": {"N": "1"}}}')

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the base class's name)
            pass

    waiting = threading.Event()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    serving = threading.Thread(target=server.serve_forever, args=(0.01,))
    serving.start()
    yield f"http://127.0.0.1:{server.server_port}", got
    waiting.set()
    server.shutdown()
    server.server_close()
    serving.join()


@pytest.mark.parametrize(("is_once", "sent"), [(False, 2), (True, 1)])
def test_what_gives_back_is_sent_once_even_when_its_answer_does_not_come(
    monkeypatch: pytest.MonkeyPatch, *, is_once: bool, sent: int
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    with slow_at_first() as (endpoint, got):
        clients = {tries: client_within(0.5, 0.2, endpoint, tries=tries) for tries in (1, 2)}
        table = DynamoDbBuckets(TABLE, lambda: clients[2], OwnedClock(), make_single=lambda: clients[1])
        change = Change(-1, 0, 0, 9, is_added=True, is_once=is_once)
        with suppress(StoreUnavailable):
            drive(table.change("key", change, now_ns=1, full_ns=2))
        for client in clients.values():
            client.close()
    assert len(got) == sent


def test_the_client_has_the_bounds_that_its_docstring_says(aws: DynamoDBClient) -> None:
    config: Any = limits_client().meta.config
    assert (config.connect_timeout, config.read_timeout) == (0.25, 0.5)
    assert config.retries["total_max_attempts"] == 2
