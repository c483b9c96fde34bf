"""What every `JobQueue` does, whichever adapter it is. A new adapter is one more line in `QUEUES`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias, cast

import boto3
import pytest
from moto import mock_aws
from worlds import run

from hms_svc.aws.sqs_jobs import SqsJobs, s3_client, sqs_client
from hms_svc.core.ports import Job, JobQueue, StoreUnavailable
from hms_svc.local.jobs import SqliteJobs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

Make: TypeAlias = "Callable[[Path], JobQueue]"


def sqlite(folder: Path) -> SqliteJobs:
    return SqliteJobs(folder / "jobs.sqlite")


def sqlite_broken(folder: Path) -> SqliteJobs:
    (folder / "jobs.sqlite").write_bytes(b"no database, but some other file " * 100)
    return sqlite(folder)


def sqs(_: Path) -> SqsJobs:
    boto3.client("s3").create_bucket(Bucket="bodies", CreateBucketConfiguration=cast("Any", REGION))
    url = boto3.client("sqs").create_queue(QueueName="jobs")["QueueUrl"]
    return SqsJobs(sqs=sqs_client, s3=s3_client, default_queue=url, bucket="bodies")


def sqs_missing(_: Path) -> SqsJobs:
    return SqsJobs(sqs=sqs_client, s3=s3_client, default_queue="https://sqs.eu-central-1.amazonaws.com/1/nowhere")


REGION = {"LocationConstraint": "eu-central-1"}
QUEUES: dict[str, tuple[Make, Make]] = {"sqlite": (sqlite, sqlite_broken), "sqs": (sqs, sqs_missing)}
"""Each with one that is down."""

pytestmark = pytest.mark.parametrize(("make", "make_down"), QUEUES.values(), ids=QUEUES.keys())


@pytest.fixture(autouse=True)
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    with mock_aws():
        yield


def test_a_job_is_taken(make: Make, make_down: Make, tmp_path: Path) -> None:
    assert run(make(tmp_path).put(Job("1", "q", {"id": "1", "data_base64": "AA=="}))) is None


def test_a_large_job_is_taken(make: Make, make_down: Make, tmp_path: Path) -> None:
    assert run(make(tmp_path).put(Job("1", "q", {"id": "1", "data_base64": "A" * 400_000}))) is None


def test_a_queue_that_is_down_says_so(make: Make, make_down: Make, tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable):
        run(make_down(tmp_path).put(Job("1", "q", {"id": "1"})))
