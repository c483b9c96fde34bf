"""The buckets of the rate limits in a DynamoDB table: one item a bucket, one conditional `UpdateItem` a change.

What to change, and what the answer means, is `core/shared_limits.py`. A write whose answer is lost may have counted,
and the attempt that repeats it counts again: too much is taken then, never too little. What would give too much when
it is made twice is sent once.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from functools import cache
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from hms_svc.core.gcra import SECOND_NS
from hms_svc.core.ports import Answer, Bucket, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mypy_boto3_dynamodb import DynamoDBClient

    from hms_svc.core.ports import Change, Clock

CONNECT_S, ANSWER_S, TRIES = 0.25, 0.5, 2
REST_S = 1
"""After a call without an answer the table is left alone this long, so that no request waits for it twice."""
SLACK_S = 300
"""How long a full bucket is kept before DynamoDB may delete it, for clocks that differ."""
CALLS = "LimitStoreCalls"
"""The metric."""
_CONDITION_FAILED = "ConditionalCheckFailedException"


def limits_client(tries: int = TRIES) -> DynamoDBClient:
    """For the router: a call takes at most 1.55 s, that is 2 x (0.25 s to connect + 0.5 s to answer) and a pause.

    So a decision takes at most `shared_limits.BUDGET_S` and one call, 2.05 s; in an outage the first takes 1.55 s, the
    rest none.
    """
    return client_within(CONNECT_S, ANSWER_S, tries=tries)


def client_within(
    connect_s: float, answer_s: float, endpoint: str | None = None, *, tries: int = TRIES
) -> DynamoDBClient:
    """A client whose calls take at most ``tries`` times ``connect_s + answer_s``, and 0.05 s between two tries."""
    import boto3
    from botocore.config import Config

    # The mode "legacy" pauses 0.05 s before it tries again, with DynamoDB; "standard" up to 1 s.
    config = Config(
        connect_timeout=connect_s,
        read_timeout=answer_s,
        retries={"total_max_attempts": tries, "mode": "legacy"},
        tcp_keepalive=True,
    )
    region = os.environ.get("AWS_REGION") or None
    return boto3.session.Session().client("dynamodb", region_name=region, config=config, endpoint_url=endpoint)


class DynamoDbBuckets:
    """A `BucketTable`. The table has the partition key ``key`` (S), and ``expires_s`` for its time to live."""

    def __init__(
        self,
        table: str,
        make_client: Callable[[], DynamoDBClient],
        clock: Clock,
        *,
        count: Callable[[str], None] = lambda _: None,
        make_single: Callable[[], DynamoDBClient] | None = None,
    ) -> None:
        """``make_client`` is called with the first decision (see `limits_client`), ``count`` with `CALLS` each call.

        ``make_single`` makes the client for changes that are never repeated, when the first one comes. Without it,
        ``make_client`` makes one that does not try again.
        """
        self._table = table
        self._client = cache(make_client)
        self._single = self._client if make_single is None else cache(make_single)
        self._clock = clock
        self._count = count
        self._rests_until_ns = 0

    async def change(self, key: str, change: Change, *, now_ns: int, full_ns: int) -> Answer:
        """Make the change, or learn what stands there instead. Never suspends. Raises `StoreUnavailable`."""
        from botocore.exceptions import ClientError

        values = {
            ":tat": change.tat_ns,
            ":low": change.low_ns,
            ":high": change.high_ns,
            ":written": now_ns // SECOND_NS,
            ":expires": -(-full_ns // SECOND_NS) + SLACK_S,
        }
        client = self._single if change.is_once else self._client
        with self._called(client, may_rest=not change.is_once) as dynamodb:
            try:
                answer = dynamodb.update_item(
                    TableName=self._table,
                    Key=_place(key),
                    UpdateExpression=f"SET tat = {'tat + :tat' if change.is_added else ':tat'},"
                    " written_s = :written, expires_s = :expires",
                    ConditionExpression=f"tat BETWEEN :low AND :high"
                    f"{' OR attribute_not_exists(tat)' if change.or_absent else ''}",
                    ExpressionAttributeValues={name: {"N": str(value)} for name, value in values.items()},
                    ReturnValues="ALL_NEW",
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                )
            except ClientError as error:
                if error.response["Error"]["Code"] != _CONDITION_FAILED:
                    raise
                return Answer(False, _bucket(error.response.get("Item")))
        return Answer(True, _bucket(answer.get("Attributes")))

    async def look(self, key: str) -> Bucket | None:
        """The bucket, unchanged. Never suspends. Raises `StoreUnavailable`."""
        with self._called(self._client) as dynamodb:
            answer = dynamodb.get_item(
                TableName=self._table,
                Key=_place(key),
                ConsistentRead=True,
                ProjectionExpression="tat, written_s",
            )
        return _bucket(answer.get("Item"))

    async def forget(self, key: str) -> Bucket | None:
        """Delete the bucket, so that it is full; as it was. Never suspends. Raises `StoreUnavailable`.

        For operators: the router has no permission for it.
        """
        with self._called(self._client) as dynamodb:
            answer = dynamodb.delete_item(TableName=self._table, Key=_place(key), ReturnValues="ALL_OLD")
        return _bucket(answer.get("Attributes"))

    @contextmanager
    def _called(self, client: Callable[[], DynamoDBClient], *, may_rest: bool = True) -> Iterator[DynamoDBClient]:
        """One call, counted; what botocore raises is a `StoreUnavailable` with the code and no word of the answer.

        ``may_rest``: that it is not answered says something of the table. A call that is tried once only may have found
        a connection that is none any more.
        """
        from botocore.exceptions import BotoCoreError, ClientError

        if self._clock.monotonic_ns() < self._rests_until_ns:
            raise StoreUnavailable(f"DynamoDB: no answer less than {REST_S} s ago")
        self._count(CALLS)
        try:
            yield client()
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "an error without a code")
            raise StoreUnavailable(f"DynamoDB: {error.operation_name}: {code}") from error
        except BotoCoreError as error:
            if may_rest:
                self._rests_until_ns = self._clock.monotonic_ns() + REST_S * SECOND_NS
            raise StoreUnavailable(f"DynamoDB: {type(error).__name__}") from error
        except ValueError as error:  # botocore's word for an address it cannot use, such as that of an empty region
            raise StoreUnavailable(f"DynamoDB: {error}") from error


def _place(key: str) -> dict[str, Any]:
    return {"key": {"S": sha256(key.encode("utf-8", "surrogatepass")).hexdigest()}}


def _bucket(item: Any) -> Bucket | None:
    """Raises `StoreUnavailable` for an item that is no bucket."""
    if not item:
        return None
    try:
        return Bucket(int(item["tat"]["N"]), int(item["written_s"]["N"]))
    except (KeyError, TypeError, ValueError):
        raise StoreUnavailable("DynamoDB: the item of a bucket is not one of this gateway's") from None
