"""API Gateway's payload 1.0: REST APIs, and HTTP APIs that are set to it.

At a REST API's own domain ``path`` has no stage (``requestContext.path`` has it); at a custom domain it begins with the
base path of the mapping. Either is taken off by the resource that API Gateway matched. The order of different names in
a query is API Gateway's, the values of one name keep theirs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hms_svc.aws.events.answers import many, parts
from hms_svc.aws.events.body import EventBody, read_body
from hms_svc.aws.events.certificate import client_certificate
from hms_svc.aws.events.members import framed, header_lines, method, part, text, with_host
from hms_svc.aws.events.targets import decoded_path, decoded_query, encoded_path, without_base, without_stage
from hms_svc.core.model import Request

if TYPE_CHECKING:
    from hms_svc.aws.events.answers import Answer
    from hms_svc.aws.events.members import Event
    from hms_svc.core.model import Response


def read(event: Event) -> Request:
    """The request. Raises `Malformed`."""
    context = part(event, "requestContext")
    identity = part(context, "identity")
    verb = method(event, "httpMethod")
    body = read_body(event)
    several = part(event, "multiValueHeaders")
    lines = header_lines(event, "multiValueHeaders" if several else "headers")
    query = "multiValueQueryStringParameters"
    return Request(
        method=verb,
        path=_path(event),
        query=decoded_query(event, query if part(event, query) else "queryStringParameters"),
        headers=framed(with_host(lines, text(context, "domainName")), verb, body),
        body=EventBody(body),
        peer_ip=text(identity, "sourceIp"),
        scheme="https",
        certificate=client_certificate(identity),
    )


def answer(event: Event, response: Response, method: str) -> Answer:  # noqa: ARG001  (the doors' common form)
    """The answer with every header line."""
    body, lines = parts(response, method)
    return {**body, "multiValueHeaders": many(lines)}


def _path(event: Event) -> str:
    path = text(event, "path")
    is_http_api = text(event, "version") == "1.0"  # it decodes, and its own domain has the stage in the path
    path = decoded_path(without_stage(path, event)) if is_http_api else encoded_path(path)
    return without_base(path, text(event, "resource"), event)
