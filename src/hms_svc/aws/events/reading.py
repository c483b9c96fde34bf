"""Which door an event comes from; what it asks, or why that cannot be read; how large its answer may be."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from hms_svc.aws.events import alb, http_v2, lattice, rest_v1
from hms_svc.aws.events.body import EventBody
from hms_svc.core.errors import Malformed, Refusal
from hms_svc.core.model import Headers, Request

if TYPE_CHECKING:
    from types import ModuleType

    from hms_svc.aws.events.answers import Answer
    from hms_svc.aws.events.members import Event
    from hms_svc.core.model import Response

LAMBDA_BYTES = 6_291_556
"""The largest answer of a function, as JSON: 6 MB and a little."""
ALB_BYTES = 1_048_576
"""The largest that ALB takes."""
UNDERSTOOD = (
    "API Gateway REST and HTTP APIs (payload 1.0 and 2.0), Lambda Function URLs, Application Load Balancer, VPC Lattice"
)
_SOURCE = re.compile(r"aws:[a-zA-Z0-9-]{1,40}")


class EventNotHttp(Exception):  # noqa: N818  (named for what it means)
    """An event that is no HTTP request. The message says what it looks like, and nothing of its content."""

    def __init__(self, looks_like: str) -> None:
        super().__init__(f"This event is {looks_like}, no HTTP request. Understood are: {UNDERSTOOD}.")


class Asked(NamedTuple):
    """An event as its door means it."""

    request: Request
    """When it is refused, what could be read of it."""
    refusal: Refusal | None
    """Why it cannot be handled."""
    event: Event
    shape: ModuleType
    max_bytes: int
    """Of the answer as JSON."""

    def answer(self, response: Response) -> Answer:
        """``response``, whole, as the door takes it."""
        answer: Answer = self.shape.answer(self.event, response, self.request.method)
        return answer


def read(event: object) -> Asked:
    """What ``event`` asks. Raises `EventNotHttp`."""
    if not isinstance(event, Mapping):
        raise EventNotHttp(f"a JSON {type(event).__name__}")
    shape = _shape(event)
    max_bytes = ALB_BYTES if shape is alb else LAMBDA_BYTES
    try:
        return Asked(shape.read(event), None, event, shape, max_bytes)
    except Malformed as malformed:
        refusal = malformed
    except UnicodeEncodeError:
        refusal = Malformed("The event holds half a character")
    return Asked(_remains(event), refusal, event, shape, max_bytes)


def _shape(event: Event) -> ModuleType:
    _refuse_others(event)
    context = event.get("requestContext")
    context = context if isinstance(context, Mapping) else {}
    if "elb" in context:
        return alb
    if "http" in context and "rawPath" in event:
        return http_v2
    if "httpMethod" in event and "path" in event and "requestContext" in event:
        return rest_v1
    if "method" in event and ("raw_path" in event or ("path" in event and "requestContext" in event)):
        return lattice
    raise EventNotHttp("of a form that no HTTP door of AWS sends")


def _refuse_others(event: Event) -> None:
    """Raise `EventNotHttp` for what has members of an HTTP request, or can be named."""
    context = event.get("requestContext")
    if "methodArn" in event or "routeArn" in event:
        raise EventNotHttp("a question of API Gateway to an authorizer")
    if isinstance(context, Mapping) and ("connectionId" in context or "eventType" in context):
        raise EventNotHttp("a message of a WebSocket API")
    records = event.get("Records")
    if isinstance(records, list):
        raise EventNotHttp(f"a batch of records{_source(records[0] if records else None)}")
    if "detail-type" in event:
        raise EventNotHttp("an event of EventBridge")
    if "statusCode" in event:
        raise EventNotHttp("an answer")


def _source(record: Any) -> str:
    source = record.get("eventSource", record.get("EventSource")) if isinstance(record, Mapping) else None
    return f" of {source}" if isinstance(source, str) and _SOURCE.fullmatch(source) else ""


def _remains(event: Event) -> Request:
    """The parts of an event that could be read, for the record of its refusal."""
    context = event.get("requestContext")
    context = context if isinstance(context, Mapping) else {}
    inner = context.get("http", context.get("identity"))
    inner = inner if isinstance(inner, Mapping) else {}
    method = inner.get("method", event.get("httpMethod", event.get("method")))
    path = event.get("rawPath", event.get("path", event.get("raw_path")))
    return Request(
        method=_printable(method),
        path=_printable(path),
        query="",
        headers=Headers(),
        body=EventBody(),
        peer_ip=_printable(inner.get("sourceIp")),
        scheme="https",
    )


def _printable(value: object) -> str:
    return value.encode("ascii", "replace").decode("ascii")[:8_192] if isinstance(value, str) else ""
