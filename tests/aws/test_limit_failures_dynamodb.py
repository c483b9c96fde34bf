"""Each way DynamoDB fails, injected into the whole limiter: what the caller gets, what is recorded and counted."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any, cast

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    ReadTimeoutError,
)
from worlds import OwnedClock, drive, request

from hms_svc.aws.dynamodb_limits import CALLS, DynamoDbBuckets
from hms_svc.aws.telemetry import Telemetry
from hms_svc.core.config import Forward, Limit, Route
from hms_svc.core.entry import Entry
from hms_svc.core.errors import TooManyCalls, Unavailable
from hms_svc.core.limit import Limiter
from hms_svc.core.model import NOBODY
from hms_svc.core.shared_limits import SharedLimits
from hms_svc.local.limits import MemoryLimits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_dynamodb import DynamoDBClient

URL = "https://dynamodb.example"
METRICS = {"local": "LimitsDecidedLocally", "allow": "LimitsAllowedUnasked", "deny": "LimitsDeniedUnasked"}


def code(name: str) -> ClientError:
    return ClientError({"Error": {"Code": name, "Message": "the message is nobody's business"}}, "UpdateItem")


NO_ANSWER = {
    "slow": ReadTimeoutError(endpoint_url=URL),
    "does not take connections": ConnectTimeoutError(endpoint_url=URL),
    "down": EndpointConnectionError(endpoint_url=URL),
    "no credentials": NoCredentialsError(),
}
SAYS_NO = {
    "throttled": code("ThrottlingException"),
    "over the table's throughput": code("ProvisionedThroughputExceededException"),
    "over the account's requests": code("RequestLimitExceeded"),
    "broken inside": code("InternalServerError"),
    "table missing": code("ResourceNotFoundException"),
    "not permitted": code("AccessDeniedException"),
    "key not usable": code("KMSAccessDeniedException"),
    "clock too far off": code("InvalidSignatureException"),
}
FAULTS = NO_ANSWER | SAYS_NO


class Failing:
    """DynamoDB that takes a while and fails."""

    def __init__(self, clock: OwnedClock, fault: Exception) -> None:
        self.clock = clock
        self.fault = fault
        self.calls = 0

    def update_item(self, **_: Any) -> None:
        self.calls += 1
        self.clock.advance(0.01)
        raise self.fault


class Environment:
    """The limits of one environment, and what it writes to its log."""

    def __init__(self, fault: Exception, telemetry: Telemetry) -> None:
        self.clock = OwnedClock()
        self.client = Failing(self.clock, fault)
        self.telemetry = telemetry
        buckets = DynamoDbBuckets(
            "limits", lambda: cast("DynamoDBClient", self.client), self.clock, count=telemetry.count
        )
        self.limiter = Limiter(SharedLimits(buckets, self.clock), MemoryLimits(self.clock))

    def call(self, limit: Limit, ip: str = "192.0.2.7") -> tuple[int, Entry]:
        """The status a caller gets, and the entry of the record."""
        route = Route(name="faq", path="/faq", action=Forward(()), auth=(), limits=(limit,))
        entry, status = Entry(request(), "id", 0, 0), 200
        try:
            drive(self.limiter.take(route, NOBODY, ip, entry))
        except TooManyCalls:
            status = 429
        except Unavailable as refusal:
            status, entry.cause = 503, refusal.cause
        self.telemetry.closed(entry, ended_ns=0)
        return status, entry


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    loggers = [logging.getLogger(name) for name in ("hms_svc", "py.warnings")]
    before = [(logger, logger.handlers, logger.propagate, logger.level) for logger in loggers]
    yield Telemetry(level="CRITICAL")
    logging.captureWarnings(capture=False)
    for logger, handlers, propagate, level in before:
        logger.handlers, logger.propagate = handlers, propagate
        logger.setLevel(level)


def counted(telemetry: Telemetry, capsys: pytest.CaptureFixture[str]) -> dict[str, float]:
    telemetry.flush()
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    return {name: line[name][0] for name in line if name.startswith("Limit")}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
@pytest.mark.parametrize(
    ("on_error", "statuses"), [("local", [200, 200, 429]), ("allow", [200] * 3), ("deny", [503] * 3)]
)
def test_whatever_fails_on_error_decides_and_it_is_recorded_and_counted(
    fault: Exception, on_error: str, statuses: list[int], telemetry: Telemetry, capsys: pytest.CaptureFixture[str]
) -> None:
    environment = Environment(fault, telemetry)
    seen = [environment.call(Limit(2, 60, 2, on_error=on_error)) for _ in range(3)]
    assert [status for status, _ in seen] == statuses
    entry = seen[0][1]
    (verdict,) = entry.limits
    assert verdict.on_error == on_error
    assert verdict.error.startswith("the limit store is unavailable: DynamoDB: ")
    assert "nobody's business" not in verdict.error + entry.cause
    assert counted(telemetry, capsys) == {CALLS: 1, "LimitStoreErrors": 3, METRICS[on_error]: 3}


@pytest.mark.parametrize("fault", NO_ANSWER.values(), ids=NO_ANSWER)
def test_no_answer_stops_the_asking_for_all_buckets_for_a_second(fault: Exception, telemetry: Telemetry) -> None:
    environment = Environment(fault, telemetry)
    for number in range(100):
        environment.call(Limit(2, 60, 2), f"192.0.2.{number}")
    assert environment.client.calls == 1
    environment.clock.advance(1)
    environment.call(Limit(2, 60, 2), "198.51.100.1")
    assert environment.client.calls == 2


@pytest.mark.parametrize("fault", SAYS_NO.values(), ids=SAYS_NO)
def test_a_no_stops_the_asking_for_that_bucket_for_ever_longer(fault: Exception, telemetry: Telemetry) -> None:
    environment = Environment(fault, telemetry)
    for _ in range(1_000):  # 10 s
        environment.call(Limit(2, 60, 2))
        environment.clock.advance(0.01)
    assert environment.client.calls <= 12
    before = environment.client.calls
    environment.call(Limit(2, 60, 2), "192.0.2.8")
    assert environment.client.calls == before + 1
