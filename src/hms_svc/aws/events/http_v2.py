"""API Gateway's payload 2.0: HTTP APIs and Lambda Function URLs.

An HTTP API's ``rawPath`` is decoded and begins with the stage (but for ``$default``) or with the base path of a custom
domain's mapping; a Function URL's is as it came. Repeated header lines come joined with commas, cookies apart.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from hms_svc.aws.events.answers import joined, parts
from hms_svc.aws.events.body import EventBody, read_body
from hms_svc.aws.events.certificate import client_certificate
from hms_svc.aws.events.members import as_latin, framed, header_lines, method, part, text, with_host
from hms_svc.aws.events.targets import decoded_path, encoded_path, raw_query, without_base, without_stage
from hms_svc.core.errors import Malformed
from hms_svc.core.model import Request

if TYPE_CHECKING:
    from hms_svc.aws.events.answers import Answer
    from hms_svc.aws.events.members import Event, Lines
    from hms_svc.core.model import Response

_FUNCTION_URL = re.compile(r"[^.]+\.lambda-url\.[a-z0-9-]+\.[a-z0-9.-]+")


def read(event: Event) -> Request:
    """The request. Raises `Malformed`."""
    context = part(event, "requestContext")
    http = part(context, "http")
    verb = method(http, "method")
    body = read_body(event)
    lines = with_host(_lines(event), text(context, "domainName"))
    return Request(
        method=verb,
        path=_path(event, context),
        query=raw_query(text(event, "rawQueryString")),
        headers=framed(lines, verb, body),
        body=EventBody(body),
        peer_ip=text(http, "sourceIp"),
        scheme="https",
        certificate=client_certificate(part(context, "authentication")),
    )


def answer(event: Event, response: Response, method: str) -> Answer:  # noqa: ARG001  (the doors' common form)
    """The answer: one line a name, ``Set-Cookie`` apart."""
    body, lines = parts(response, method)
    cookies = [value for name, value in lines if name.lower() == "set-cookie"]
    found: Answer = {**body, "headers": joined([line for line in lines if line[0].lower() != "set-cookie"])}
    if cookies:
        found["cookies"] = cookies
    return found


def _path(event: Event, context: Event) -> str:
    path = text(event, "rawPath")
    if _FUNCTION_URL.fullmatch(text(context, "domainName")):
        return encoded_path(path)
    template = text(event, "routeKey").rpartition(" ")[2]
    return without_base(decoded_path(without_stage(path, event)), template, event)


def _lines(event: Event) -> Lines:
    lines = header_lines(event, "headers")
    cookies = event.get("cookies") or []
    if not isinstance(cookies, list) or not all(isinstance(cookie, str) for cookie in cookies):
        raise Malformed("The event's cookies are no list of texts")
    if not cookies:
        return lines
    cookie = header_lines({"cookies": {"cookie": "; ".join(cookies)}}, "cookies")
    return [line for line in lines if line[0].lower() != "cookie"] + [(name, as_latin(value)) for name, value in cookie]
