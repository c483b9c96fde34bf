"""Each door's events, read as requests, and answers written as each door takes them."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from authority import Authority, certificate_pem
from cryptography import x509
from worlds import drive

from hms_svc.aws.events import reading
from hms_svc.aws.events.reading import Asked, EventNotHttp
from hms_svc.core.credentials.x509 import unreadable
from hms_svc.core.errors import BodyTooLarge
from hms_svc.core.model import Headers, Request, Response

if TYPE_CHECKING:
    from pathlib import Path

EXECUTE_API = "abc123.execute-api.eu-central-1.amazonaws.com"


def rest(path: str = "/", **more: Any) -> dict[str, Any]:
    """An event of a REST API."""
    context = {"stage": "prod", "domainName": EXECUTE_API, "identity": {"sourceIp": "192.0.2.7"}}
    return {
        "resource": "/{proxy+}",
        "path": path,
        "httpMethod": "GET",
        "pathParameters": {"proxy": path.strip("/")},
        "multiValueHeaders": {"Host": [EXECUTE_API]},
        "requestContext": context | more.pop("context", {}),
        "isBase64Encoded": False,
        "body": None,
    } | more


def http_api(path: str = "/", query: str = "", **more: Any) -> dict[str, Any]:
    """An event of an HTTP API, payload 2.0."""
    http = {"method": more.pop("method", "GET"), "path": path, "sourceIp": "192.0.2.7"}
    context = {"stage": "$default", "domainName": EXECUTE_API, "http": http} | more.pop("context", {})
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": query,
        "headers": {"host": EXECUTE_API},
        "requestContext": context,
        "isBase64Encoded": False,
    } | more


def alb(path: str = "/", **more: Any) -> dict[str, Any]:
    """An event of a load balancer with single values."""
    return {
        "requestContext": {"elb": {"targetGroupArn": "arn:aws:elasticloadbalancing:eu-central-1:1:targetgroup/a/b"}},
        "httpMethod": "GET",
        "path": path,
        "queryStringParameters": {},
        "headers": {"host": "a", "x-forwarded-for": "203.0.113.9, 192.0.2.7", "x-forwarded-proto": "https"},
        "body": "",
        "isBase64Encoded": False,
    } | more


def asked(event: Any) -> Asked:
    found = reading.read(event)
    assert found.refusal is None, found.refusal
    return found


def request(event: Any) -> Request:
    return asked(event).request


def body(event: Any) -> bytes:
    content: bytes = drive(request(event).body.read(10_000_000))
    return content


def refusal(event: Any) -> str:
    found = reading.read(event)
    assert found.refusal is not None
    assert found.refusal.status == 400
    return found.refusal.detail


# Paths


@pytest.mark.parametrize("path", ["/", "/a/b/", "/a%2Fb/%C3%A9", "/a/%2e%2e/b", "/a//b", "/a;b=c/d@e+f"])
def test_a_rest_api_has_the_path_as_it_came(path: str) -> None:
    assert request(rest(path)).path == path


def test_a_path_that_an_emulator_has_decoded_is_encoded_again() -> None:
    assert request(rest("/caf\xe9 x")).path == "/caf%C3%A9%20x"


def test_a_stage_in_the_context_of_a_rest_api_plays_no_part() -> None:
    assert request(rest("/prod/x", context={"path": "/prod/prod/x"})).path == "/prod/x"


@pytest.mark.parametrize(
    ("resource", "parameters", "path", "own"),
    [
        ("/{proxy+}", {"proxy": "claims/7"}, "/v1/claims/7", "/claims/7"),
        ("/{proxy+}", {"proxy": "claims/7"}, "/v1/deep/claims/7/", "/claims/7/"),
        ("/{proxy+}", {"proxy": "v1"}, "/v1/v1", "/v1"),
        ("/{proxy+}", {"proxy": "caf\xe9/a b"}, "/v1/caf%C3%A9/a%20b", "/caf%C3%A9/a%20b"),
        ("/{proxy+}", {"proxy": "a/b"}, "/v1/a%2Fb", "/a%2Fb"),
        ("/", None, "/v1", "/"),
        ("/", None, "/v1/", "/"),
        ("/claims/{id}", {"id": "7"}, "/v1/claims/7", "/claims/7"),
        ("/{proxy+}", {"proxy": "elsewhere"}, "/v1/claims", "/v1/claims"),
    ],
)
def test_the_base_path_of_a_custom_domain_is_taken_off(
    resource: str, parameters: dict[str, str] | None, path: str, own: str
) -> None:
    event = rest(path, resource=resource, pathParameters=parameters, context={"domainName": "api.agency.example"})
    assert request(event).path == own


@pytest.mark.parametrize(
    ("stage", "domain", "path", "own"),
    [
        ("$default", EXECUTE_API, "/prod/x", "/prod/x"),
        ("prod", EXECUTE_API, "/prod/x", "/x"),
        ("prod", EXECUTE_API, "/prod", "/"),
        ("prod", EXECUTE_API, "/production/x", "/production/x"),
        ("prod", "abc.execute-api.us-gov-west-1.amazonaws.com", "/prod/x", "/x"),
        ("prod", "api.agency.example", "/prod/x", "/prod/x"),
    ],
)
def test_an_http_api_has_its_stage_before_the_path_at_its_own_domain(
    stage: str, domain: str, path: str, own: str
) -> None:
    context = {"stage": stage, "domainName": domain}
    assert request(http_api(path, context=context)).path == own
    payload_1 = rest(path, version="1.0", resource="$default", pathParameters=None, context=context)
    assert request(payload_1).path == own


def test_the_base_path_of_an_http_api_is_taken_off_by_its_route() -> None:
    event = http_api(
        "/v1/claims/7",
        routeKey="ANY /{proxy+}",
        pathParameters={"proxy": "claims/7"},
        context={"domainName": "api.agency.example"},
    )
    assert request(event).path == "/claims/7"


def test_an_http_api_decodes_the_path_so_it_is_encoded_once() -> None:
    assert request(http_api("/caf\xe9/100%25 a?b#c/..")).path == "/caf%C3%A9/100%2525%20a%3Fb%23c/.."
    assert request(rest("/a%41", version="1.0", resource="$default")).path == "/a%2541"


def test_a_function_url_has_the_path_as_it_came() -> None:
    event = http_api("/a%2Fb/%C3%A9", context={"domainName": "abc.lambda-url.eu-central-1.on.aws"})
    assert request(event).path == "/a%2Fb/%C3%A9"


# Queries


def test_a_decoded_query_is_encoded_again_with_the_values_of_a_name_in_order() -> None:
    several = {"q": ["a b", "c&d=e", ""], "caf\xe9": ["100%", "+"], "t": ["10:00/11,12"]}
    assert request(rest(multiValueQueryStringParameters=several)).query == (
        "q=a%20b&q=c%26d%3De&q=&caf%C3%A9=100%25&caf%C3%A9=%2B&t=10:00/11,12"
    )
    assert request(rest(queryStringParameters={"a": "b c"})).query == "a=b%20c"


@pytest.mark.parametrize("query", ["", "a=1&b=2&a=3", "a&b=&=c&&", "q=%c3%a9+x%2F", "x=[1]'\"<>"])
def test_a_raw_query_stays_as_it_came(query: str) -> None:
    assert request(http_api(query=query)).query == query


def test_what_no_query_may_hold_is_escaped() -> None:
    assert request(http_api(query="a=\xe9 #\r\n")).query == "a=%C3%A9%20%23%0D%0A"


def test_a_load_balancer_leaves_names_and_values_encoded() -> None:
    assert request(alb(queryStringParameters={"a%20b": "%c3%a9+x"})).query == "a%20b=%c3%a9+x"
    several = {"a": ["1", "%2F"], "b": [""]}
    event = alb(multiValueHeaders={"host": ["a"]}, multiValueQueryStringParameters=several)
    assert request(event).query == "a=1&a=%2F&b="


# Header lines


def test_repeated_lines_come_one_by_one_in_order() -> None:
    lines = {"Host": ["a"], "X-One": ["1", "2"], "x-two": ["3"]}
    wanted = (("Host", "a"), ("X-One", "1"), ("X-One", "2"), ("x-two", "3"))
    assert request(rest(headers={"X-One": "2"}, multiValueHeaders=lines)).headers.lines == wanted
    assert request(alb(multiValueHeaders=lines)).headers.lines == wanted


def test_cookies_that_come_apart_become_one_line() -> None:
    event = http_api(cookies=["a=1", "b=2; c=3"], headers={"host": "h", "cookie": "old=1", "x": "1,2"})
    assert request(event).headers.lines == (("host", "h"), ("x", "1,2"), ("cookie", "a=1; b=2; c=3"))


def test_a_host_that_the_door_keeps_to_itself_is_its_domain() -> None:
    assert request(rest(multiValueHeaders=None, headers=None)).headers["Host"] == EXECUTE_API


def test_text_beyond_latin_goes_on_as_its_bytes() -> None:
    assert request(http_api(headers={"host": "h", "x": "\u20ac"})).headers["x"] == "\xe2\x82\xac"


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_an_empty_body_has_its_length_where_a_method_expects_one(method: str) -> None:
    assert request(rest(httpMethod=method)).headers["Content-Length"] == "0"
    assert "Content-Length" not in request(rest()).headers


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ({"Host": ["a", "b"]}, "The field Host came twice"),
        ({"Authorization": ["a"], "authorization": ["b"]}, "The field authorization came twice"),
        ({"Content_Length": ["1"]}, "could be taken for Content-Length"),
        ({"X Y": ["1"]}, "A field name is no token"),
        ({"X": ["a\r\nB: c"]}, "holds a line break"),
        ({"X": [1]}, "is no text"),
        ([], "is no object"),
        ({f"X{n}": ["1"] for n in range(300)}, "over 200 fields"),
    ],
)
def test_lines_that_readers_could_take_in_two_ways_are_refused(lines: Any, reason: str) -> None:
    assert reason in refusal(rest(multiValueHeaders=lines))


# Who calls


def test_addresses_come_from_the_context_whatever_the_headers_say() -> None:
    forged = {"host": "h", "x-forwarded-for": "198.51.100.1", "x-real-ip": "198.51.100.1", "x-forwarded-proto": "http"}
    for event in (rest(multiValueHeaders=None, headers=forged), http_api(headers=forged)):
        assert (request(event).peer_ip, request(event).scheme) == ("192.0.2.7", "https")


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ("198.51.100.1, 192.0.2.7", "192.0.2.7"),
        ("192.0.2.7:4711", "192.0.2.7"),
        ("2001:db8::1", "2001:db8::1"),
        ("[2001:db8::1]:80", "2001:db8::1"),
        ("", ""),
        ("nonsense", ""),
    ],
)
def test_behind_a_load_balancer_the_last_address_is_the_callers(given: str, address: str) -> None:
    headers = {"host": "h", "x-forwarded-for": given, "x-forwarded-proto": "http"}
    found = request(alb(headers=headers))
    assert (found.peer_ip, found.scheme) == (address, "http")


def client_cert(**given: Any) -> list[dict[str, Any]]:
    """Events of both APIs whose context has this certificate."""
    return [
        rest(context={"identity": {"sourceIp": "192.0.2.7", "clientCert": given}}),
        http_api(context={"authentication": {"clientCert": given}}),
    ]


def test_a_certificate_comes_from_the_context_only(tmp_path: Path) -> None:
    pem = certificate_pem(Authority(tmp_path).issue("batch", sans=[x509.DNSName("batch.agency.example")]))
    names = {"subjectDN": "CN=somebody, O=Else", "issuerDN": "CN=x", "serialNumber": "0a:1b:c2"}
    for event in client_cert(**names, clientCertPem=pem):
        certificate = request(event).certificate
        assert certificate is not None
        assert (certificate.subject, certificate.issuer) == ("CN=batch,O=Agency", "CN=Test CA,O=Agency")
        assert (certificate.serial, certificate.sans) == ("1267", ("DNS:batch.agency.example",))
    header = {"Host": ["a"], "X-Amzn-Mtls-Clientcert-Subject": ["CN=boss"], "X-Amzn-Mtls-Clientcert": [quote(pem)]}
    assert request(alb(multiValueHeaders=header)).certificate is None
    assert request(rest(multiValueHeaders=header)).certificate is None
    joined = {name: values[0] for name, values in header.items()}
    assert request(http_api(headers=joined)).certificate is None


@pytest.mark.parametrize(
    "pem", [None, "", "CERT_CONTENT", "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----", "é", "-" * 70_000]
)
def test_a_certificate_that_cannot_be_read_is_there_and_identifies_nobody(pem: str | None) -> None:
    for event in client_cert(subjectDN="CN=boss", issuerDN="CN=x", serialNumber="1", clientCertPem=pem):
        assert request(event).certificate == unreadable("its text is no certificate")
    broken = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"
    for event in client_cert(subjectDN="CN=boss", clientCertPem=broken):
        certificate = request(event).certificate
        assert certificate is not None
        assert (certificate.subject, certificate.fault) == ("", "it cannot be read (ValueError)")


def test_a_context_with_nothing_of_a_certificate_has_none() -> None:
    for event in (*client_cert(), *client_cert(subjectDN=None, clientCertPem="")):
        assert request(event).certificate is None


# Bodies


def test_bodies_come_as_text_or_as_bytes() -> None:
    assert body(rest(body="caf\xe9")) == "caf\xe9".encode()
    assert body(http_api(body=base64.b64encode(b"\x00\xff").decode(), isBase64Encoded=True)) == b"\x00\xff"
    assert body(alb(body=None)) == b""


def test_a_body_over_a_routes_limit_is_refused_when_it_is_read() -> None:
    with pytest.raises(BodyTooLarge):
        drive(request(rest(body="12345")).body.read(4))


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (rest(body="@@@", isBase64Encoded=True), "base64"),
        (rest(body="\u20ac", isBase64Encoded=True), "base64"),
        (rest(body=7), "body is no text"),
        (rest(isBase64Encoded="yes"), "neither true nor false"),
        (rest() | {"path": 7}, "path is no text"),
        (rest(httpMethod=None), "method"),
        (rest(httpMethod="GET /"), "method"),
        (rest(body="\ud800"), "half a character"),
        (rest(pathParameters=[]), "pathParameters is no object"),
        (rest(multiValueQueryStringParameters={"a": [None]}), "no text"),
        (http_api(cookies="a=1"), "cookies"),
        (http_api(context={"http": 1}), "http is no object"),
        (alb(headers=None, queryStringParameters=1), "queryStringParameters is no object"),
    ],
)
def test_an_event_that_is_not_well_formed_is_a_refused_request(event: Any, reason: str) -> None:
    assert reason in refusal(event)


# What is no request


@pytest.mark.parametrize(
    ("event", "looks_like"),
    [
        ({"Records": [{"eventSource": "aws:sqs", "body": "secret"}]}, "a batch of records of aws:sqs"),
        ({"Records": [{"EventSource": "aws:sns"}]}, "a batch of records of aws:sns"),
        ({"Records": [{"eventSource": "secret"}]}, "a batch of records, no"),
        ({"detail-type": "secret", "source": "secret"}, "EventBridge"),
        ({"type": "TOKEN", "methodArn": "secret", "authorizationToken": "secret"}, "authorizer"),
        (rest(methodArn="secret", type="REQUEST"), "authorizer"),
        (rest(context={"connectionId": "secret"}), "WebSocket"),
        ({"statusCode": 200, "body": "secret"}, "an answer"),
        ({}, "of a form"),
        ([], "a JSON list"),
        (None, "a JSON NoneType"),
    ],
)
def test_an_event_that_is_no_request_is_named_and_not_repeated(event: Any, looks_like: str) -> None:
    with pytest.raises(EventNotHttp) as raised:
        reading.read(event)
    assert looks_like in str(raised.value)
    assert "VPC Lattice" in str(raised.value)
    assert "secret" not in str(raised.value)


# Answers

LINES = Headers(
    [
        ("Content-Type", "text/plain"), ("WWW-Authenticate", "Bearer"), ("Www-authenticate", "ApiKey"),
        ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2, c"), ("Connection", "close"), ("Content-Length", "2"),
        ("Date", "now"), ("Transfer-Encoding", "chunked"),
    ]
)  # fmt: skip
FRAME = {"statusCode": 401, "body": "ok", "isBase64Encoded": False}
SEVERAL = {
    "Content-Type": ["text/plain"],
    "WWW-Authenticate": ["Bearer", "ApiKey"],
    "Set-Cookie": ["a=1", "b=2, c"],
}
ONE = {"Content-Type": "text/plain", "WWW-Authenticate": "Bearer, ApiKey"}


def test_every_line_survives_in_the_form_of_the_event() -> None:
    response = Response(401, LINES, b"ok")
    described = FRAME | {"statusDescription": "401 Unauthorized"}
    assert asked(rest()).answer(response) == FRAME | {"multiValueHeaders": SEVERAL}
    assert asked(http_api()).answer(response) == FRAME | {"headers": ONE, "cookies": ["a=1", "b=2, c"]}
    several = alb(multiValueHeaders={"host": ["a"]})
    assert asked(several).answer(response) == described | {"multiValueHeaders": SEVERAL}
    one = {"headers": ONE | {"set-cookie": "a=1", "Set-cookie": "b=2, c"}}
    assert asked(alb()).answer(response) == described | one
    assert asked({"method": "GET", "raw_path": "/", "headers": {}}).answer(response) == described | one


@pytest.mark.parametrize(
    ("content", "lines", "text", "is_base64"),
    [
        (b"", [], "", False),
        ("caf\xe9\0".encode(), [], "caf\xe9\0", False),
        (b"\xff\x00", [], "/wA=", True),
        (b"ok", [("content-encoding", "gzip")], "b2s=", True),
    ],
)
def test_a_body_goes_as_text_or_as_bytes(
    content: bytes, lines: list[tuple[str, str]], text: str, *, is_base64: bool
) -> None:
    answer = asked(rest()).answer(Response(200, Headers(lines), content))
    assert (answer["body"], answer["isBase64Encoded"]) == (text, is_base64)


def test_a_large_text_goes_in_the_shorter_form() -> None:
    answer = asked(rest()).answer(Response(200, Headers(), "\xe9".encode() * 600_000))
    assert answer["isBase64Encoded"] is True
    assert asked(rest()).answer(Response(200, Headers(), b"e" * 1_200_000))["isBase64Encoded"] is False


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304)])
def test_an_answer_that_has_no_body_has_none(method: str, status: int) -> None:
    assert asked(rest(httpMethod=method)).answer(Response(status, Headers(), b"ok"))["body"] == ""


# VPC Lattice


def test_lattice_says_the_same_in_two_forms() -> None:
    first = {
        "raw_path": "/a%2Fb",
        "method": "POST",
        "headers": {"host": "h", "x-forwarded-for": "10.0.0.9"},
        "query_string_parameters": {"q": "1"},
        "body": "b2s=",
        "is_base64_encoded": True,
    }
    second = {
        "version": "2.0",
        "path": "/a%2Fb",
        "method": "POST",
        "headers": {"host": ["h"], "x-forwarded-for": ["10.0.0.9"]},
        "queryStringParameters": {"q": ["1"]},
        "body": "ok",
        "isBase64Encoded": False,
        "requestContext": {"identity": {"type": "AWS_IAM"}},
    }
    for event in (first, second):
        found = request(event)
        assert (found.method, found.path, found.query, found.peer_ip) == ("POST", "/a%2Fb", "q=1", "10.0.0.9")
        assert body(event) == b"ok"
    assert request(first | {"raw_path": "/a?x=%2F"}).query == "x=%2F"
