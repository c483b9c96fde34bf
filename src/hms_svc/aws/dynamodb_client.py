"""The client of the tables, with its bounds in time, and what goes wrong there in plain sentences."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hms_svc.core.ports import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_dynamodb import DynamoDBClient

CONNECT_S, ANSWER_S = 0.25, 0.5
TRIES = 2
BOUND_S = TRIES * (CONNECT_S + ANSWER_S) + 1.0
"""The longest that one call can hold a request, name resolution aside: the tries, and boto3's pause between them."""
_DENIED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"})
_CREDENTIALS = frozenset(
    {"ExpiredTokenException", "InvalidSignatureException", "MissingAuthenticationToken", "UnrecognizedClientException"}
)


def router_client() -> DynamoDBClient:
    """For the router: a call is over after `BOUND_S` at the latest."""
    return _client(CONNECT_S, ANSWER_S, TRIES)


def operator_client() -> DynamoDBClient:
    """For the command line, which has more time."""
    return _client(5.0, 20.0, 5)


def _client(connect_s: float, answer_s: float, tries: int) -> DynamoDBClient:
    import boto3
    from botocore.config import Config

    config = Config(
        connect_timeout=connect_s, read_timeout=answer_s, retries={"total_max_attempts": tries, "mode": "standard"}
    )
    return boto3.session.Session().client("dynamodb", region_name=os.environ.get("AWS_REGION") or None, config=config)


@contextmanager
def in_sentences(table: str) -> Iterator[None]:
    """Turns what boto3 raises into `StoreUnavailable` with one sentence that names no item.

    A condition that did not hold is an answer and passes: its code is ``ConditionalCheckFailedException``.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "an error")
        if code == "ConditionalCheckFailedException":
            raise
        raise StoreUnavailable(_refused(table, error.operation_name, code)) from error
    except BotoCoreError as error:
        raise StoreUnavailable(_not_sent(error)) from error


def _refused(table: str, operation: str, code: str) -> str:
    if code == "ResourceNotFoundException":
        return f"there is no DynamoDB table {table} in this region and account"
    if code in _DENIED:
        return f"AWS denies {operation} on {table}: the role or user needs the permission dynamodb:{operation} for it"
    if code in _CREDENTIALS:
        return f"AWS does not take these credentials ({code}): log in again, or set AWS_PROFILE"
    return f"DynamoDB refused {operation} on {table}: {code}"


def _not_sent(error: Exception) -> str:
    match type(error).__name__:
        case "NoCredentialsError" | "PartialCredentialsError" | "CredentialRetrievalError":
            return "there are no AWS credentials here: log in, or set AWS_PROFILE"
        case "NoRegionError":
            return "no AWS region is set: set AWS_REGION, such as AWS_REGION=us-gov-west-1"
        case name:
            return f"DynamoDB cannot be reached ({name})"
