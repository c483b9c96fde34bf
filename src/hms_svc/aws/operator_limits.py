"""The buckets in DynamoDB for an operator: one is looked at, or made full, with the operator's own credentials."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from hms_svc.aws import sentences
from hms_svc.aws.dynamodb_keys import operator_client
from hms_svc.aws.dynamodb_limits import DynamoDbBuckets
from hms_svc.core.gcra import decide
from hms_svc.core.ports import StoreUnavailable
from hms_svc.core.windows import windowed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mypy_boto3_dynamodb import DynamoDBClient

    from hms_svc.core.ports import Clock, Decision, Want


class OperatorLimits:
    """What is in the table ``table`` now. Needs ``dynamodb:GetItem``, and ``dynamodb:DeleteItem`` to reset."""

    def __init__(
        self, table: str, clock: Clock, *, make_client: Callable[[], DynamoDBClient] = operator_client
    ) -> None:
        self._table = table
        self._clock = clock
        self._buckets = DynamoDbBuckets(table, make_client, clock)

    async def take(self, want: Want) -> Decision:
        """What the bucket would say now: nothing is ever taken. Raises `StoreUnavailable`."""
        now_ns = self._clock.wall_ns()
        with self._in_sentences():
            bucket = await self._buckets.look(windowed(want, now_ns).key)
        return decide(bucket.tat_ns if bucket else now_ns, now_ns, want.limit, 0)[0]

    async def reset(self, want: Want) -> bool:
        """Make the bucket full; whether it was there and in use. Raises `StoreUnavailable`."""
        now_ns = self._clock.wall_ns()
        with self._in_sentences():
            bucket = await self._buckets.forget(windowed(want, now_ns).key)
        return bucket is not None and bucket.tat_ns > now_ns

    @contextmanager
    def _in_sentences(self) -> Iterator[None]:
        """Says what to do about what AWS did not do."""
        try:
            yield
        except StoreUnavailable as error:
            raise StoreUnavailable(self._sentence(error)) from error

    def _sentence(self, error: StoreUnavailable) -> str:
        from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

        cause = error.__cause__
        if isinstance(cause, ClientError):
            code = cause.response.get("Error", {}).get("Code", "")
            if code == "ResourceNotFoundException":
                return f"there is no DynamoDB table {self._table} in this account and region: look at AWS_REGION"
            return sentences.refused(f"dynamodb:{cause.operation_name}", self._table, code) or str(error)
        if isinstance(cause, BotoCoreError) and not isinstance(cause, ParamValidationError):
            return sentences.not_sent(cause, "DynamoDB")
        return str(error)
