"""VPC Lattice, event structures v1 and v2.

Neither has an address in its context: Lattice appends the connection's to ``X-Forwarded-For``. The identity in v2 is
what IAM verified, no client certificate of TLS. Names and values of the query are taken as they are, with what no URI
holds escaped: AWS does not document whether it decodes them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hms_svc.aws.events.answers import described, joined_but_cookies, parts
from hms_svc.aws.events.body import EventBody, read_body
from hms_svc.aws.events.members import framed, header_lines, method, text
from hms_svc.aws.events.origin import appended_address, scheme
from hms_svc.aws.events.targets import encoded_path, encoded_query, raw_query
from hms_svc.core.model import Request

if TYPE_CHECKING:
    from hms_svc.aws.events.answers import Answer
    from hms_svc.aws.events.members import Event
    from hms_svc.core.model import Response


def read(event: Event) -> Request:
    """The request. Raises `Malformed`."""
    verb = method(event, "method")
    is_v1 = "raw_path" in event
    body = read_body(event, "is_base64_encoded" if is_v1 else "isBase64Encoded")
    headers = framed(header_lines(event, "headers"), verb, body)
    path, mark, query = text(event, "raw_path" if is_v1 else "path").partition("?")
    parameters = "queryStringParameters" if "queryStringParameters" in event else "query_string_parameters"
    return Request(
        method=verb,
        path=encoded_path(path),
        query=raw_query(query) if mark else encoded_query(event, parameters),
        headers=headers,
        body=EventBody(body),
        peer_ip=appended_address(headers),
        scheme=scheme(headers),
    )


def answer(event: Event, response: Response, method: str) -> Answer:  # noqa: ARG001  (the doors' common form)
    """The answer: one value a name, as both structures have it."""
    body, lines = parts(response, method)
    return {**body, "statusDescription": described(response.status), "headers": joined_but_cookies(lines)}
