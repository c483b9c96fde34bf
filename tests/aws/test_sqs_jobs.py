from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any, cast

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError, ReadTimeoutError
from moto import mock_aws
from worlds import drive

from hms_svc.aws.sqs_jobs import CONTENT_TYPE, MAX_MESSAGE_BYTES, SqsJobs, s3_client, sqs_client
from hms_svc.core.ports import Job, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

URL = "https://sqs.eu-central-1.amazonaws.com/123456789012/jobs"
TIMED_OUT = ReadTimeoutError(endpoint_url=URL)


def refusal(code: str, status: int = 400) -> ClientError:
    said = {"Error": {"Code": code, "Message": "of hunter2"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(cast("Any", said), "SendMessage")


@dataclass
class Fakes:
    """SQS and S3 in one, which do what they are told and remember what they were asked."""

    refuses: dict[str, Exception] = field(default_factory=dict)
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def _called(self, name: str, asked: dict[str, Any]) -> None:
        self.calls.append((name, asked))
        if name in self.refuses:
            raise self.refuses[name]

    def send_message(self, **asked: Any) -> None:
        self._called("send_message", asked)

    def get_queue_url(self, **asked: Any) -> dict[str, str]:
        self._called("get_queue_url", asked)
        return {"QueueUrl": f"https://sqs.example/1/{asked['QueueName']}"}

    def put_object(self, **asked: Any) -> None:
        self._called("put_object", asked)

    def delete_object(self, **asked: Any) -> None:
        self._called("delete_object", asked)

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.calls]

    @property
    def sent(self) -> dict[str, Any]:
        (asked,) = [asked for name, asked in self.calls if name == "send_message"]
        return asked

    def jobs(self, **more: Any) -> SqsJobs:
        return SqsJobs(sqs=lambda: cast("SQSClient", self), s3=lambda: cast("S3Client", self), **more)


def job(body: bytes = b"do it", *, queue: str = f"sqs:{URL}", job_id: str = "0123", **more: str) -> Job:
    message = {
        "specversion": "1.0",
        "id": job_id,
        "source": "/hms-svc/routes/claims",
        "time": "2027-01-15T08:00:00.000Z",
        "datacontenttype": "text/plain",
        "data_base64": base64.b64encode(body).decode(),
    }
    return Job(job_id, queue, message | more)


BIG = job(b"x" * MAX_MESSAGE_BYTES)


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    with mock_aws():
        boto3.client("s3").create_bucket(
            Bucket="bodies", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
        )
        yield


def received(url: str) -> list[Any]:
    answer = boto3.client("sqs").receive_message(
        QueueUrl=url, MessageAttributeNames=["All"], MessageSystemAttributeNames=["All"], MaxNumberOfMessages=10
    )
    return list(answer.get("Messages", []))


@pytest.mark.usefixtures("aws")
def test_a_job_is_a_message_and_its_attributes_say_what_it_is() -> None:
    url = boto3.client("sqs").create_queue(QueueName="jobs")["QueueUrl"]
    stored = job(queue=f"sqs:{url}")
    drive(SqsJobs(sqs=sqs_client, s3=s3_client).put(stored))
    (message,) = received(url)
    assert json.loads(message["Body"]) == stored.message
    said = {name: value["StringValue"] for name, value in message["MessageAttributes"].items()}
    assert said == {"content-type": CONTENT_TYPE, "job-id": "0123"}


@pytest.mark.usefixtures("aws")
def test_a_body_that_is_too_big_for_a_message_is_in_the_bucket() -> None:
    url = boto3.client("sqs").create_queue(QueueName="jobs")["QueueUrl"]
    body = bytes(range(256)) * 1_024
    drive(SqsJobs(sqs=sqs_client, s3=s3_client, bucket="bodies").put(job(body, queue=f"sqs:{url}")))
    event = json.loads(received(url)[0]["Body"])
    assert "data_base64" not in event
    assert event["dataref"] == "s3://bodies/jobs/2027/01/15/0123"
    assert event["hmsdatasha256"] == sha256(body).hexdigest()
    stored = boto3.client("s3").get_object(Bucket="bodies", Key="jobs/2027/01/15/0123")
    assert stored["Body"].read() == body
    assert stored["ContentType"] == "text/plain"


@pytest.mark.usefixtures("aws")
def test_a_fifo_queue_keeps_the_order_of_a_route_and_a_job_once() -> None:
    sqs = boto3.client("sqs")
    url = sqs.create_queue(QueueName="jobs.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
    jobs = SqsJobs(sqs=sqs_client, s3=s3_client)
    for stored in (
        job(queue="sqs:jobs.fifo", job_id="1"),
        job(queue="sqs:jobs.fifo", job_id="1"),
        job(queue="sqs:jobs.fifo", job_id="2"),
        job(queue="sqs:jobs.fifo", job_id="3", source="/hms-svc/routes/reports"),
    ):
        drive(jobs.put(stored))
    groups = [message["Attributes"]["MessageGroupId"] for message in received(url)]
    assert len(groups) == 3
    assert len(set(groups)) == 2


@pytest.mark.usefixtures("aws")
def test_a_queue_that_is_not_there_is_told_by_its_code() -> None:
    jobs = SqsJobs(sqs=sqs_client, s3=s3_client)
    with pytest.raises(StoreUnavailable, match=r"^GetQueueUrl: .*NonExistentQueue$"):
        drive(jobs.put(job(queue="sqs:nowhere")))
    with pytest.raises(StoreUnavailable, match=r"^SendMessage: .*NonExistentQueue$"):
        drive(jobs.put(job()))


@pytest.mark.usefixtures("aws")
def test_a_bucket_that_is_not_there_means_no_job() -> None:
    url = boto3.client("sqs").create_queue(QueueName="jobs")["QueueUrl"]
    with pytest.raises(StoreUnavailable, match="PutObject: NoSuchBucket"):
        drive(SqsJobs(sqs=sqs_client, s3=s3_client, bucket="nowhere").put(job(b"x" * 300_000, queue=f"sqs:{url}")))
    assert received(url) == []


@pytest.mark.usefixtures("aws")
def test_the_clients_give_up_soon() -> None:
    configs: list[Any] = [sqs_client().meta.config, s3_client().meta.config]
    for config in configs:
        assert config.connect_timeout == 1.0
        assert config.read_timeout <= 5.0
        assert config.retries["total_max_attempts"] == 2


def test_a_small_job_needs_no_bucket_and_no_s3_client() -> None:
    fakes = Fakes()
    drive(fakes.jobs().put(job()))
    assert fakes.names == ["send_message"]
    assert fakes.sent["QueueUrl"] == URL
    assert "MessageGroupId" not in fakes.sent


def test_the_name_of_a_queue_is_looked_up_once() -> None:
    fakes = Fakes()
    jobs = fakes.jobs()
    drive(jobs.put(job(queue="sqs:claims")))
    drive(jobs.put(job(queue="sqs:claims")))
    assert fakes.names == ["get_queue_url", "send_message", "send_message"]
    assert fakes.calls[1][1]["QueueUrl"] == "https://sqs.example/1/claims"


def test_a_queue_of_another_kind_stands_for_the_default_one() -> None:
    fakes = Fakes()
    drive(fakes.jobs(default_queue=URL).put(job(queue="sqlite:reports")))
    assert fakes.sent["QueueUrl"] == URL


@pytest.mark.parametrize(
    ("queue", "why"),
    [("sqlite:reports", "no default queue is configured"), ("sqs:a/b", "neither the URL nor the name of an SQS queue")],
)
def test_a_queue_that_is_none_takes_no_job(queue: str, why: str) -> None:
    fakes = Fakes()
    with pytest.raises(StoreUnavailable, match=why):
        drive(fakes.jobs().put(job(queue=queue)))
    assert fakes.calls == []


def test_a_message_holds_as_much_as_is_set_attributes_and_all() -> None:
    around = len(json.dumps(job(b"").message, separators=(",", ":"))) + len("content-typejob-idStringString0123") + 28
    bound = around + 400
    fits, over = Fakes(), Fakes()
    drive(fits.jobs(max_message_bytes=bound, bucket="bodies").put(job(b"x" * 300)))
    drive(over.jobs(max_message_bytes=bound, bucket="bodies").put(job(b"x" * 301)))
    assert fits.names == ["send_message"]
    assert over.names == ["put_object", "send_message"]


def test_without_a_bucket_a_big_job_is_not_taken() -> None:
    fakes = Fakes()
    with pytest.raises(StoreUnavailable, match="no bucket is configured"):
        drive(fakes.jobs().put(BIG))
    assert fakes.calls == []


def test_a_job_that_is_too_big_without_its_body_is_not_taken() -> None:
    fakes = Fakes()
    with pytest.raises(StoreUnavailable, match="without its body"):
        drive(fakes.jobs(bucket="bodies", max_message_bytes=300).put(job(hmsquery="q" * 300)))
    assert fakes.calls == []


def test_a_job_without_a_time_has_its_body_among_the_undated() -> None:
    fakes = Fakes()
    drive(fakes.jobs(bucket="bodies").put(Job("7", "sqs:claims", {"data_base64": "A" * 400_000})))
    (asked,) = [asked for name, asked in fakes.calls if name == "put_object"]
    assert asked["Key"] == "jobs/undated/7"


def test_the_body_is_stored_before_the_message_that_refers_to_it() -> None:
    fakes = Fakes()
    drive(fakes.jobs(bucket="bodies").put(BIG))
    assert fakes.names == ["put_object", "send_message"]
    assert fakes.calls[0][1]["ChecksumSHA256"] == base64.b64encode(sha256(b"x" * MAX_MESSAGE_BYTES).digest()).decode()


def test_a_body_whose_message_is_refused_is_removed() -> None:
    fakes = Fakes({"send_message": refusal("AccessDenied", 403)})
    with pytest.raises(StoreUnavailable, match="SendMessage: AccessDenied"):
        drive(fakes.jobs(bucket="bodies").put(BIG))
    assert fakes.names == ["put_object", "send_message", "delete_object"]
    assert fakes.calls[2][1] == {"Bucket": "bodies", "Key": "jobs/2027/01/15/0123"}


def test_a_body_that_cannot_be_removed_changes_nothing() -> None:
    fakes = Fakes({"send_message": refusal("AccessDenied"), "delete_object": TIMED_OUT})
    with pytest.raises(StoreUnavailable, match="SendMessage: AccessDenied"):
        drive(fakes.jobs(bucket="bodies").put(BIG))


@pytest.mark.parametrize("error", [TIMED_OUT, refusal("InternalError", 500)])
def test_a_body_whose_message_may_be_on_the_queue_stays(error: Exception) -> None:
    fakes = Fakes({"send_message": error})
    with pytest.raises(StoreUnavailable):
        drive(fakes.jobs(bucket="bodies").put(BIG))
    assert fakes.names == ["put_object", "send_message"]


@pytest.mark.parametrize("call", ["send_message", "get_queue_url", "put_object"])
@pytest.mark.parametrize(
    "error",
    [refusal("AccessDenied"), TIMED_OUT, NoCredentialsError(), EndpointConnectionError(endpoint_url=URL)],
    ids=lambda error: type(error).__name__,
)
def test_whatever_fails_means_no_job_and_tells_no_more_than_what_failed(call: str, error: Exception) -> None:
    fakes = Fakes({call: error})
    with pytest.raises(StoreUnavailable) as failure:
        drive(fakes.jobs(bucket="bodies").put(job(b"x" * 400_000, queue="sqs:claims")))
    assert "hunter2" not in str(failure.value)
    assert URL not in str(failure.value)
