"""DynamoDB Local, AWS's own stand-in, where HMS_SVC_DYNAMODB_ENDPOINT names one (http://127.0.0.1:8000, say).

Started by: java -Djava.library.path=DynamoDBLocal_lib -jar DynamoDBLocal.jar -inMemory -port 8000
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from aws.tables import ENDPOINT, boto3_client, new_table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_dynamodb import DynamoDBClient

needed = pytest.mark.skipif(not ENDPOINT, reason="HMS_SVC_DYNAMODB_ENDPOINT names no DynamoDB Local")


def make_table(client: DynamoDBClient, name: str, key: str) -> None:
    """A table of just this name, as the template makes it."""
    client.create_table(
        TableName=name,
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"}],
        KeySchema=[{"AttributeName": key, "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )


@contextmanager
def local_table(key: str) -> Iterator[str]:
    """The name of an empty table that is gone afterwards."""
    name = new_table("test", key)
    try:
        yield name
    finally:
        client = boto3_client()
        client.delete_table(TableName=name)
        client.close()
