"""Jobs on SQS: one CloudEvents event a message, the body in S3 where a message cannot hold it.

The body is stored before the message that refers to it, so no worker gets a reference to nothing. A message that may
have been sent although no answer came keeps its body: S3's lifecycle removes what nobody refers to.
"""

from __future__ import annotations

import base64
import json
import re
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

from hms_svc.core.ports import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageAttributeValueTypeDef

    from hms_svc.core.ports import Job

MAX_MESSAGE_BYTES = 262_144
"""Of a message with its attributes. SQS itself takes 1 MiB; what is behind a queue often no more than this."""
CONTENT_TYPE = "application/cloudevents+json"
PREFIX = "jobs"
CONNECT_S, SQS_ANSWER_S, S3_ANSWER_S = 1.0, 3.0, 5.0
TRIES = 2
FIFO = ".fifo"
_NAME = re.compile(r"[A-Za-z0-9_-]{1,80}|[A-Za-z0-9_-]{1,75}\.fifo")
_URL = re.compile(r"https?://")
_DAY = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})T")
_CLIENT_ERRORS = range(400, 500)


def sqs_client() -> SQSClient:
    """A client that gives up within 2 x (1 + 3) s and one pause of at most 1 s."""
    import boto3

    return boto3.client("sqs", config=_config(SQS_ANSWER_S))


def s3_client() -> S3Client:
    """A client that gives up within 2 x (1 + 5) s and one pause of at most 1 s."""
    import boto3

    return boto3.client("s3", config=_config(S3_ANSWER_S))


def _config(answer_s: float) -> Any:
    from botocore.config import Config

    retries = {"total_max_attempts": TRIES, "mode": "standard"}
    return Config(connect_timeout=CONNECT_S, read_timeout=answer_s, retries=retries)  # type: ignore[arg-type]


class _Stored(NamedTuple):
    """Where a body is."""

    bucket: str
    key: str


class SqsJobs:
    """A `JobQueue` over SQS. ``sqs:URL`` and ``sqs:NAME`` name a queue; any other name stands for the default one."""

    def __init__(
        self,
        *,
        sqs: Callable[[], SQSClient],
        s3: Callable[[], S3Client],
        default_queue: str | None = None,
        bucket: str | None = None,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
    ) -> None:
        """Over clients that ``sqs`` and ``s3`` make when the first job, and the first big body, need them.

        Args:
            sqs: makes a client; see `sqs_client`.
            s3: the same; see `s3_client`.
            default_queue: URL of the queue for routes that name one of another kind (``sqlite:reports``, say).
            bucket: for bodies that are too big for a message; without one such a job is not taken.
            max_message_bytes: of a message with its attributes, at most 1 MiB.
        """
        self._make_sqs = sqs
        self._make_s3 = s3
        self._sqs: SQSClient | None = None
        self._s3: S3Client | None = None
        self._default = default_queue
        self._bucket = bucket
        self._max_bytes = max_message_bytes
        self._urls: dict[str, str] = {}

    async def put(self, job: Job) -> None:
        """Put the job on its queue. Raises `StoreUnavailable` when SQS, or S3 for a big body, did not take it."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            self._put(job)
        except (BotoCoreError, ClientError, ValueError) as error:  # a ValueError of boto3's: an endpoint that is none
            raise StoreUnavailable(_told(error)) from error

    def _put(self, job: Job) -> None:
        if self._sqs is None:
            self._sqs = self._make_sqs()
        url = self._url(job.queue)
        attributes = _attributes(job)
        text = _text(job.message)
        stored: _Stored | None = None
        if _size(text, attributes) > self._max_bytes:
            stored, message = self._with_reference(job)
            text = _text(message)
            if _size(text, attributes) > self._max_bytes:
                raise StoreUnavailable(f"a job without its body is over {self._max_bytes} bytes")
            self._store(stored, job)
        try:
            self._sqs.send_message(
                QueueUrl=url,
                MessageBody=text,
                MessageAttributes=attributes,
                **_order(url, job),  # type: ignore[arg-type]
            )
        except Exception as error:
            if stored is not None and _is_refusal(error):
                self._remove(stored)
            raise

    def _url(self, queue: str) -> str:
        """The URL of the queue that a route names; SQS is asked once for each name."""
        kind, _, place = queue.partition(":")
        if kind != "sqs":
            if self._default is None:
                raise StoreUnavailable(f"{queue} is no SQS queue, and no default queue is configured")
            return self._default
        if _URL.match(place):
            return place
        if not _NAME.fullmatch(place):
            raise StoreUnavailable(f"{queue} is neither the URL nor the name of an SQS queue")
        if place not in self._urls:
            assert self._sqs is not None  # noqa: S101  (made by the caller)
            self._urls[place] = self._sqs.get_queue_url(QueueName=place)["QueueUrl"]
        return self._urls[place]

    def _with_reference(self, job: Job) -> tuple[_Stored, dict[str, Any]]:
        """Where the body will be, and the event that refers to it (CloudEvents extension ``dataref``)."""
        if self._bucket is None:
            raise StoreUnavailable(f"the job is over {self._max_bytes} bytes, and no bucket is configured for its body")
        day = _DAY.match(str(job.message.get("time", "")))
        stored = _Stored(self._bucket, "/".join((PREFIX, *(day.groups() if day else ("undated",)), job.id)))
        message = {name: value for name, value in job.message.items() if name != "data_base64"}
        message["dataref"] = f"s3://{stored.bucket}/{stored.key}"
        message["hmsdatasha256"] = sha256(_body(job)).hexdigest()
        return stored, message

    def _store(self, stored: _Stored, job: Job) -> None:
        """Put the body, encrypted as the bucket does by default; S3 checks its SHA-256."""
        if self._s3 is None:
            self._s3 = self._make_s3()
        body = _body(job)
        self._s3.put_object(
            Bucket=stored.bucket,
            Key=stored.key,
            Body=body,
            ContentType=str(job.message.get("datacontenttype", "application/octet-stream")),
            ChecksumSHA256=base64.b64encode(sha256(body).digest()).decode("ascii"),
        )

    def _remove(self, stored: _Stored) -> None:
        """Take back a body that no message refers to, if that can be done."""
        from botocore.exceptions import BotoCoreError, ClientError

        assert self._s3 is not None  # noqa: S101  (it stored the body)
        try:
            self._s3.delete_object(Bucket=stored.bucket, Key=stored.key)
        except (BotoCoreError, ClientError):
            return


def _text(message: Mapping[str, Any]) -> str:
    """In ASCII, so that characters are bytes and all of them are ones that SQS takes."""
    return json.dumps(message, separators=(",", ":"))


def _body(job: Job) -> bytes:
    return base64.b64decode(str(job.message.get("data_base64", "")))


def _attributes(job: Job) -> dict[str, MessageAttributeValueTypeDef]:
    """What a worker can read without opening the message."""
    return {
        "content-type": {"DataType": "String", "StringValue": CONTENT_TYPE},
        "job-id": {"DataType": "String", "StringValue": job.id},
    }


def _size(text: str, attributes: Mapping[str, MessageAttributeValueTypeDef]) -> int:
    """As SQS counts: names, types and values of attributes too."""
    return len(text) + sum(len(name) + sum(map(len, map(str, value.values()))) for name, value in attributes.items())


def _order(url: str, job: Job) -> dict[str, str]:
    """For a FIFO queue: the jobs of a route stay in order, and one that was sent twice is there once."""
    if not url.endswith(FIFO):
        return {}
    group = sha256(str(job.message.get("source", "")).encode()).hexdigest()
    return {"MessageGroupId": group, "MessageDeduplicationId": job.id}


def _is_refusal(error: Exception) -> bool:
    """Whether the message is surely not on the queue: an answer said so."""
    response = getattr(error, "response", None)
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode") if isinstance(response, dict) else None
    return status in _CLIENT_ERRORS


def _told(error: Exception) -> str:
    """What failed, without the words of the answer: its code, and the operation."""
    response = getattr(error, "response", None)
    code = response.get("Error", {}).get("Code") if isinstance(response, dict) else None
    return f"{getattr(error, 'operation_name', 'AWS')}: {code}" if code else type(error).__name__
