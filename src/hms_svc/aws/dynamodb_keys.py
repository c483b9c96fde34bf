"""API keys in a DynamoDB table: the `KeyStore` of the router, and what ``hms-svc keys --table`` does to it.

The table holds hashes, no keys. Its partition key is ``sha256``, so the router reads one item to know a caller; only
people list and revoke, by scans. A table needs no index and no time to live for that: an item that DynamoDB deletes at
its ``expires_s`` is a key nobody knows, and refused as well.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from hms_svc.aws import sentences
from hms_svc.aws.key_items import NO_KEY, as_item, from_item, place
from hms_svc.core.credentials.key_listing import Listing
from hms_svc.core.ports import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from mypy_boto3_dynamodb import DynamoDBClient

    from hms_svc.core.ports import ApiKey

CONNECT_S, ANSWER_S, TRIES = 0.5, 1.0, 2
MAX_PAGES = 200
"""Of a scan, 1 MB each: some 600,000 keys."""
_CONDITION_FAILED = "ConditionalCheckFailedException"
_TRANSACTION = "TransactWriteItems"
"""The one operation that no permission has the name of: it needs those of its parts."""
_CHECK_FAILED = "ConditionalCheckFailed"
_BUSY = frozenset(
    {
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "ThrottlingException",
        "TransactionCanceledException",  # by another change of one of its items at the same time, or by a throttle
        "TransactionInProgressException",
    }
)


def keys_client() -> DynamoDBClient:
    """For the router: a call takes at most 3.05 s, that is 2 x (0.5 s to connect + 1 s to answer) and a pause."""
    return _client(CONNECT_S, ANSWER_S, TRIES)


def operator_client() -> DynamoDBClient:
    """For the command line: 5 attempts, each of at most 5 s to connect and 20 s to answer."""
    return _client(5, 20, 5)


def _client(connect_s: float, answer_s: float, attempts: int) -> DynamoDBClient:
    import boto3
    from botocore.config import Config

    # The mode "legacy" pauses 0.05 s before it tries again, with DynamoDB; "standard" up to 1 s.
    config = Config(
        connect_timeout=connect_s,
        read_timeout=answer_s,
        retries={"total_max_attempts": attempts, "mode": "legacy"},
        tcp_keepalive=True,
    )
    # boto3 reads AWS_DEFAULT_REGION only; the AWS command line and most tools go by AWS_REGION first.
    region = os.environ.get("AWS_REGION") or None
    return boto3.session.Session().client("dynamodb", region_name=region, config=config)


class DynamoDbKeys:
    """The keys in one table."""

    def __init__(self, table: str, make_client: Callable[[], DynamoDBClient]) -> None:
        """``make_client`` is called when the table is first used; see `keys_client` and `operator_client`."""
        self._table = table
        self._make_client = make_client
        self._client: DynamoDBClient | None = None

    async def find(self, sha256: str) -> ApiKey | None:
        """The key with this hash as it is now, or None. Never suspends. Raises `StoreUnavailable`."""
        with self._in_sentences():
            answer = self._dynamodb().get_item(TableName=self._table, Key=place(sha256), ConsistentRead=True)
        return self._key(answer["Item"]) if answer.get("Item") else None

    def all(self) -> Listing:
        """Every key. Items that are no keys are a fault of the listing. Raises `StoreUnavailable`."""
        keys, strange = [], 0
        for item in self._scan():
            try:
                keys.append(from_item(item))
            except NO_KEY:
                strange += 1
        keys.sort(key=lambda key: (key.created_s, key.id))
        said = (
            f"the table {self._table} has {strange} item{'s' if strange > 1 else ''} that cannot be read as an API key"
        )
        return Listing(keys, (said,) if strange else ())

    def get(self, key_id: str) -> ApiKey | None:
        """The key with this id; None when there is none. Reads the whole table. Raises `StoreUnavailable`."""
        return next(map(self._key, self._with_id(key_id)), None)

    def add(self, key: ApiKey) -> None:
        """Keep one more key. Raises `StoreUnavailable` if it was not kept, or nobody knows."""
        from botocore.exceptions import ClientError

        item = as_item(key)
        with self._in_sentences():
            try:
                self._dynamodb().put_item(
                    TableName=self._table,
                    Item=item,
                    ConditionExpression="attribute_not_exists(sha256)",
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                )
            except ClientError as error:
                if error.response.get("Item") != item:  # else it was kept by an attempt whose answer was lost
                    raise

    def add_successor(self, key: ApiKey, old: ApiKey, now_s: int) -> ApiKey | None:
        """Keep ``key`` if ``old`` is active at ``now_s``; ``old`` as it is then, None when it is gone.

        Raises `StoreUnavailable` if it was not kept, or nobody knows.
        """
        from botocore.exceptions import ClientError

        put: Any = {
            "TableName": self._table,
            "Item": as_item(key),
            "ConditionExpression": "attribute_not_exists(sha256)",
        }
        check: Any = {
            "TableName": self._table,
            "Key": place(old.sha256),
            "ConditionExpression": "attribute_exists(sha256) AND attribute_not_exists(revoked_s) "
            "AND (attribute_not_exists(expires_s) OR expires_s > :now)",
            "ExpressionAttributeValues": {":now": {"N": str(now_s)}},
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
        with self._in_sentences():
            try:
                # boto3 gives the transaction a token of its own: an attempt whose answer was lost is not made twice.
                self._dynamodb().transact_write_items(TransactItems=[{"Put": put}, {"ConditionCheck": check}])
            except ClientError as error:
                refused: Mapping[str, Any] = error.response
                of_old = (refused.get("CancellationReasons") or [{}])[-1]
                if of_old.get("Code") != _CHECK_FAILED:
                    raise
                return self._key(of_old["Item"]) if of_old.get("Item") else None
        return old

    def revoke(self, key_id: str, now_s: int) -> ApiKey | None:
        """Refuse a key from now on; the key as it is then, or None when there is none with this id.

        One that was revoked before stays as it is. Reads the whole table to find the id. Raises `StoreUnavailable`.
        """
        revoked = None
        for item in self._with_id(key_id):
            revoked = (
                self._set_moment(self._key(item), "revoked_s", now_s, "attribute_not_exists(revoked_s)") or revoked
            )
        return revoked

    def expire(self, key: ApiKey, at_s: int) -> ApiKey | None:
        """Let ``key`` expire at ``at_s`` at the latest; the key as it is then, None when it is gone.

        Raises `StoreUnavailable`.
        """
        unless_sooner = "(attribute_not_exists(expires_s) OR expires_s > :moment)"
        return self._set_moment(key, "expires_s", at_s, unless_sooner)

    def note_uses(self, uses: Sequence[tuple[ApiKey, int]]) -> None:
        """Keep last uses, each unless a later one is kept, or its key is gone. Raises `StoreUnavailable`."""
        for key, moment_s in uses:
            self._note_use(key, moment_s)

    def _note_use(self, key: ApiKey, moment_s: int) -> None:
        from botocore.exceptions import ClientError

        with self._in_sentences():
            try:
                # The router may change this attribute alone, and nothing of the item may come back: see template.yaml.
                self._dynamodb().update_item(
                    TableName=self._table,
                    Key=place(key.sha256),
                    UpdateExpression="SET last_used_s = :moment",
                    ConditionExpression="attribute_exists(sha256) AND "
                    "(attribute_not_exists(last_used_s) OR last_used_s < :moment)",
                    ExpressionAttributeValues={":moment": {"N": str(moment_s)}},
                    ReturnValues="NONE",
                )
            except ClientError as error:
                if error.response["Error"]["Code"] != _CONDITION_FAILED:
                    raise

    def _set_moment(self, key: ApiKey, name: str, moment_s: int, condition: str) -> ApiKey | None:
        """The key as it is then, changed or not; None: its item is gone, and is not to come back as half a key."""
        from botocore.exceptions import ClientError

        item: Mapping[str, Any]
        with self._in_sentences():
            try:
                item = self._dynamodb().update_item(
                    TableName=self._table,
                    Key=place(key.sha256),
                    UpdateExpression=f"SET {name} = :moment",
                    ConditionExpression=f"attribute_exists(sha256) AND {condition}",
                    ExpressionAttributeValues={":moment": {"N": str(moment_s)}},
                    ReturnValues="ALL_NEW",
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                )["Attributes"]
            except ClientError as error:
                if error.response["Error"]["Code"] != _CONDITION_FAILED:
                    raise
                refused: Mapping[str, Any] = error.response
                item = refused.get("Item", {})
        return self._key(item) if item else None

    def _with_id(self, key_id: str) -> Iterator[Mapping[str, Any]]:
        """The items with this id; an id is no part of the table's key, so all of them are looked at."""
        return self._scan(FilterExpression="id = :id", ExpressionAttributeValues={":id": {"S": key_id}})

    def _scan(self, **asked: Any) -> Iterator[Mapping[str, Any]]:
        """The items of the table, page by page."""
        for _ in range(MAX_PAGES):
            with self._in_sentences():
                page = self._dynamodb().scan(TableName=self._table, ConsistentRead=True, **asked)
            yield from page["Items"]
            if not page.get("LastEvaluatedKey"):
                return
            asked["ExclusiveStartKey"] = page["LastEvaluatedKey"]
        raise StoreUnavailable(f"the table {self._table} is larger than {MAX_PAGES} MB, too large to be read whole")

    def _key(self, item: Mapping[str, Any]) -> ApiKey:
        try:
            return from_item(item)
        except NO_KEY:
            raise StoreUnavailable(f"the table {self._table} has an item that is no API key") from None

    def _dynamodb(self) -> DynamoDBClient:
        if self._client is None:
            try:
                self._client = self._make_client()
            except ValueError as error:  # botocore's word for an address it cannot use, such as that of an empty region
                raise StoreUnavailable(f"{error}: look at AWS_REGION, AWS_DEFAULT_REGION, AWS_ENDPOINT_URL") from error
        return self._client

    @contextmanager
    def _in_sentences(self) -> Iterator[None]:
        """Turns what boto3 raises into `StoreUnavailable` with one sentence that says what to do."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "an error without a code")
            raise StoreUnavailable(_refused(error.operation_name, self._table, code)) from error
        except BotoCoreError as error:
            raise StoreUnavailable(_not_sent(error)) from error


def _refused(operation: str, table: str, code: str) -> str:
    """What DynamoDB answered."""
    permission = "PutItem and dynamodb:ConditionCheckItem" if operation == _TRANSACTION else operation
    said = sentences.refused(f"dynamodb:{permission}", table, code)
    if said is not None:
        return said
    if code in _BUSY:
        return f"DynamoDB has too much to do ({code} at {operation} of {table}): try again in a minute"
    if code == "ResourceNotFoundException":
        return f"there is no DynamoDB table {table} in this account and region: look at its name and at AWS_REGION"
    if code == _CONDITION_FAILED:
        return f"the table {table} has this key already"
    return f"DynamoDB refused {operation} on {table}: {code}"


def _not_sent(error: Exception) -> str:
    """What boto3 says before or instead of an answer."""
    if type(error).__name__ == "ParamValidationError":
        return "that is no name of a DynamoDB table"
    return sentences.not_sent(error, "DynamoDB")
