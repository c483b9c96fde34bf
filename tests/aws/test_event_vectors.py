"""Events that others published: each that is an HTTP request gets a proper answer, each other one a clear error."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from doors import Door
from vectors import FOLDER, folder, needed

from hms_svc.aws.door import LambdaDoor
from hms_svc.aws.events.reading import EventNotHttp
from hms_svc.core.config import Forward, Route, Target

if TYPE_CHECKING:
    from pathlib import Path

NOT_HTTP = ("authorizer", "custom-auth", "response", "websocket")
"""In the names of the files that hold no HTTP request; a request that an authorizer let pass is one."""
FILES = [
    path
    for name in ("aws-lambda-go-events", "powertools-events")
    for path in (sorted(folder(name).glob("*.json")) if FOLDER else [])
]
NOT_BASE64 = {
    "apiGatewayProxyEventAnotherPath.json",
    "apiGatewayProxyEventPathTrailingSlash.json",
    "apiGatewayProxyEvent_noVersionAuth.json",
}
"""Their bodies are said to be base64 and are none, so 400 is their proper answer."""
EVERYTHING = Route(name="all", path="/*", action=Forward((Target("http", "svc", 80),)), auth=())


def is_http(path: Path) -> bool:
    name = path.name
    if name.startswith(("apigw-v2-request-", "apiGatewayProxy")):
        return True
    return not any(part in name or part in name.lower() for part in NOT_HTTP)


def read(path: Path) -> Any:
    """The event, with a name where the file has a place for one."""
    return json.loads(path.read_text("utf-8").replace("<url-id>", "abc123"))


@needed
def test_there_are_events_of_both_kinds() -> None:
    assert (len(FILES), sum(map(is_http, FILES))) == (53, 39)


@needed
@pytest.mark.parametrize("path", [path for path in FILES if is_http(path)], ids=lambda path: path.name)
@pytest.mark.parametrize("routed", [True, False])
def test_a_request_is_routed_or_refused_with_a_proper_answer(path: Path, *, routed: bool) -> None:
    around = Door(*([EVERYTHING] if routed else []))
    answer = LambdaDoor(around.gateway)(read(path))
    status = 400 if path.name in NOT_BASE64 else 200 if routed else 404
    assert answer["statusCode"] == status
    assert answer["body"] == "ok" if status == 200 else json.loads(answer["body"])["status"] == status
    assert isinstance(answer["isBase64Encoded"], bool)
    json.dumps(answer)
    assert len(around.records) == 1
    assert len(around.upstream.seen) == (status == 200)


@needed
@pytest.mark.parametrize("path", [path for path in FILES if not is_http(path)], ids=lambda path: path.name)
def test_what_is_no_request_is_told_so(path: Path) -> None:
    around = Door(EVERYTHING)
    with pytest.raises(EventNotHttp):
        LambdaDoor(around.gateway)(read(path))
    assert around.records == []
