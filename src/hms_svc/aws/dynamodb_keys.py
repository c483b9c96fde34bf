"""API keys in a DynamoDB table: the `KeyStore` of the router, and what ``hms-svc keys --table`` does to it.

An item's key is the SHA-256 of an API key; the key itself stands nowhere.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from hms_svc.aws.dynamodb_client import in_sentences
from hms_svc.core.ports import ApiKey, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mypy_boto3_dynamodb import DynamoDBClient

MAX_KEYS = 100_000
"""Items looked at when keys are listed, or one is found by its id: a table of keys is no place for more."""


class DynamoDbKeys:
    """The keys in one table."""

    def __init__(self, table: str, client: Callable[[], DynamoDBClient]) -> None:
        """``client`` makes the client, when it is needed first."""
        self._table = table
        self._client = cache(client)

    async def find(self, sha256: str) -> ApiKey | None:
        """The key with this hash, expired and revoked ones too, or None. Raises `StoreUnavailable`."""
        with in_sentences(self._table):
            answer = self._client().get_item(TableName=self._table, Key={"sha256": {"S": sha256}}, ConsistentRead=True)
        item = answer.get("Item")
        return _key(item) if item else None

    def all(self) -> list[ApiKey]:
        """Every key, in the order they were made. Raises `StoreUnavailable`."""
        return sorted(map(_key, self._scan()), key=lambda key: (key.created_s, key.id))

    def add(self, key: ApiKey) -> None:
        """Keep one more key. Raises `StoreUnavailable` if it was not kept."""
        self._conditionally("attribute_not_exists(sha256)", _item(key))

    def revoke(self, key_id: str, now_s: int) -> ApiKey | None:
        """Refuse a key from now on; the key as it is then, or None when there is none with this id.

        One that was revoked before stays as it is. Raises `StoreUnavailable`.
        """
        for item in self._scan():
            key = _key(item)
            if key.id != key_id:
                continue
            if key.revoked_s is not None:
                return key
            from botocore.exceptions import ClientError

            try:
                with in_sentences(self._table):
                    answer = self._client().update_item(
                        TableName=self._table,
                        Key={"sha256": {"S": key.sha256}},
                        UpdateExpression="SET revoked_s = if_not_exists(revoked_s, :now)",
                        ConditionExpression="attribute_exists(sha256)",
                        ExpressionAttributeValues={":now": {"N": str(now_s)}},
                        ReturnValues="ALL_NEW",
                    )
            except ClientError:
                return None
            return _key(answer["Attributes"])
        return None

    def _conditionally(self, condition: str, item: dict[str, Any]) -> None:
        from botocore.exceptions import ClientError

        try:
            with in_sentences(self._table):
                self._client().put_item(TableName=self._table, Item=item, ConditionExpression=condition)
        except ClientError as error:
            raise StoreUnavailable(f"the table {self._table} has a key like this one already") from error

    def _scan(self) -> Iterator[dict[str, Any]]:
        with in_sentences(self._table):
            pages = self._client().get_paginator("scan").paginate(TableName=self._table, ConsistentRead=True)
            seen = 0
            for page in pages:
                yield from page["Items"]
                seen += len(page["Items"])
                if seen > MAX_KEYS:
                    raise StoreUnavailable(f"the table {self._table} holds more than {MAX_KEYS} keys")


def _item(key: ApiKey) -> dict[str, Any]:
    item: dict[str, Any] = {name: {"S": getattr(key, name)} for name in ("sha256", "id", "owner", "name")}
    item["scopes"] = {"L": [{"S": scope} for scope in sorted(key.scopes)]}
    for name in ("created_s", "expires_s", "revoked_s"):
        moment = getattr(key, name)
        if moment is not None:
            item[name] = {"N": str(moment)}
    return item


def _key(item: dict[str, Any]) -> ApiKey:
    """Raises `StoreUnavailable` for an item that is no key: it lets nobody in."""
    try:
        return ApiKey(
            id=item["id"]["S"],
            owner=item["owner"]["S"],
            sha256=item["sha256"]["S"],
            name=item["name"]["S"] if "name" in item else "",
            scopes=frozenset(scope["S"] for scope in item["scopes"]["L"]) if "scopes" in item else frozenset(),
            created_s=int(item["created_s"]["N"]),
            expires_s=int(item["expires_s"]["N"]) if "expires_s" in item else None,
            revoked_s=int(item["revoked_s"]["N"]) if "revoked_s" in item else None,
        )
    except (LookupError, TypeError, ValueError) as error:
        raise StoreUnavailable("an item of the table of API keys cannot be understood") from error
