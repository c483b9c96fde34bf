"""The role in template.yaml allows every call that the router makes, and no other.

The calls are those that boto3 prepares while the router works over moto: they are seen, not listed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import boto3
import botocore.handlers
import pytest
from authority import Authority, certificate_pem
from aws.cloud import CONTEXT, Cloud, aws, event
from aws.test_template import as_list, statements

from hms_svc.aws.ssm_client import router_client
from hms_svc.aws.ssm_routes import SsmRoutes
from hms_svc.aws.ssm_write import write
from hms_svc.core.credentials.api_keys import issue
from hms_svc.local.system import SystemRandomness

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["aws"]
NOT_OF_BOTO3 = ("ec2:", "kms:", "logs:", "sts:", "xray:")
"""What Lambda, the stores and the tracing daemon do with the role."""
MANY = "".join(
    f"- path: /route-{n:04}/{n * 7_919 % 10_007:x}\n  redirect: {{host: host-{n * 104_729 % 65_521:x}.example}}\n"
    f"  auth: none\n"
    for n in range(600)
)
ROUTES = f"""
routes:
- path: /limited
  redirect: {{host: elsewhere.example}}
  auth: none
  rate_limit: 100/m
- path: /keyed
  redirect: {{host: elsewhere.example}}
  auth: api_key
- path: /reports
  enqueue_to: sqs:jobs
  auth: none
- path: /lost
  enqueue_to: sqs:http://sqs.us-east-1.amazonaws.com/123456789012/nowhere
  auth: none
- path: /partners
  redirect: {{host: elsewhere.example}}
  auth: mtls
{MANY}"""


class Seen:
    """The actions that were called, each with the table it was called on."""

    def __init__(self) -> None:
        self.actions: set[tuple[str, str]] = set()

    def __call__(self, model: Any, params: Any, **_: Any) -> None:
        service = model.service_model.service_name
        body = params.get("body", b"")
        text = body.decode("utf-8", "replace") if isinstance(body, bytes) else str(body)
        table = next((name for name in ("limits", "keys") if f'"TableName": "{name}"' in text), "")
        self.actions.add((f"{service}:{model.name}", table))


@pytest.fixture
def seen() -> Iterator[Seen]:
    """Sees the calls of every client that is made meanwhile."""
    collected = Seen()
    handler = ("before-call", collected)
    botocore.handlers.BUILTIN_HANDLERS.append(handler)
    boto3.setup_default_session()
    yield collected
    botocore.handlers.BUILTIN_HANDLERS.remove(handler)
    boto3.setup_default_session()


def allowed() -> set[tuple[str, str]]:
    tables = {"LimitsTable.Arn": "limits", "KeysTable.Arn": "keys"}
    return {
        (
            action.replace("GetObjectVersion", "GetObject"),
            next((name for arn, name in tables.items() if arn in str(statement["Resource"])), ""),
        )
        for resource, statement in statements()
        if resource == "RouterRole" and statement["Effect"] == "Allow"
        for action in as_list(statement["Action"])
        if not action.startswith(NOT_OF_BOTO3)
    }


def test_the_router_is_allowed_exactly_what_it_calls(seen: Seen, aws: Cloud, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate = {"subjectDN": "CN=a", "clientCertPem": certificate_pem(authority.issue("a"))}
    aws.put_object("trust", "partners.pem", authority.pem)
    aws.put_object("trust", "lists.pem", authority.crl())
    routes = SsmRoutes(router_client, "/hms-svc/routes")
    written = write(routes, ROUTES.encode(), expected=None, randomness=SystemRandomness())
    assert written.parts > 0
    seen.actions.clear()
    router = aws.router(HMS_SVC_CRL="s3:trust/lists.pem", HMS_SVC_CLIENT_CA="s3:trust/partners.pem")
    key, _ = issue(SystemRandomness(), name="n", owner="o", scopes=frozenset(), now_s=1, expires_s=None)
    big = "x" * 400_000
    partner = event(path="/partners")
    partner["requestContext"]["identity"]["clientCert"] = certificate
    calls = [
        partner,
        event(path="/limited"),
        event(path="/keyed", X_API_Key=key),
        event("POST", "/reports", body="small"),
        event("POST", "/reports", body=big),
        event("POST", "/lost", body=big),
    ]
    assert [router(call, CONTEXT)["statusCode"] for call in calls] == [302, 302, 401, 202, 202, 503]
    assert seen.actions == allowed()
