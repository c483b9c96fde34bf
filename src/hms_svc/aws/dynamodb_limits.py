"""Rate limits in a DynamoDB table that all environments of the router share: the GCRA of the core, one item a bucket.

The usual decision is one conditional write: DynamoDB adds the cost to the TAT if there is room for it. When the
condition does not hold, the answer shows what stands there: the call is refused without asking again, or the bucket is
new or full again and its TAT is put in place of the one seen, by a second conditional write. So environments that
decide at the same moment never admit together what one of them would not have. A write whose answer is lost may have
counted, and the attempt that repeats it counts again: too much is taken then, never too little.

Environments go by their own clocks. A TAT further ahead than the bucket is deep reads as an empty bucket, as in the
core; it is put back to that only when nobody has written it for `SETTLED_S`. Else two clocks a millisecond apart, or
environments that have the old and the new routes.yml, would give each other room that the limit does not have.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

from hms_svc.core.gcra import SECOND_NS, decide, interval_ns
from hms_svc.core.ports import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from mypy_boto3_dynamodb import DynamoDBClient

    from hms_svc.core.model import Limit
    from hms_svc.core.ports import Clock, Decision

CONNECT_S, ANSWER_S, TRIES = 0.25, 0.5, 2
MAX_CALLS = 6
"""Of one decision. The third and later ones are for buckets that many environments begin at the same moment."""
BUDGET_S = 0.5
"""After this much time a decision begins no further call."""
REST_S = 1
"""After a call without an answer the table is left alone this long, so that no request waits for it twice."""
SETTLED_S = 60
SLACK_S = 300
"""How long a full bucket is kept before DynamoDB may delete it, for clocks that differ."""
CALLS = "LimitStoreCalls"
"""The metric."""
_CONDITION_FAILED = "ConditionalCheckFailedException"


def limits_client() -> DynamoDBClient:
    """For the router: a call takes at most 1.55 s, that is 2 x (0.25 s to connect + 0.5 s to answer) and a pause.

    So a decision takes at most `BUDGET_S` and one call, 2.05 s; in an outage the first takes 1.55 s, the rest none.
    """
    return client_within(CONNECT_S, ANSWER_S)


def client_within(connect_s: float, answer_s: float, endpoint: str | None = None) -> DynamoDBClient:
    """A client whose calls take at most twice ``connect_s + answer_s`` and a pause of 0.05 s."""
    import boto3
    from botocore.config import Config

    # The mode "legacy" pauses 0.05 s before it tries again, with DynamoDB; "standard" up to 1 s.
    config = Config(
        connect_timeout=connect_s,
        read_timeout=answer_s,
        retries={"total_max_attempts": TRIES, "mode": "legacy"},
        tcp_keepalive=True,
    )
    region = os.environ.get("AWS_REGION") or None
    return boto3.session.Session().client("dynamodb", region_name=region, config=config, endpoint_url=endpoint)


class _Bucket(NamedTuple):
    """What stands in the table."""

    tat_ns: int
    written_s: int


class _Change(NamedTuple):
    """A change of a bucket's TAT, and the condition under which it is made."""

    change: str
    condition: str
    values: Mapping[str, int]


class _Answer(NamedTuple):
    """What the table said: whether the change was made, and the bucket as it stands then; None: there is none."""

    made: bool
    bucket: _Bucket | None


class _Call(NamedTuple):
    """One call to be decided, by this environment's clock."""

    item: Mapping[str, Any]
    now_ns: int
    step_ns: int
    """How far its cost moves the TAT."""
    full_ns: int
    """The TAT of an empty bucket."""

    @property
    def latest_ns(self) -> int:
        """The last TAT that has room for the cost."""
        return self.full_ns - self.step_ns

    def taken(self) -> _Change:
        """The cost taken of whatever stands there, if there is room. Needs no knowledge, so nobody can overtake it."""
        values = {":step": self.step_ns, ":now": self.now_ns, ":latest": self.latest_ns}
        return _Change("tat = tat + :step", "tat BETWEEN :now AND :latest", values)


class DynamoDbLimits:
    """A `LimitStore`. The table has the partition key ``key`` (S), and ``expires_s`` for its time to live."""

    def __init__(
        self,
        table: str,
        make_client: Callable[[], DynamoDBClient],
        clock: Clock,
        *,
        count: Callable[[str], None] = lambda _: None,
    ) -> None:
        """``make_client`` is called with the first decision (see `limits_client`), ``count`` with `CALLS` each call."""
        self._table = table
        self._make_client = make_client
        self._client: DynamoDBClient | None = None
        self._clock = clock
        self._count = count
        self._rests_until_ns = 0

    async def take(self, key: str, limit: Limit, cost: int) -> Decision:
        """Take ``cost`` tokens of ``key``'s bucket if they are there; a cost of 0 only looks. Never suspends.

        A cost that the bucket cannot hold is refused without looking at it. Raises `StoreUnavailable` when DynamoDB
        does not answer in time or refuses, and when too many others decide at the same moment.
        """
        now_ns = self._clock.wall_ns()
        if cost > limit.burst:
            return decide(now_ns, now_ns, limit, cost)[0]
        one_ns = interval_ns(limit.limit, limit.period_s)
        item = {"key": {"S": sha256(key.encode("utf-8", "surrogatepass")).hexdigest()}}
        call = _Call(item, now_ns, cost * one_ns, now_ns + limit.burst * one_ns)
        began_ns = self._clock.monotonic_ns()
        if began_ns < self._rests_until_ns:
            raise StoreUnavailable(f"DynamoDB: no answer less than {REST_S} s ago")
        with self._translated():
            return self._decide(call, limit, cost, began_ns + round(BUDGET_S * SECOND_NS))

    def _decide(self, call: _Call, limit: Limit, cost: int, until_ns: int) -> Decision:
        answer = self._write(call, call.taken()) if cost else self._look(call)
        if answer.made:
            return _taken(answer, call, limit, cost)
        for _ in range(MAX_CALLS - 1):
            tat_ns = answer.bucket.tat_ns if answer.bucket else call.now_ns
            decision, kept_ns = decide(tat_ns, call.now_ns, limit, cost)
            if kept_ns == tat_ns or (kept_ns < tat_ns and not _is_settled(answer.bucket, call.now_ns)):
                return decision  # nothing is to be written
            if self._clock.monotonic_ns() > until_ns:
                break
            is_taken = bool(cost) and answer.bucket is not None and call.now_ns <= tat_ns <= call.latest_ns
            answer = self._write(call, call.taken() if is_taken else _put(answer.bucket, kept_ns))
            if answer.made:
                return _taken(answer, call, limit, cost) if is_taken else decision
        raise StoreUnavailable("DynamoDB: too many decide on one bucket at the same moment")

    def _look(self, call: _Call) -> _Answer:
        """The bucket, unchanged."""
        self._count(CALLS)
        answer = self._dynamodb().get_item(
            TableName=self._table,
            Key=call.item,
            ConsistentRead=True,
            ProjectionExpression="tat, written_s",
        )
        return _Answer(False, _bucket(answer.get("Item")))

    def _write(self, call: _Call, change: _Change) -> _Answer:
        """Make the change, or learn what stands there instead."""
        from botocore.exceptions import ClientError

        expires_s = -(-call.full_ns // SECOND_NS) + SLACK_S
        values = {**change.values, ":written": call.now_ns // SECOND_NS, ":expires": expires_s}
        self._count(CALLS)
        try:
            answer = self._dynamodb().update_item(
                TableName=self._table,
                Key=call.item,
                UpdateExpression=f"SET {change.change}, written_s = :written, expires_s = :expires",
                ConditionExpression=change.condition,
                ExpressionAttributeValues={name: {"N": str(value)} for name, value in values.items()},
                ReturnValues="ALL_NEW",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != _CONDITION_FAILED:
                raise
            return _Answer(False, _bucket(error.response.get("Item")))
        return _Answer(True, _bucket(answer.get("Attributes")))

    def _dynamodb(self) -> DynamoDBClient:
        if self._client is None:
            try:
                self._client = self._make_client()
            except ValueError as error:  # botocore's word for an address it cannot use, such as that of an empty region
                raise StoreUnavailable(f"DynamoDB: {error}") from error
        return self._client

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """What botocore raises, as `StoreUnavailable` with the code and without a word of the answer."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "an error without a code")
            raise StoreUnavailable(f"DynamoDB: {error.operation_name}: {code}") from error
        except BotoCoreError as error:
            self._rests_until_ns = self._clock.monotonic_ns() + REST_S * SECOND_NS
            raise StoreUnavailable(f"DynamoDB: {type(error).__name__}") from error


def _taken(answer: _Answer, call: _Call, limit: Limit, cost: int) -> Decision:
    """The decision on a call whose cost was taken of the bucket, which may have been another than the one seen."""
    assert answer.bucket is not None  # noqa: S101  (it was just written)
    return decide(answer.bucket.tat_ns - call.step_ns, call.now_ns, limit, cost)[0]


def _put(seen: _Bucket | None, tat_ns: int) -> _Change:
    """``tat_ns`` in place of the bucket seen, if it is still that one."""
    if seen is None:
        return _Change("tat = :tat", "attribute_not_exists(tat)", {":tat": tat_ns})
    return _Change("tat = :tat", "tat = :seen", {":tat": tat_ns, ":seen": seen.tat_ns})


def _is_settled(bucket: _Bucket | None, now_ns: int) -> bool:
    """Whether no clock near this one's time has written the bucket of late."""
    return bucket is None or abs(now_ns // SECOND_NS - bucket.written_s) >= SETTLED_S


def _bucket(item: Any) -> _Bucket | None:
    """Raises `StoreUnavailable` for an item that is no bucket."""
    if not item:
        return None
    try:
        return _Bucket(int(item["tat"]["N"]), int(item["written_s"]["N"]))
    except (KeyError, TypeError, ValueError):
        raise StoreUnavailable("DynamoDB: the item of a bucket is not one of this gateway's") from None
