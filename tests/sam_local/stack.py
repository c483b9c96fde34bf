"""The whole stack on one machine: the built function under `sam local start-api`, with stand-ins for AWS around it.

moto's server is AWS, DynamoDB Local (where HMS_SVC_DYNAMODB_JAR names its jar; else moto) holds the tables, two small
services are the private ones. Nothing here is installed or started unless HMS_SVC_SAM_LOCAL is set: `make sam-local`.
"""

from __future__ import annotations

import ipaddress
import json
import os
import re
import shutil
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import boto3
import pytest
import requests
from running import COMMAND, PROJECT

if TYPE_CHECKING:
    from collections.abc import Iterator

REGION = "us-east-1"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_DEFAULT_REGION": REGION}
ROUTES = Path(__file__).with_name("routes.yml")
STARTS_WITHIN_S = 180


class Service(BaseHTTPRequestHandler):
    """A private service: says who it was told is calling."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        seen = {"path": self.path, "caller": self.headers.get("X-HMS-Caller"), "bytes": len(self.rfile.read(length))}
        body = json.dumps(seen).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815  (the base class's way to name a method)

    def log_message(self, *_: object) -> None:
        """Be quiet."""


@dataclass
class Stack:
    """What a test needs of the running stack."""

    url: str
    environment: dict[str, str]
    key: str
    queue: str

    def client(self, service: str) -> Any:
        return boto3.client(
            service,  # type: ignore[call-overload]
            endpoint_url=self.environment["AWS_ENDPOINT_URL"],
            region_name=REGION,
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
        )

    def get(self, path: str, **headers: str) -> requests.Response:
        return requests.get(self.url + path, headers=headers, timeout=60)

    def post(self, path: str, body: bytes, **headers: str) -> requests.Response:
        return requests.post(self.url + path, data=body, headers=headers, timeout=60)

    def hms_svc(self, *arguments: str) -> str:
        """What the command prints. Fails the test when it fails."""
        ran = subprocess.run(
            [COMMAND, *arguments], cwd=PROJECT, env=self.environment, capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout


def host_of_containers() -> str:
    """This machine's address as containers see it: the first one of Docker's default network."""
    said = subprocess.run(["docker", "network", "inspect", "bridge"], capture_output=True, text=True, check=True)
    return str(next(ipaddress.ip_network(json.loads(said.stdout)[0]["IPAM"]["Config"][0]["Subnet"]).hosts()))


@contextmanager
def process(
    *command: str, log: Path, cwd: Path = PROJECT, environment: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A command that runs meanwhile, what it says in ``log``."""
    with log.open("wb") as file:
        running = subprocess.Popen(command, cwd=cwd, env=os.environ | (environment or {}), stdout=file, stderr=file)
    try:
        yield running
    finally:
        running.terminate()
        try:
            running.wait(30)
        except subprocess.TimeoutExpired:
            running.kill()


def until_it_answers(url: str, running: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(STARTS_WITHIN_S * 2):
        if running.poll() is not None:
            break
        try:
            requests.get(url, timeout=60)
        except requests.ConnectionError:
            time.sleep(0.5)
        else:
            return
    pytest.fail(f"{url} does not answer:\n{log.read_text()[-4_000:]}")


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The stack, started once."""
    if not os.environ.get("HMS_SVC_SAM_LOCAL"):
        pytest.skip("HMS_SVC_SAM_LOCAL is not set: run `make sam-local`")
    sam = shutil.which(os.environ.get("HMS_SVC_SAM", "sam")) or pytest.fail("there is no sam command")
    logs = tmp_path_factory.mktemp("sam-local")
    host = host_of_containers()
    with ExitStack() as stopped:
        for port in (9000, 9001):
            server = ThreadingHTTPServer(("0.0.0.0", port), Service)
            Thread(target=server.serve_forever, daemon=True).start()
            stopped.callback(server.server_close)
            stopped.callback(server.shutdown)
        aws = stopped.enter_context(
            process(str(Path(sys.executable).with_name("moto_server")), "-H0.0.0.0", "-p5055", log=logs / "aws.log")
        )
        until_it_answers("http://127.0.0.1:5055/moto-api/", aws, logs / "aws.log")
        endpoints = {"AWS_ENDPOINT_URL": f"http://{host}:5055"}
        jar = os.environ.get("HMS_SVC_DYNAMODB_JAR")
        if jar:
            command = ("java", "-jar", jar, "-inMemory", "-sharedDb", "-port", "8055")
            dynamodb = stopped.enter_context(process(*command, log=logs / "dynamodb.log", cwd=logs))
            until_it_answers("http://127.0.0.1:8055/", dynamodb, logs / "dynamodb.log")
            endpoints["AWS_ENDPOINT_URL_DYNAMODB"] = f"http://{host}:8055"
        environment = {**os.environ, **CREDENTIALS, **endpoints}
        made = Stack("http://127.0.0.1:3055", environment, "", "")
        settings = set_up(made)
        made.hms_svc("reload", str(ROUTES), "--ssm", "/hms-svc/routes")
        created = made.hms_svc("keys", "create", "partner", "--owner", "partner-agency", "--table", "keys")
        made.key = next(word for line in created.splitlines() for word in line.split() if word.startswith("hms_"))
        variables = logs / "variables.json"
        variables.write_text(json.dumps({"Parameters": {**settings, **CREDENTIALS, **endpoints}}))
        hosts = [word for name in ("faq-svc", "claims-svc") for word in ("--add-host", f"{name}:{host}")]
        template = with_variables(PROJECT / ".aws-sam" / "build" / "template.yaml", [*endpoints])
        start_api = [
            *(sam, "local", "start-api", "--template", str(template), "--port", "3055"),
            *("--env-vars", str(variables), "--skip-pull-image", "--warm-containers", "EAGER"),
            *("--parameter-overrides", f"Architecture={os.environ['HMS_SVC_SAM_LOCAL']}", *hosts),
        ]
        api = stopped.enter_context(
            process(*start_api, log=logs / "sam.log", environment=CREDENTIALS | {"SAM_CLI_TELEMETRY": "0"})
        )
        until_it_answers(f"{made.url}/_hms/health", api, logs / "sam.log")
        yield made


def with_variables(built: Path, names: list[str]) -> Path:
    """The built template, its function declaring ``names`` too: sam hands over no other environment variable."""
    text = built.read_text("utf-8")
    declared = re.sub(
        r"^( +)POWERTOOLS_SERVICE_NAME:",
        lambda found: "".join(f"{found[1]}{name}: none\n" for name in names) + found[0],
        text,
        flags=re.MULTILINE,
    )
    assert declared != text
    beside = built.with_name("local.yaml")
    beside.write_text(declared, "utf-8")
    return beside


def set_up(stack: Stack) -> dict[str, str]:
    """The resources that the template would make, and the function's settings."""
    dynamodb = boto3.client(
        "dynamodb",
        endpoint_url=stack.environment.get("AWS_ENDPOINT_URL_DYNAMODB", stack.environment["AWS_ENDPOINT_URL"]),
        region_name=REGION,
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
    )
    for table, key in (("limits", "key"), ("keys", "sha256")):
        dynamodb.create_table(
            TableName=table,
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"}],
            KeySchema=[{"AttributeName": key, "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
        )
    s3 = stack.client("s3")
    for bucket in ("audit", "job-bodies"):
        s3.create_bucket(Bucket=bucket)
    role = "arn:aws:iam::123456789012:role/firehose"
    stack.client("firehose").create_delivery_stream(
        DeliveryStreamName="audit",
        ExtendedS3DestinationConfiguration={"RoleARN": role, "BucketARN": "arn:aws:s3:::audit"},
    )
    stack.queue = stack.client("sqs").create_queue(QueueName="jobs")["QueueUrl"]
    return {
        "HMS_SVC_ROUTES": "ssm:/hms-svc/routes",
        "HMS_SVC_ROUTES_MAX_AGE": "1",
        "HMS_SVC_LIMITS": "dynamodb:limits",
        "HMS_SVC_KEYS": "dynamodb:keys",
        "HMS_SVC_AUDIT": "firehose:audit",
        "HMS_SVC_JOBS": f"sqs:{stack.queue}",
        "HMS_SVC_JOBS_BUCKET": "job-bodies",
    }
