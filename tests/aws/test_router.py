from __future__ import annotations

import json
import time
from typing import Any

import boto3
import botocore.handlers
import pytest
from aws.cloud import CONTEXT, Cloud, aws, event
from botocore.exceptions import ClientError

from hms_svc.aws.dynamodb_keys import DynamoDbKeys, operator_client
from hms_svc.core.credentials.api_keys import issue
from hms_svc.local.system import SystemRandomness

ROUTES = """
routes:
- path: /moved
  redirect: {host: elsewhere.example}
  auth: none
  rate_limit: 2/h
- path: /keyed
  redirect: {host: elsewhere.example}
  auth: api_key
- path: /reports
  enqueue_to: sqs:jobs
  auth: none
- path: /checked
  methods: [POST]
  redirect: {host: elsewhere.example}
  auth: none
  policies: [{use: is_large_file.LargeFileBlocker, with: {max_bytes: 5}}]
- path: /recorded
  redirect: {host: elsewhere.example}
  auth: none
  audit: required
- path: /gone
  forward_to: http://127.0.0.1:9
  auth: none
"""


__all__ = ["aws"]


def status(answer: dict[str, Any]) -> int:
    return int(answer["statusCode"])


def test_every_call_is_answered_and_recorded(aws: Cloud) -> None:
    aws.put_routes(ROUTES)
    router = aws.router()
    calls = [
        event(path="/moved"),
        event(path="/moved"),
        event(path="/moved"),
        event(path="/keyed"),
        event(path="/keyed", X_API_Key="hms_nobodys"),
        event(path="/nowhere"),
        event("POST", "/checked", body="hello!"),
        event("POST", "/checked", body="hello"),
        event("POST", "/reports", body="a report"),
        event(path="/recorded"),
        event(path="/gone"),
        event(path="/_hms/health"),
    ]
    assert [status(router(call, CONTEXT)) for call in calls] == [
        302, 302, 429, 401, 401, 404, 403, 302, 202, 302, 502, 200,
    ]  # fmt: skip
    (job,) = aws.jobs()
    assert job["specversion"] == "1.0"
    records = aws.records()
    closed = [record for record in records if not record["metadata"]["uid"].endswith(":opening")]
    assert [record["api"]["response"]["code"] for record in closed] == [
        302, 302, 429, 401, 401, 404, 403, 302, 202, 302, 502, 200,
    ]  # fmt: skip
    assert len(records) == len(closed) + 1
    sequences = [int(record["attestation_list"][0]["uid"]) for record in records]
    assert sequences == list(range(1, len(records) + 1))
    assert "hms_nobodys" not in json.dumps(records)


def test_an_api_key_of_the_table_opens_the_door(aws: Cloud) -> None:
    aws.put_routes(ROUTES)
    key, kept = issue(SystemRandomness(), name="n", owner="partner", scopes=frozenset(), now_s=1, expires_s=None)
    DynamoDbKeys("keys", operator_client).add(kept)
    assert status(aws.router()(event(path="/keyed", X_API_Key=key), CONTEXT)) == 302


def test_the_last_use_of_a_key_is_noted_once_an_hour_and_environment(aws: Cloud) -> None:
    aws.put_routes(ROUTES)
    key, kept = issue(SystemRandomness(), name="n", owner="partner", scopes=frozenset(), now_s=1, expires_s=None)
    keys = DynamoDbKeys("keys", operator_client)
    keys.add(kept)
    router = aws.router()
    before_s = time.time()
    assert [status(router(event(path="/keyed", X_API_Key=key), CONTEXT)) for _ in range(3)] == [302] * 3
    (after,) = keys.all().keys
    assert after.last_used_s is not None
    assert before_s - 3_600 < after.last_used_s <= time.time()
    assert after.last_used_s % 3_600 == 0


def test_a_use_that_cannot_be_noted_refuses_nobody_and_is_logged(
    aws: Cloud, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def denied(**_: Any) -> None:
        raise ClientError({"Error": {"Code": "AccessDeniedException"}}, "UpdateItem")

    aws.put_routes(ROUTES)
    key, kept = issue(SystemRandomness(), name="n", owner="partner", scopes=frozenset(), now_s=1, expires_s=None)
    DynamoDbKeys("keys", operator_client).add(kept)
    handlers = [*botocore.handlers.BUILTIN_HANDLERS, ("before-call.dynamodb.UpdateItem", denied)]
    monkeypatch.setattr(botocore.handlers, "BUILTIN_HANDLERS", handlers)
    boto3.setup_default_session()
    router = aws.router()
    assert [status(router(event(path="/keyed", X_API_Key=key), CONTEXT)) for _ in range(2)] == [302, 302]
    lines = [line for line in capsys.readouterr().out.splitlines() if "is not noted" in line]
    assert len(lines) == 1
    assert "needs the permission dynamodb:UpdateItem" in lines[0]
    assert key not in lines[0]


def test_two_environments_have_chains_and_names_of_their_own(aws: Cloud) -> None:
    aws.put_routes(ROUTES)
    first, second = aws.router(), aws.router()
    for router in (first, second):
        router(event(path="/moved"), CONTEXT)
    chains = {record["attestation_list"][0]["chain_uid"] for record in aws.records()}
    assert len(chains) == 2


def test_without_routes_every_call_is_503_and_it_recovers_by_itself(aws: Cloud) -> None:
    router = aws.router()
    answer = router(event(path="/moved"), CONTEXT)
    assert status(answer) == 503
    assert json.loads(answer["body"])["status"] == 503
    aws.put_routes(ROUTES)
    assert status(aws.router()(event(path="/moved"), CONTEXT)) == 302


def test_calls_are_counted_by_route_and_outcome(aws: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    aws.put_routes(ROUTES)
    aws.router()(event(path="/moved"), CONTEXT)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    metrics = [line for line in lines if "_aws" in line]
    assert [line["outcome"] for line in metrics if "Requests" in line] == ["served"]
    (counts,) = [line for line in metrics if "LimitStoreCalls" in line]
    assert counts["LimitStoreCalls"] in ([1.0], [2.0])
    assert "RoutesAgeSeconds" in counts


def test_what_is_no_http_request_is_a_clear_error(aws: Cloud) -> None:
    aws.put_routes(ROUTES)
    with pytest.raises(Exception, match="HTTP"):
        aws.router()({"Records": [{"eventSource": "aws:sqs", "body": "secret"}]}, CONTEXT)
