"""AWS as moto plays it, with what the template makes: tables, stream, buckets, queue; and the router in front."""

from __future__ import annotations

import json
import logging
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from moto import mock_aws
from running import PROJECT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hms_svc.aws.router import Router

REGION = "us-east-1"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": REGION,
    "AWS_REGION": REGION,
}
CONTEXT = SimpleNamespace(aws_request_id="8f5b1c1e-0000-4000-8000-000000000001", function_name="router")


class Cloud:
    """The resources, and what has come to them."""

    def __init__(self) -> None:
        dynamodb = boto3.client("dynamodb")
        for table, key in (("limits", "key"), ("keys", "sha256")):
            dynamodb.create_table(
                TableName=table,
                AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"}],
                KeySchema=[{"AttributeName": key, "KeyType": "HASH"}],
                BillingMode="PAY_PER_REQUEST",
            )
        self._s3 = boto3.client("s3")
        for bucket in ("audit", "job-bodies"):
            self._s3.create_bucket(Bucket=bucket)
        boto3.client("firehose").create_delivery_stream(
            DeliveryStreamName="audit",
            ExtendedS3DestinationConfiguration={
                "RoleARN": "arn:aws:iam::123456789012:role/firehose",
                "BucketARN": "arn:aws:s3:::audit",
            },
        )
        self._sqs = boto3.client("sqs")
        self.queue = self._sqs.create_queue(QueueName="jobs")["QueueUrl"]
        self.environment = {
            "HMS_SVC_ROUTES": "ssm:/hms-svc/routes",
            "HMS_SVC_ROUTES_MAX_AGE": "1",
            "HMS_SVC_LIMITS": "dynamodb:limits",
            "HMS_SVC_KEYS": "dynamodb:keys",
            "HMS_SVC_AUDIT": "firehose:audit",
            "HMS_SVC_JOBS": f"sqs:{self.queue}",
            "HMS_SVC_JOBS_BUCKET": "job-bodies",
        }

    def put_routes(self, text: str) -> None:
        """As ``aws ssm put-parameter --value file://routes.yml`` does."""
        boto3.client("ssm").put_parameter(Name="/hms-svc/routes", Value=text, Type="String", Overwrite=True)

    def put_object(self, bucket: str, key: str, content: bytes) -> str:
        """Put an object into a bucket with versions, made where there is none; its version."""
        self._s3.create_bucket(Bucket=bucket)
        self._s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        return self._s3.put_object(Bucket=bucket, Key=key, Body=content)["VersionId"]

    def jobs(self) -> list[dict[str, Any]]:
        """The messages on the queue."""
        return [
            json.loads(message["Body"])
            for message in self._sqs.receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10).get("Messages", [])
        ]

    def records(self) -> list[dict[str, Any]]:
        """The audit records in the bucket, by their place in the chain: objects' names say only the second."""
        found = self._s3.list_objects_v2(Bucket="audit").get("Contents", [])
        bodies = [self._s3.get_object(Bucket="audit", Key=item["Key"])["Body"].read() for item in found]
        records = [json.loads(line) for body in bodies for line in body.splitlines()]
        return sorted(records, key=lambda record: int(record["attestation_list"][0]["uid"]))

    def router(self, **more: str) -> Router:
        """A new environment of the function."""
        from hms_svc.aws.router import Router
        from hms_svc.aws.settings import RouterSettings

        environment = self.environment | more
        return Router(RouterSettings.from_environment(environment), environment)


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """The cloud of one test."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.syspath_prepend(PROJECT / "layers" / "policies")  # as Lambda does with a layer's folder
    loggers = [logging.getLogger(name) for name in ("hms_svc", "py.warnings")]
    before = [(logger, logger.handlers, logger.propagate, logger.level) for logger in loggers]
    with mock_aws():
        yield Cloud()
    logging.captureWarnings(capture=False)
    for logger, handlers, propagate, level in before:
        logger.handlers, logger.propagate = handlers, propagate
        logger.setLevel(level)


def event(method: str = "GET", path: str = "/", body: str | None = None, **headers: str) -> dict[str, Any]:
    """A call through API Gateway's REST API."""
    lines = {"Host": "api.agency.example"} | {name.replace("_", "-"): value for name, value in headers.items()}
    return {
        "resource": "/{proxy+}",
        "path": path,
        "httpMethod": method,
        "headers": lines,
        "multiValueHeaders": {name: [value] for name, value in lines.items()},
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "pathParameters": {"proxy": path.lstrip("/")},
        "requestContext": {
            "stage": "prod",
            "path": f"/prod{path}",
            "httpMethod": method,
            "protocol": "HTTP/1.1",
            "requestId": "c6af9ac6-7b61-11e6-9a41-93e8deadbeef",
            "identity": {"sourceIp": "192.0.2.7"},
        },
        "body": body,
        "isBase64Encoded": False,
    }
