"""The same request through every door: the service sees the same bytes, and the caller gets the same answer.

What differs by nature is compared as what it means: the doors of AWS write names of fields in small letters or sorted,
payload 2.0 joins repeated lines with commas. What a door loses before the gateway sees it has cases of its own below.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, unquote, unquote_plus

import pytest
from authority import Authority, certificate_pem, client_context, localhost
from cryptography import x509
from doors import Door
from wires import OpenDoor, ask, patiently, serving
from worlds import OwnedClock

from hms_svc.aws.door import LambdaDoor
from hms_svc.aws.events import reading
from hms_svc.core.config import Forward, Route, Target
from hms_svc.core.model import ClientCertificate, Headers
from hms_svc.core.ports import UpstreamRequest, UpstreamResponse
from hms_svc.local.http.server import Server
from hms_svc.local.tls import server_context

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HOST = "api.agency.example"
EVERYTHING = Route(name="all", path="/*", action=Forward((Target("http", "svc", 80),)), auth=())
PNG = b"\x89PNG\r\n\x1a\n\x00\xff"


@dataclass(frozen=True)
class Call:
    """What a client sends."""

    method: str = "GET"
    path: str = "/"
    query: str = ""
    lines: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


CALLS = {
    "nothing but a path": Call(),
    "repeated values of a query": Call(query="a=1&a=2&a=1&b="),
    "escapes in a query": Call(query="q=%C3%A9%26%2B%20x&r=10:00/11"),
    "an encoded segment": Call(path="/caf%C3%A9/a%20b"),
    "dot segments": Call(path="/a/./b/../c"),
    "marks in a path": Call(path="/a;b=c/d@e+f,g'(h)"),
    "a final slash": Call(path="/a/"),
    "repeated lines": Call(lines=(("X-One", "1"), ("X-Two", "2"), ("X-One", "3"))),
    "cookies": Call(lines=(("Cookie", "a=1; b=2"),)),
    "a bad credential, passed on": Call(lines=(("Authorization", "Basic YTpi"),)),
    "forged lines": Call(lines=(("X-Forwarded-For", "198.51.100.1"), ("X-HMS-Caller", "boss"), ("Forwarded", "for=x"))),
    "text": Call("POST", lines=(("Content-Type", "text/plain"),), body="café €".encode()),
    "bytes": Call("PUT", lines=(("Content-Type", "image/png"),), body=PNG),
    "an empty body": Call("POST"),
    "HEAD": Call("HEAD", "/a", "x=1"),
    "DELETE": Call("DELETE", "/a/7"),
    "a method of one's own": Call("PURGE", "/a"),
}


class Seen(NamedTuple):
    """What came of a call: what the service saw and what the caller got."""

    service: list[tuple[str, str, tuple[tuple[str, tuple[str, ...]], ...], bytes]]
    status: int
    lines: tuple[tuple[str, tuple[str, ...]], ...]
    body: bytes


def answer(request: UpstreamRequest) -> UpstreamResponse:
    """What the service says: text or bytes, as it was asked, with repeated lines."""
    body = b"" if request.method == "HEAD" else request.body or "né".encode()
    lines = [("Content-Type", "text/plain"), ("WWW-Authenticate", "A"), ("WWW-Authenticate", "B x=1")]
    cookies = [("Set-Cookie", "a=1; Path=/"), ("Set-Cookie", "b=2")]
    return UpstreamResponse(401, Headers([*lines, *cookies, ("Content-Length", str(len(body)))]), body)


_BY_NATURE = frozenset({"forwarded", "x-forwarded-for", "x-forwarded-proto", "x-request-id", "traceparent"})
_OF_THE_CONNECTION = frozenset({"connection", "content-length", "date", "x-request-id"})


def meaning(lines: Any, without: frozenset[str]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Each name with its values; repeated and joined lines mean the same (RFC 9110, section 5.3)."""
    found: dict[str, list[str]] = {}
    for name, value in lines:
        key = name.lower()
        if key not in without:
            parts = [value] if key in {"set-cookie", "cookie"} else [part.strip() for part in value.split(",")]
            found.setdefault(key, []).extend(parts)
    return tuple(sorted((name, tuple(values)) for name, values in found.items()))


def saw(around: Door) -> list[tuple[str, str, tuple[tuple[str, tuple[str, ...]], ...], bytes]]:
    return [
        (seen.method, seen.path_and_query, meaning(seen.headers.lines, _BY_NATURE), seen.body)
        for seen in around.upstream.seen
    ]


# The doors


def over_http(call: Call) -> Seen:
    """The laptop's server, over a socket."""
    around = Door(EVERYTHING)
    around.upstream.answer = answer
    target = f"{call.path}?{call.query}" if call.query else call.path
    lines = [("Host", HOST), *call.lines]
    if call.body or call.method == "POST":
        lines.append(("Content-Length", str(len(call.body))))
    head = "".join(f"{name}: {value}\r\n" for name, value in lines)
    found: list[Seen] = []

    async def main() -> None:
        server = Server(around.gateway)
        _, port = await server.start("127.0.0.1", 0)
        raw = f"{call.method} {target} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + call.body
        got = await ask(port, raw, to_head=call.method == "HEAD")
        await server.drain(1.0)
        found.append(Seen(saw(around), got.status, meaning(got.headers.lines, _OF_THE_CONNECTION), got.body))

    patiently(main())
    return found[0]


def grouped(lines: Any) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in lines:
        found.setdefault(name, []).append(value)
    return found


def sent(call: Call) -> list[tuple[str, str]]:
    """The lines that a door of AWS hands on."""
    lines = [("Host", HOST), *call.lines]
    return [*lines, ("Content-Length", str(len(call.body)))] if call.body else lines


def bodily(call: Call) -> dict[str, Any]:
    """The body as API Gateway and ALB hand it on: text where its type says so."""
    if dict(call.lines).get("Content-Type", "text/").startswith("text/"):
        return {"body": call.body.decode() or None, "isBase64Encoded": False}
    return {"body": base64.b64encode(call.body).decode(), "isBase64Encoded": True}


def query_pairs(query: str) -> list[tuple[str, str]]:
    return [(name, value) for name, _, value in (pair.partition("=") for pair in query.split("&") if pair)]


def rest(call: Call, **more: Any) -> dict[str, Any]:
    pairs = [(unquote_plus(name), unquote_plus(value)) for name, value in query_pairs(call.query)]
    lines = sent(call)
    return {
        "resource": "/{proxy+}",
        "path": call.path,
        "httpMethod": call.method,
        "headers": dict(lines),
        "multiValueHeaders": grouped(lines),
        "queryStringParameters": dict(pairs) or None,
        "multiValueQueryStringParameters": grouped(pairs) or None,
        "pathParameters": {"proxy": unquote(call.path).strip("/")},
        "requestContext": {
            "stage": "prod",
            "path": f"/prod{call.path}",
            "domainName": "abc.execute-api.eu-central-1.amazonaws.com",
            "identity": {"sourceIp": "127.0.0.1"},
        },
        **bodily(call),
        **more,
    }


def rest_with_base(call: Call) -> dict[str, Any]:
    event = rest(call, path=f"/v1{call.path}")
    event["requestContext"]["domainName"] = HOST
    return event


def http_api_1(call: Call) -> dict[str, Any]:
    return rest(call, version="1.0", resource="$default", path=f"/prod{unquote(call.path)}", pathParameters=None)


def payload_2(call: Call, path: str, domain: str, stage: str) -> dict[str, Any]:
    lines = [(name.lower(), value) for name, value in sent(call)]
    cookies = [cookie for name, value in lines if name == "cookie" for cookie in value.split("; ")]
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": call.query,
        **({"cookies": cookies} if cookies else {}),
        "headers": {name: ",".join(values) for name, values in grouped(lines).items() if name != "cookie"},
        "requestContext": {
            "domainName": domain,
            "stage": stage,
            "http": {"method": call.method, "path": path, "sourceIp": "127.0.0.1"},
        },
        **bodily(call),
    }


def http_api_2(call: Call) -> dict[str, Any]:
    path = f"/prod{unquote(call.path)}"
    return payload_2(call, path, "abc.execute-api.eu-central-1.amazonaws.com", "prod")


def function_url(call: Call) -> dict[str, Any]:
    return payload_2(call, call.path, "abc.lambda-url.eu-central-1.on.aws", "$default")


def load_balancer(call: Call) -> dict[str, Any]:
    lines = [(name.lower(), value) for name, value in sent(call)]
    forwarded = ", ".join([value for name, value in lines if name == "x-forwarded-for"] + ["127.0.0.1"])
    lines = [line for line in lines if line[0] != "x-forwarded-for"]
    return {
        "requestContext": {"elb": {"targetGroupArn": "arn"}},
        "httpMethod": call.method,
        "path": call.path,
        "multiValueQueryStringParameters": grouped(query_pairs(call.query)),
        "multiValueHeaders": grouped([*lines, ("x-forwarded-for", forwarded), ("x-forwarded-proto", "https")]),
        **bodily(call),
        "body": bodily(call)["body"] or "",
    }


def load_balancer_single(call: Call) -> dict[str, Any]:
    event = load_balancer(call)
    for member in ("Headers", "QueryStringParameters"):
        several = event.pop(f"multiValue{member}")
        event[member[0].lower() + member[1:]] = {name: values[-1] for name, values in several.items()}
    return event


DOORS: dict[str, Callable[[Call], dict[str, Any]]] = {
    "REST API": rest,
    "REST API at a custom domain": rest_with_base,
    "HTTP API, payload 1.0": http_api_1,
    "HTTP API, payload 2.0": http_api_2,
    "Function URL": function_url,
    "ALB, several values": load_balancer,
    "ALB, single values": load_balancer_single,
}
SINGLE = {"repeated values of a query", "repeated lines"}
"""Calls of which ALB with single values has lost a part before the gateway sees it."""


def over_lambda(event: dict[str, Any]) -> Seen:
    around = Door(EVERYTHING)
    around.upstream.answer = answer
    got = LambdaDoor(around.gateway)(event)
    lines = [(name, value) for name, values in got.get("multiValueHeaders", {}).items() for value in values]
    lines += list(got.get("headers", {}).items())
    lines += [("Set-Cookie", cookie) for cookie in got.get("cookies", [])]
    body = base64.b64decode(got["body"]) if got["isBase64Encoded"] else got["body"].encode()
    return Seen(saw(around), got["statusCode"], meaning(lines, _OF_THE_CONNECTION), body)


@pytest.mark.parametrize(
    ("name", "case"),
    [(name, case) for name in DOORS for case in CALLS if name != "ALB, single values" or case not in SINGLE],
)
def test_the_same_call_is_the_same_through_every_door(name: str, case: str) -> None:
    call = CALLS[case]
    wanted = over_http(call)
    assert len(wanted.service) == 1
    assert over_lambda(DOORS[name](call)) == wanted


# Client certificates


def certificate_over_tls(authority: Authority, file: Path, server: Path) -> ClientCertificate | None:
    door = OpenDoor()

    async def main() -> None:
        async with serving(door, tls=server_context(server, None, authority.file)) as port:
            raw = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
            assert (await ask(port, raw, ssl=client_context(authority.file, file))).status == 200

    patiently(main())
    return door.seen[0].certificate


def with_certificate(event: dict[str, Any], **given: str | None) -> dict[str, Any]:
    """The event, with what API Gateway says of a certificate in its place."""
    context = event["requestContext"]
    place = context["identity"] if "identity" in context else context.setdefault("authentication", {})
    place["clientCert"] = given
    return event


MTLS = Route(name="partners", path="/*", action=Forward((Target("http", "svc", 80),)), auth=("mtls",))
WITH_CERTIFICATES = ["REST API", "REST API at a custom domain", "HTTP API, payload 1.0", "HTTP API, payload 2.0"]


@pytest.mark.parametrize("name", WITH_CERTIFICATES)
def test_a_client_certificate_is_the_same_in_every_door(name: str, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    sans: list[x509.GeneralName] = [x509.DNSName("batch.agency.example"), x509.RFC822Name("batch@agency.example")]
    file = authority.issue("Smith, John", serial=0xAF3, sans=[*sans, x509.IPAddress(ip_address("2001:db8::1"))])
    wanted = certificate_over_tls(authority, file, authority.issue("server", sans=localhost()))
    assert wanted is not None
    assert (wanted.subject, wanted.serial, wanted.fault) == ("CN=Smith\\, John,O=Agency", "0AF3", "")
    event = with_certificate(DOORS[name](Call()), subjectDN="CN=else", clientCertPem=certificate_pem(file))
    assert reading.read(event).request.certificate == wanted
    around = Door(MTLS, clock=OwnedClock(wanted.not_before_s * 1_000_000_000))
    assert LambdaDoor(around.gateway)(event)["statusCode"] == 200
    assert around.upstream.seen[0].headers["X-HMS-Caller"] == "CN=Smith\\,%20John,O=Agency"


@pytest.mark.parametrize("name", WITH_CERTIFICATES)
def test_a_certificate_that_is_claimed_without_one_is_refused_with_a_cause(name: str) -> None:
    for pem in (None, "", "CERT_CONTENT", "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----"):
        around = Door(MTLS)
        event = with_certificate(DOORS[name](Call()), subjectDN="CN=boss", serialNumber="1", clientCertPem=pem)
        assert LambdaDoor(around.gateway)(event)["statusCode"] == 401
        assert around.upstream.seen == []
        cause = around.records[0]["unmapped"]["hms"]["cause"]
        assert cause.startswith("the client certificate identifies nobody: it")


@pytest.mark.parametrize("name", DOORS)
def test_a_field_that_speaks_of_a_certificate_is_believed_by_no_door(name: str, tmp_path: Path) -> None:
    pem = quote(certificate_pem(Authority(tmp_path).issue("boss")))
    fields = ("X-Client-Cert", "X-Amzn-Mtls-Clientcert", "X-Amzn-Mtls-Clientcert-Leaf", "X-Forwarded-Client-Cert")
    call = Call(lines=tuple((field, pem) for field in fields))
    around = Door(MTLS)
    assert LambdaDoor(around.gateway)(DOORS[name](call))["statusCode"] == 401
    assert around.records[0]["unmapped"]["hms"]["cause"] == "no client certificate"


# Credentials that come twice

TWICE = {
    "two tokens": ("Authorization", "Bearer alices-token", "Bearer guests-token"),
    "a token and one of a service": ("Authorization", "Basic YTpi", "Bearer alices-token"),
    "a token and nothing": ("Authorization", "Bearer alices-token", ""),
    "two keys": ("X-API-Key", "hms_a", "hms_b"),
}


@pytest.mark.parametrize("auth", [("oauth", "api_key"), ("api_key", "oauth")])
@pytest.mark.parametrize("case", TWICE)
@pytest.mark.parametrize("name", sorted(DOORS.keys() - {"ALB, single values"}))
def test_a_credential_that_comes_twice_is_400_in_every_door(name: str, case: str, auth: tuple[str, ...]) -> None:
    field, *values = TWICE[case]
    token = (("Authorization", "Bearer alices-token"),) if field == "X-API-Key" else ()
    around = Door(replace(EVERYTHING, auth=auth))
    event = DOORS[name](Call(lines=(*token, *((field, value) for value in values))))
    assert LambdaDoor(around.gateway)(event)["statusCode"] == 400
    assert around.upstream.seen == []


# What a door has lost or changed before the gateway sees it


def seen_path(event: dict[str, Any]) -> str:
    return over_lambda(event).service[0][1]


def test_a_load_balancer_with_single_values_keeps_the_last() -> None:
    assert seen_path(load_balancer_single(CALLS["repeated values of a query"])) == "/?a=1&b="
    seen = over_lambda(load_balancer_single(CALLS["repeated lines"])).service[0][2]
    assert dict(seen)["x-one"] == ("3",)


def test_an_http_api_decodes_an_escaped_slash() -> None:
    call = Call(path="/a%2Fb")
    assert [seen_path(door(call)) for door in (rest, function_url, load_balancer)] == ["/a%2Fb"] * 3
    assert [seen_path(door(call)) for door in (http_api_1, http_api_2)] == ["/a/b"] * 2


def test_payload_1_gathers_the_values_of_a_name_and_forgets_how_a_query_was_written() -> None:
    call = Call(query="a=1&b&a=2+3&c=%7e%2f")
    assert seen_path(rest(call)) == "/?a=1&a=2%203&b=&c=~/"
    assert [seen_path(door(call)) for door in (http_api_2, function_url)] == ["/?a=1&b&a=2+3&c=%7e%2f"] * 2
    assert seen_path(load_balancer(call)) == "/?a=1&a=2+3&b=&c=%7e%2f"
