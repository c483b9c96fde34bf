"""The limiters that `limits_dynamodb.py` compares, each behind the same two calls: make a table, open ways to ask.

Every call that is sent to DynamoDB is counted, tries again too, by the event botocore gives before it sends.
"""

from __future__ import annotations

import threading
import time
import uuid
import warnings
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from hms_svc.aws.dynamodb_limits import ANSWER_S, CONNECT_S, DynamoDbBuckets, client_within
from hms_svc.core.ports import StoreUnavailable, Want
from hms_svc.core.shared_limits import SharedLimits

if TYPE_CHECKING:
    from collections.abc import Callable

    from hms_svc.core.config import Limit

REGION = "us-east-1"
ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_DEFAULT_REGION": REGION}
ENVIRONMENT["AWS_REGION"] = REGION


class Place(NamedTuple):
    """Where the buckets are."""

    endpoint: str
    table: str
    limit: Limit


@dataclass
class Sent:
    """The calls that each thread of this process sent to DynamoDB, by operation."""

    by_thread: dict[int, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    def watch(self, client: Any) -> None:
        """Count the calls of ``client``, a botocore client."""
        client.meta.events.register("before-send.dynamodb", self._count)

    def _count(self, event_name: str, **_: Any) -> None:
        self.by_thread[threading.get_ident()][event_name.rpartition(".")[2]] += 1


class Said(NamedTuple):
    """What a limiter said of a call."""

    allowed: bool | None
    """None: it could not say."""
    at_ns: int
    """The call's moment by the clock that all processes share: no later than the one the limiter went by."""
    why: str = ""
    """It could not."""


class Contender(Protocol):
    """A limiter."""

    name: str

    def prepare(self, endpoint: str, limit: Limit) -> Place:
        """Make a table of its own that keeps ``limit``."""
        ...

    def open(self, place: Place, sent: Sent, threads: int) -> list[Callable[[str], Said]]:
        """One environment for each thread."""
        ...


class LastReading:
    """A `Clock` that remembers what it said last: the moment a decision went by."""

    def __init__(self) -> None:
        self.said_ns = 0

    def wall_ns(self) -> int:
        """The machine's."""
        self.said_ns = time.time_ns()
        return self.said_ns

    monotonic_ns = staticmethod(time.monotonic_ns)


class Ours:
    """`SharedLimits` over `DynamoDbBuckets`, with the client of the router."""

    name = "hms-svc"

    def prepare(self, endpoint: str, limit: Limit) -> Place:
        """A table as in template.yaml."""
        table = f"hms-{uuid.uuid4().hex}"
        client_within(CONNECT_S, 30, endpoint).create_table(
            TableName=table,
            AttributeDefinitions=[{"AttributeName": "key", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "key", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
        )
        return Place(endpoint, table, limit)

    def open(self, place: Place, sent: Sent, threads: int) -> list[Callable[[str], Said]]:
        """Environments that share nothing but the connections of a process."""
        client = client_within(CONNECT_S, ANSWER_S, place.endpoint)
        sent.watch(client)

        def environment() -> Callable[[str], Said]:
            clock = LastReading()
            store = SharedLimits(DynamoDbBuckets(place.table, lambda: client, clock), clock)

            def ask(key: str) -> Said:
                try:
                    store.take(Want(key, place.limit, 1)).send(None)
                except StopIteration as done:
                    return Said(done.value.allowed, clock.said_ns)
                except StoreUnavailable as error:
                    return Said(None, clock.said_ns, str(error))
                raise AssertionError("it waits for nothing")

            return ask

        return [environment() for _ in range(threads)]


class Zae:
    """zae-limiter as its documentation recommends: stored limits, speculative writes, its caches at their defaults.

    Its synchronous interface, a `SyncRateLimiter` for each process. Its Lambda function, which refills buckets from the
    table's stream, has no place on DynamoDB Local.
    """

    name = "zae-limiter"

    def prepare(self, endpoint: str, limit: Limit) -> Place:
        """Its own table, with the limit as the default of the resource."""
        from zae_limiter import Limit as ZaeLimit
        from zae_limiter import SyncRateLimiter, SyncRepository

        place = Place(endpoint, f"zae-{uuid.uuid4().hex}", limit)
        with warnings.catch_warnings(action="ignore"):  # the constructor is the one way that needs no CloudFormation
            SyncRepository(place.table, region=REGION, endpoint_url=endpoint).create_table()
        limiter = SyncRateLimiter(repository=_repository(place))
        limiter.set_resource_defaults("api", [ZaeLimit.custom("calls", limit.burst, limit.limit, limit.period_s)])
        return place

    def open(self, place: Place, sent: Sent, threads: int) -> list[Callable[[str], Said]]:
        """Threads of a process share the limiter, which is made for it."""
        from zae_limiter import RateLimiterUnavailable, RateLimitExceeded, SyncRateLimiter

        repository = _repository(place)
        sent.watch(repository._get_client())  # noqa: SLF001  (it has no public place for a client or its events)
        limiter = SyncRateLimiter(repository=repository)

        def ask(key: str) -> Said:
            now_ns = time.time_ns()
            try:
                with limiter.acquire(key, "api", {"calls": 1}):
                    return Said(True, now_ns)
            except RateLimitExceeded:
                return Said(False, now_ns)
            except RateLimiterUnavailable as error:
                return Said(None, now_ns, str(error))

        return [ask] * threads


def _repository(place: Place) -> Any:
    from zae_limiter import SyncRepository

    return SyncRepository.open(stack=place.table, region=REGION, endpoint_url=place.endpoint, auto_update=False)
