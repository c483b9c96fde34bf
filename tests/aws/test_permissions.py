"""The role in template.yaml allows every call that the router makes, and no other.

The calls are those that boto3 prepares while the router works over moto: they are seen, not listed.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import boto3
import botocore.handlers
import pytest
from authority import Authority, certificate_pem
from aws.cloud import CONTEXT, Cloud, aws, event
from aws.test_template import as_list, statements
from fakes_introspection import IntrospectionServer
from running import PROJECT

from hms_svc.aws.dynamodb_keys import DynamoDbKeys, operator_client
from hms_svc.aws.ssm_client import router_client
from hms_svc.aws.ssm_routes import SsmRoutes
from hms_svc.aws.ssm_write import write
from hms_svc.core.credentials.api_keys import issue
from hms_svc.local.system import SystemRandomness

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
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
- path: /opaque
  redirect: {{host: elsewhere.example}}
  auth: oauth
- path: /reports
  enqueue_to: sqs:jobs
  auth: none
- path: /lost
  enqueue_to: sqs:http://sqs.us-east-1.amazonaws.com/123456789012/nowhere
  auth: none
- path: /partners
  redirect: {{host: elsewhere.example}}
  auth: mtls
{MANY}
issuers:
  legacy:
    issuer: ISSUER
    audience: hms-api
    introspection: {{client_id: a, client_secret: ssm:/hms-svc/secrets/legacy}}
"""


class Seen:
    """The actions that were called, each with the table it was called on, or whether it was for a secret."""

    def __init__(self) -> None:
        self.actions: set[tuple[str, str]] = set()
        self.updates_of_keys: list[dict[str, Any]] = []

    def __call__(self, model: Any, params: Any, **_: Any) -> None:
        service = model.service_model.service_name
        body = params.get("body", b"")
        text = body.decode("utf-8", "replace") if isinstance(body, bytes) else str(body)
        table = next((name for name in ("limits", "keys") if f'"TableName": "{name}"' in text), "")
        table = "secrets" if '"Name": "/hms-svc/secrets/' in text else table
        if model.name == "TransactWriteItems":  # which is allowed by its parts
            parts = {"Put": "PutItem", "Update": "UpdateItem", "ConditionCheck": "ConditionCheckItem"}
            self.actions |= {
                (f"{service}:{parts[kind]}", table) for item in json.loads(text)["TransactItems"] for kind in item
            }
            return
        self.actions.add((f"{service}:{model.name}", table))
        if (model.name, table) == ("UpdateItem", "keys"):
            self.updates_of_keys.append(json.loads(text))


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
    tables = {"LimitsTable.Arn": "limits", "KeysTable.Arn": "keys", "${SecretsPath}/*": "secrets"}
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
    aws.put_object("trust", "partners.pem", authority.pem)
    aws.put_object("trust", "lists.pem", authority.crl())
    partner = event(path="/partners")
    partner["requestContext"]["identity"]["clientCert"] = {
        "subjectDN": "CN=a",
        "clientCertPem": certificate_pem(authority.issue("a")),
    }
    routes = SsmRoutes(router_client, "/hms-svc/routes")
    with IntrospectionServer() as issuer:
        _every_call(seen, aws, routes, issuer, partner)
    assert seen.actions == allowed()


def _every_call(
    seen: Seen, aws: Cloud, routes: SsmRoutes, issuer: IntrospectionServer, partner: dict[str, Any]
) -> None:
    boto3.client("ssm").put_parameter(Name="/hms-svc/secrets/legacy", Value="s3cret", Type="SecureString")
    issuer.tokens["good"] = {"active": True, "aud": "hms-api", "sub": "alice"}
    text = ROUTES.replace("ISSUER", issuer.url)
    written = write(routes, text.encode(), expected=None, randomness=SystemRandomness())
    assert written.parts > 0
    key, kept = issue(SystemRandomness(), name="n", owner="o", scopes=frozenset(), now_s=1, expires_s=None)
    DynamoDbKeys("keys", operator_client).add(kept)
    seen.actions.clear()
    router = aws.router(HMS_SVC_CRL="s3:trust/lists.pem", HMS_SVC_CLIENT_CA="s3:trust/partners.pem")
    big = "x" * 400_000
    calls = [
        partner,
        event(path="/limited"),
        event(path="/keyed", X_API_Key=key),
        event(path="/opaque", Authorization="Bearer good"),
        event(path="/opaque", Authorization="Bearer made-up"),
        event("POST", "/reports", body="small"),
        event("POST", "/reports", body=big),
        event("POST", "/lost", body=big),
    ]
    assert [router(call, CONTEXT)["statusCode"] for call in calls] == [302, 302, 302, 302, 401, 202, 202, 503]


def test_of_a_key_the_router_writes_what_the_role_and_the_endpoint_allow_and_no_more(seen: Seen, aws: Cloud) -> None:
    aws.put_routes(ROUTES.replace("ISSUER", "https://login.agency.example/"))
    key, kept = issue(SystemRandomness(), name="n", owner="o", scopes=frozenset(), now_s=1, expires_s=None)
    DynamoDbKeys("keys", operator_client).add(kept)
    aws.router()(event(path="/keyed", X_API_Key=key), CONTEXT)
    (asked,) = seen.updates_of_keys
    expressions = f"{asked['UpdateExpression']} {asked['ConditionExpression']}"
    named = {word for word in re.findall(r"(?<!:)\b[a-z]\w+", expressions) if not word.startswith("attribute_")}
    assert asked["ReturnValues"] == "NONE"
    only = {
        "ForAllValues:StringEquals": {"dynamodb:Attributes": sorted(named | set(asked["Key"]), reverse=True)},
        "StringEqualsIfExists": {"dynamodb:ReturnValues": asked["ReturnValues"]},
    }
    conditions = {
        at: statement["Condition"] for at, statement in statements() if statement.get("Sid") == "NoteUseOfKeys"
    }
    assert conditions == {"RouterRole": only, "DynamoDbEndpoint": only}


def test_who_keeps_the_keys_needs_exactly_what_the_page_says(seen: Seen, aws: Cloud) -> None:
    keys = DynamoDbKeys("keys", operator_client)
    issued = [
        issue(SystemRandomness(), name="n", owner="o", scopes=frozenset(), now_s=1, expires_s=None)[1] for _ in range(2)
    ]

    def rotate() -> None:
        old = keys.get(issued[0].id)
        assert old is not None
        keys.add_successor(issued[1], old, 2)
        keys.expire(old, 3)

    needed = {}
    acts: dict[str, Callable[[], object]] = {
        "create": lambda: keys.add(issued[0]),
        "list": keys.all,
        "rotate": rotate,
        "revoke": lambda: keys.revoke(issued[0].id, 4),
    }
    for command, act in acts.items():
        seen.actions.clear()
        act()
        needed[command] = {action for action, _ in seen.actions}
    page = (PROJECT / "docs" / "credentials.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| ((?:`dynamodb:\w+`(?:, )?)+) \|$", page, re.MULTILINE)
    assert needed == {command: set(re.findall(r"dynamodb:\w+", actions)) for command, actions in rows}
