"""DynamoDB for tests: moto's, or the DynamoDB Local that HMS_SVC_DYNAMODB_ENDPOINT names."""

from __future__ import annotations

import os
import uuid
from contextlib import nullcontext
from typing import TYPE_CHECKING

import boto3
import pytest
from moto import mock_aws

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_dynamodb import DynamoDBClient

ENDPOINT = os.environ.get("HMS_SVC_DYNAMODB_ENDPOINT")


@pytest.fixture
def tables() -> Iterator[None]:
    """A DynamoDB without tables."""
    with mock_aws() if ENDPOINT is None else nullcontext():
        yield


def boto3_client() -> DynamoDBClient:
    return boto3.session.Session().client(
        "dynamodb",
        endpoint_url=ENDPOINT,
        region_name="us-east-1",
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
    )


def new_table(name: str, key: str) -> str:
    """The name of a new table whose items have the key ``key``."""
    table = f"{name}-{uuid.uuid4().hex}"
    boto3_client().create_table(
        TableName=table,
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"}],
        KeySchema=[{"AttributeName": key, "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    return table
