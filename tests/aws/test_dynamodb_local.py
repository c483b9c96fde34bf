"""The tables of limits and keys in DynamoDB Local, which evaluates conditions and counts as DynamoDB does."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from typing import TYPE_CHECKING

import pytest
from aws.dynamodb_local import local_table, needed
from aws.tables import boto3_client
from worlds import OwnedClock, drive

from hms_svc.aws.dynamodb_keys import DynamoDbKeys
from hms_svc.aws.dynamodb_limits import DynamoDbBuckets
from hms_svc.core.config import Limit
from hms_svc.core.gcra import decide
from hms_svc.core.ports import ApiKey, StoreUnavailable, Want
from hms_svc.core.shared_limits import MAX_CALLS, SharedLimits

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = needed
ENVIRONMENTS, CALLS_EACH = 8, 100


@pytest.fixture
def limits_table() -> Iterator[str]:
    with local_table("key") as table:
        yield table


def hammer(table: str, limit: Limit, clock: OwnedClock, counted: list[str]) -> tuple[int, int]:
    """What one environment of the router, with a client of its own, was admitted, and told to be unavailable."""
    client = boto3_client()
    store = SharedLimits(DynamoDbBuckets(table, lambda: client, clock, count=counted.append), clock)
    admitted = unavailable = 0
    for _ in range(CALLS_EACH):
        try:
            admitted += drive(store.take(Want("one key", limit, 1))).allowed
        except StoreUnavailable:
            unavailable += 1
    client.close()
    return admitted, unavailable


@pytest.mark.parametrize("burst", [1, 30, 500])
def test_environments_that_decide_at_once_admit_the_burst_and_not_one_more(limits_table: str, burst: int) -> None:
    clock, counted, limit = OwnedClock(), list[str](), Limit(burst, 60, burst)
    for _ in range(2):
        counted.clear()
        with ThreadPoolExecutor(ENVIRONMENTS) as environments:
            said = list(
                environments.map(
                    hammer,
                    repeat(limits_table, ENVIRONMENTS),
                    repeat(limit),
                    repeat(clock),
                    repeat(counted),
                )
            )
        assert sum(unavailable for _, unavailable in said) == 0
        assert sum(admitted for admitted, _ in said) == burst
        assert len(counted) <= ENVIRONMENTS * CALLS_EACH + ENVIRONMENTS * MAX_CALLS
        print(f"\nburst {burst}: {len(counted) / (ENVIRONMENTS * CALLS_EACH):.3f} calls a decision")  # noqa: T201
        clock.advance(120)  # full again: the second round begins with a bucket that stands there


def test_refills_are_shared_and_never_exceeded(limits_table: str) -> None:
    clock, limit = OwnedClock(), Limit(10, 1, 20)
    admitted = 0
    for _ in range(5):
        with ThreadPoolExecutor(4) as environments:
            said = environments.map(hammer, repeat(limits_table, 4), repeat(limit), repeat(clock), repeat(list[str]()))
            admitted += sum(admitted for admitted, _ in said)
        clock.advance(1)
    assert admitted == 20 + 4 * 10


def test_it_decides_as_the_core_does_step_by_step(limits_table: str) -> None:
    client, clock, limit, kept = boto3_client(), OwnedClock(), Limit(7, 60, 9), 0
    store = SharedLimits(DynamoDbBuckets(limits_table, lambda: client, clock), clock)
    for number in range(200):
        clock.ns += (number * 7_919_000_003) % 12_000_000_000
        cost = number % 4
        expected, kept = decide(kept, clock.ns, limit, cost)
        assert drive(store.take(Want("key", limit, cost))) == expected


def test_how_long_a_decision_takes(limits_table: str) -> None:
    client, counted, limit = boto3_client(), list[str](), Limit(9, 1, 1_000)  # too slow to be leased
    clock = OwnedClock()
    store = SharedLimits(DynamoDbBuckets(limits_table, lambda: client, clock, count=counted.append), clock)
    drive(store.take(Want("key", limit, 1)))
    counted.clear()
    began = time.perf_counter()
    for _ in range(300):
        assert drive(store.take(Want("key", limit, 1))).allowed
    took_ms = (time.perf_counter() - began) / 300 * 1_000
    print(f"\n{took_ms:.2f} ms and {len(counted) / 300:.3f} calls a decision")  # noqa: T201
    assert len(counted) == 300


def test_keys_of_many_pages_are_listed_found_and_revoked() -> None:
    with local_table("sha256") as table:
        client = boto3_client()
        keys = DynamoDbKeys(table, lambda: client)
        for number in range(40):  # 40 x 40 KB: two pages of 1 MB
            keys.add(ApiKey(f"key-{number}", "team", f"{number:064x}", "x" * 40_000, created_s=number))
        assert [key.id for key in keys.all().keys] == [f"key-{number}" for number in range(40)]
        revoked = keys.revoke("key-33", 77)
        assert revoked is not None
        assert (revoked.id, revoked.revoked_s) == ("key-33", 77)
        assert drive(keys.find(f"{33:064x}")) == revoked
        assert keys.revoke("key-99", 77) is None
