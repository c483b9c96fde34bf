"""What every `LimitStore` does, whichever adapter it is. A new adapter is one more line in `STORES`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
import vectors
from aws.tables import boto3_client, new_table, tables
from worlds import OwnedClock, run

from hms_svc.aws.dynamodb_limits import DynamoDbBuckets
from hms_svc.core.config import Limit
from hms_svc.core.ports import Decision, Want
from hms_svc.core.shared_limits import SharedLimits
from hms_svc.core.windows import MONTH_S, end_ns
from hms_svc.local.limits import MemoryLimits

if TYPE_CHECKING:
    from collections.abc import Callable

    from hms_svc.core.ports import LimitStore


def in_dynamodb(clock: OwnedClock) -> LimitStore:
    return SharedLimits(DynamoDbBuckets(new_table("limits", "key"), boto3_client, clock), clock)


STORES: dict[str, Callable[[OwnedClock], LimitStore]] = {"memory": MemoryLimits, "dynamodb": in_dynamodb}
__all__ = ["tables"]
S = 1_000_000_000
LIMIT = Limit(30, 60, 30)

pytestmark = [pytest.mark.parametrize("make", STORES.values(), ids=STORES.keys()), pytest.mark.usefixtures("tables")]
Make: TypeAlias = "Callable[[OwnedClock], LimitStore]"


def test_a_bucket_holds_its_burst_and_no_more(make: Make) -> None:
    store = make(OwnedClock())
    said = [run(store.take(Want("a", LIMIT, 1))) for _ in range(31)]
    assert [it.allowed for it in said] == [True] * 30 + [False]
    assert said[0] == Decision(True, 29, 2 * S)
    assert said[30] == Decision(False, 0, 60 * S, 2 * S)


def test_a_token_is_back_when_it_was_said_to_be(make: Make) -> None:
    clock = OwnedClock()
    store = make(clock)
    for _ in range(30):
        run(store.take(Want("a", LIMIT, 1)))
    clock.advance(1.999_999)
    assert not run(store.take(Want("a", LIMIT, 1))).allowed
    clock.advance(0.000_001)
    assert run(store.take(Want("a", LIMIT, 1))).allowed


def test_keys_have_buckets_of_their_own(make: Make) -> None:
    store = make(OwnedClock())
    assert run(store.take(Want("a", LIMIT, 30))).allowed
    assert run(store.take(Want("b", LIMIT, 30))).allowed
    assert not run(store.take(Want("a", LIMIT, 1))).allowed


def test_a_look_takes_nothing(make: Make) -> None:
    store = make(OwnedClock())
    assert run(store.take(Want("a", LIMIT, 0))) == Decision(True, 30, 0)
    run(store.take(Want("a", LIMIT, 4)))
    assert [run(store.take(Want("a", LIMIT, 0))).remaining for _ in range(3)] == [26, 26, 26]


def test_what_costs_more_than_the_bucket_holds_is_never_allowed(make: Make) -> None:
    store = make(OwnedClock())
    assert run(store.take(Want("a", LIMIT, 31))) == Decision(False, 30, 0, None)


def test_a_deep_bucket_refills_at_its_rate(make: Make) -> None:
    clock = OwnedClock()
    store = make(clock)
    limit = Limit(1, 1, 100)
    assert run(store.take(Want("a", limit, 100))).allowed
    clock.advance(50)
    assert run(store.take(Want("a", limit, 0))).remaining == 50


MONTHLY = Limit(3, MONTH_S, 3, window="calendar")


def test_a_quota_holds_until_its_window_ends(make: Make) -> None:
    clock = OwnedClock()
    store = make(clock)
    left_ns = end_ns(MONTH_S, clock.ns) - clock.ns
    said = [run(store.take(Want("a", MONTHLY, cost))) for cost in (1, 2, 1, 0)]
    assert said == [
        Decision(True, 2, left_ns),
        Decision(True, 0, left_ns),
        Decision(False, 0, left_ns, left_ns),
        Decision(True, 0, left_ns),
    ]
    clock.ns += left_ns - 1
    assert not run(store.take(Want("a", MONTHLY, 1))).allowed
    clock.ns += 1
    assert [run(store.take(Want("a", MONTHLY, 1))).remaining for _ in range(3)] == [2, 1, 0]


def test_what_costs_more_than_the_quota_is_never_allowed(make: Make) -> None:
    store = make(OwnedClock())
    said = run(store.take(Want("a", MONTHLY, 4)))
    assert (said.allowed, said.remaining, said.retry_ns) == (False, 3, None)


def test_a_bucket_and_a_quota_are_taken_of_together_or_not_at_all(make: Make) -> None:
    clock = OwnedClock()
    store = make(clock)
    both = [Want("a", Limit(2, 60, 2), 1), Want("b", MONTHLY, 1)]
    allowed = [[it.allowed for it in run(store.take_all(both))] for _ in range(5)]
    assert allowed == [[True, True], [True, True], [False, True], [False, True], [False, True]]
    assert run(store.take(Want("b", MONTHLY, 0))).remaining == 1
    clock.advance(60)
    assert [[it.allowed for it in run(store.take_all(both))] for _ in range(2)] == [[True, True], [True, False]]
    assert run(store.take(Want("a", Limit(2, 60, 2), 0))).remaining == 1


@vectors.needed
def test_other_projects_steps_hold(make: Make) -> None:
    for case in vectors.read_json("limiter/gcra.json").values():
        clock = OwnedClock()
        store, begun = make(clock), clock.ns
        limit = Limit(case["rate_per_s"], 1, case["limit"])
        for step in case["steps"]:
            clock.ns = begun + step["t_ms"] * 1_000_000
            said = run(store.take(Want("key", limit, step["quantity"])))
            seen: dict[str, Any] = {
                "t_ms": step["t_ms"],
                "quantity": step["quantity"],
                "remaining": said.remaining,
                "reset_after_ms": said.reset_ns // 1_000_000,
                "retry_after_ms": -1 if said.retry_ns is None else said.retry_ns // 1_000_000,
                "limited": not said.allowed,
            }
            assert step == seen
