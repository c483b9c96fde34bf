from __future__ import annotations

import hashlib
import socket
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from aws.tables import boto3_client, new_table, tables
from botocore.config import Config
from hypothesis import given, settings
from hypothesis import strategies as st
from moto import mock_aws
from worlds import OwnedClock, drive

from hms_svc.aws.dynamodb_limits import MAX_WRITES, DynamoDbLimits
from hms_svc.core.model import Limit
from hms_svc.core.ports import Decision, StoreUnavailable
from hms_svc.local.limits import MemoryLimits

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["tables"]
LIMIT = Limit(30, 60, 30)


class Counted:
    """A store over a new table, and how many calls it made."""

    def __init__(self, client: Callable[[], Any] = boto3_client) -> None:
        self.clock = OwnedClock()
        self.calls = 0
        self.table = new_table("limits", "key")
        self.store = DynamoDbLimits(self.table, client, self.clock, count=self._count)

    def _count(self, _: str) -> None:
        self.calls += 1

    def take(self, cost: int = 1, key: str = "a", limit: Limit = LIMIT) -> Decision:
        decision: Decision = drive(self.store.take(key, limit, cost))
        return decision

    def items(self) -> list[dict[str, Any]]:
        return boto3_client().scan(TableName=self.table)["Items"]


@pytest.mark.usefixtures("tables")
def test_a_bucket_in_use_costs_one_call_a_decision_whatever_it_says() -> None:
    counted = Counted()
    assert (counted.take().allowed, counted.calls) == (True, 2)
    for _ in range(29):
        assert counted.take().allowed
    assert counted.calls == 31
    assert not counted.take().allowed
    assert counted.calls == 32


@pytest.mark.usefixtures("tables")
def test_the_table_holds_a_hash_a_time_and_when_to_forget_it() -> None:
    counted = Counted()
    counted.take(key="9:/claims/*:0:ip:192.0.2.7")
    (item,) = counted.items()
    assert item["key"]["S"] == hashlib.sha256(b"9:/claims/*:0:ip:192.0.2.7").hexdigest()
    assert item.keys() == {"key", "tat", "expires_s"}
    assert int(item["expires_s"]["N"]) * 1_000_000_000 > int(item["tat"]["N"])


@pytest.mark.usefixtures("tables")
def test_a_bucket_that_is_full_again_begins_anew() -> None:
    counted = Counted()
    counted.take(30)
    counted.clock.advance(3_600)
    assert counted.take() == Decision(True, 29, 2_000_000_000)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 5_000_000_000), st.integers(0, 7), st.sampled_from([Limit(5, 3, 5), Limit(7, 10, 3)])),
        max_size=15,
    )
)
def test_it_decides_as_the_buckets_in_memory_do(steps: list[tuple[int, int, Limit]]) -> None:
    with mock_aws():
        counted = Counted()
        memory = MemoryLimits(counted.clock)
        for wait_ns, cost, limit in steps:
            counted.clock.ns += wait_ns
            expected = drive(memory.take("a", limit, cost))
            assert counted.take(cost, limit=limit) == expected


class Overtaken:
    """A client under whose every write another environment has written before."""

    def __init__(self) -> None:
        self.writes = 0
        self._client = boto3_client()

    def update_item(self, **asked: Any) -> Any:
        self.writes += 1
        self._client.put_item(
            TableName=asked["TableName"], Item={"key": asked["Key"]["key"], "tat": {"N": str(self.writes)}}
        )
        return self._client.update_item(**asked)


@pytest.mark.usefixtures("tables")
def test_one_that_is_always_overtaken_gives_up_without_an_answer() -> None:
    client = Overtaken()
    counted = Counted(lambda: client)
    with pytest.raises(StoreUnavailable, match="overtaken"):
        counted.take()
    assert client.writes == MAX_WRITES


@pytest.mark.usefixtures("tables")
def test_a_table_that_is_not_there_is_said_without_the_key() -> None:
    store = DynamoDbLimits("elsewhere", boto3_client, OwnedClock())
    with pytest.raises(StoreUnavailable) as raised:
        drive(store.take("192.0.2.7", LIMIT, 1))
    assert str(raised.value) == "there is no DynamoDB table elsewhere in this region and account"


@pytest.mark.parametrize("cost", [0, 1])
def test_a_dynamodb_that_does_not_answer_holds_a_call_no_longer_than_its_client_does(cost: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = boto3.session.Session().client(
            "dynamodb",
            endpoint_url=f"http://127.0.0.1:{silent.getsockname()[1]}",
            region_name="us-east-1",
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
            config=Config(connect_timeout=0.05, read_timeout=0.05, retries={"total_max_attempts": 1}),
        )
        with pytest.raises(StoreUnavailable, match="DynamoDB cannot be reached"):
            drive(DynamoDbLimits("limits", lambda: client, OwnedClock()).take("a", LIMIT, cost))
        client.close()
