"""The README's walkthrough over HTTP, on the function that `sam build` made, and every record of it in the bucket."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sam_local.stack import Stack

ROUTES = Path(__file__).with_name("routes.yml")
HEALTH = "/_hms/health"


def test_the_walkthrough(stack: Stack) -> None:
    faq = stack.get("/public/faq?a=1&a=2")
    assert (faq.status_code, faq.json()["path"]) == (200, "/public/faq?a=1&a=2")
    assert faq.headers["RateLimit-Policy"] == '"default";q=5;w=3600'

    no_token = stack.get("/secure/claims")
    assert (no_token.status_code, no_token.json()["detail"]) == (401, "Bad credentials")
    assert "Bearer" in no_token.headers["WWW-Authenticate"]
    assert stack.get("/secure/claims", Authorization="Bearer a.b.c").status_code == 401

    claim = stack.get("/partner/claims/7", **{"X-API-Key": stack.key})
    assert (claim.status_code, claim.json()) == (
        200,
        {"path": "/claims/7", "caller": "partner-agency", "bytes": 0},
    )
    assert stack.get("/partner/claims/7", **{"X-API-Key": stack.key[:-1] + "x"}).status_code == 401

    nowhere = stack.get("/no/such/path")
    assert (nowhere.status_code, nowhere.json()["detail"]) == (404, "No such path")
    assert nowhere.headers["Content-Type"] == "application/problem+json"

    statuses = [stack.get("/public/faq").status_code for _ in range(6)]
    assert statuses == [200, 200, 200, 200, 429, 429]
    assert int(stack.get("/public/faq").headers["Retry-After"]) > 0

    upload = {"X-API-Key": stack.key, "Content-Type": "application/octet-stream"}
    assert stack.post("/partner/uploads", bytes(range(256)) * 3, **upload).json()["bytes"] == 768
    blocked = stack.post("/partner/uploads", b"x" * 1_001, **upload)
    assert (blocked.status_code, blocked.json()["detail"][:12]) == (403, "File exceeds")

    job = stack.post("/partner/reports", b"the report", **upload)
    assert job.status_code == 202
    (message,) = stack.client("sqs").receive_message(QueueUrl=stack.queue)["Messages"]
    event = json.loads(message["Body"])
    assert (event["specversion"], event["id"]) == ("1.0", job.json()["job_id"])
    assert stack.key not in message["Body"]

    told = {answer.headers["X-Request-Id"] for answer in (faq, no_token, claim, nowhere, blocked, job)}
    records = in_the_bucket(stack)
    assert told <= {record["metadata"]["uid"] for record in records}
    asked = [record for record in records if record["http_request"]["url"]["path"] != HEALTH]
    codes = sorted(record["api"]["response"]["code"] for record in asked)
    assert codes == sorted([200, 401, 401, 200, 401, 404, *statuses, 429, 200, 403, 202])
    assert stack.key not in json.dumps(records)


def test_routes_change_while_it_runs(stack: Stack, tmp_path: Path) -> None:
    changed = tmp_path / "routes.yml"
    changed.write_text(ROUTES.read_text().replace("path: /public/faq", "path: /public/help"))
    assert stack.get("/public/help").status_code == 404
    stack.hms_svc("reload", str(changed), "--ssm", "/hms-svc/routes")
    statuses = []
    for _ in range(20):
        statuses.append(stack.get("/public/help").status_code)
        if statuses[-1] == 200:
            break
        time.sleep(0.5)
    assert statuses[-1] == 200
    assert "2" in stack.hms_svc("history", "--ssm", "/hms-svc/routes")


def in_the_bucket(stack: Stack) -> list[dict[str, Any]]:
    """Every record that Firehose has put into the audit bucket, once what was sent last has come."""
    s3 = stack.client("s3")
    objects = s3.list_objects_v2(Bucket="audit").get("Contents", [])
    lines = [
        line
        for item in sorted(objects, key=lambda item: item["Key"])
        for line in s3.get_object(Bucket="audit", Key=item["Key"])["Body"].read().splitlines()
    ]
    return [json.loads(line) for line in lines]
