"""Application Load Balancer, with single or multi-value headers as its target group is set.

Its context has no address. What it knows it writes into headers: it appends the address of the connection's other end
to ``X-Forwarded-For``, so the last entry is its own and cannot be forged; it sets ``X-Forwarded-Proto``. That holds for
the default ``routing.http.xff_header_processing.mode=append``; with ``preserve`` the last entry would be the caller's.
With single-value headers ALB itself keeps only the last of repeated lines and query values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hms_svc.aws.events.answers import described, joined_but_cookies, many, parts
from hms_svc.aws.events.body import EventBody, read_body
from hms_svc.aws.events.members import framed, header_lines, method, text
from hms_svc.aws.events.origin import appended_address, scheme
from hms_svc.aws.events.targets import encoded_path, encoded_query
from hms_svc.core.model import Request

if TYPE_CHECKING:
    from hms_svc.aws.events.answers import Answer
    from hms_svc.aws.events.members import Event
    from hms_svc.core.model import Response


def read(event: Event) -> Request:
    """The request. Raises `Malformed`."""
    verb = method(event, "httpMethod")
    body = read_body(event)
    several = _is_multi_value(event)
    lines = header_lines(event, "multiValueHeaders" if several else "headers")
    headers = framed(lines, verb, body)
    return Request(
        method=verb,
        path=encoded_path(text(event, "path")),
        query=encoded_query(event, "multiValueQueryStringParameters" if several else "queryStringParameters"),
        headers=headers,
        body=EventBody(body),
        peer_ip=appended_address(headers),
        scheme=scheme(headers),
    )


def answer(event: Event, response: Response, method: str) -> Answer:
    """The answer, with several values a name if the event had them."""
    body, lines = parts(response, method)
    headers = {"multiValueHeaders": many(lines)} if _is_multi_value(event) else {"headers": joined_but_cookies(lines)}
    return {**body, "statusDescription": described(response.status), **headers}


def _is_multi_value(event: Event) -> bool:
    return "multiValueHeaders" in event
