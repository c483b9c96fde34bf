from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from worlds import CountingRandomness, OwnedClock, RecordingUpstream, drive, request

from hms_svc.core.arrive import arrive
from hms_svc.core.config import Forward, HeaderEdits, Route, Target
from hms_svc.core.entry import Entry
from hms_svc.core.errors import BadGateway, GatewayTimeout
from hms_svc.core.forward import Admitted, Forwarder
from hms_svc.core.model import NOBODY, Caller, Headers, Response
from hms_svc.core.ports import (
    UpstreamBroken,
    UpstreamRequest,
    UpstreamResponse,
    UpstreamTimeout,
    UpstreamUnreachable,
)

if TYPE_CHECKING:
    from collections.abc import Callable

CLAIMS = Target("http", "claims-svc", 9001)
ALICE = Caller(name="alice", via="oauth", scopes=frozenset({"claims:write", "claims:read"}))


def forwarded(
    upstream: RecordingUpstream,
    *headers: tuple[str, str],
    method: str = "GET",
    path: str = "/secure/claims/7",
    query: str = "",
    body: bytes = b"",
    caller: Caller = ALICE,
    action: Forward = Forward((CLAIMS,)),  # noqa: B008  (frozen)
    route: dict[str, Any] | None = None,
    proxies: tuple[str, ...] = (),
    fields: tuple[tuple[str, str], ...] = (),
) -> tuple[Response, Entry]:
    lines = [("Host", "api.agency.example"), *headers]
    made = request(method, path, query=query, headers=lines, body=body, peer_ip="192.0.2.7")
    entry = Entry(made, "id-1", 0, 0)
    arrival = arrive(made, entry, CountingRandomness(), proxies)
    parts: dict[str, Any] = {"name": "claims", "path": "/secure/claims/*", "action": action, "auth": ("oauth",)}
    to = Route(**(parts | (route or {})))
    forwarder = Forwarder(upstream, OwnedClock(), CountingRandomness())
    return drive(forwarder.forward(Admitted(arrival, to, caller, body, fields), action, entry)), entry


def seen(*headers: tuple[str, str], **more: Any) -> UpstreamRequest:
    upstream = RecordingUpstream()
    forwarded(upstream, *headers, **more)
    return upstream.seen[0]


def test_method_path_query_body_and_headers_go_through_unchanged() -> None:
    wire = seen(
        ("Accept", "a"),
        ("accept", "b"),
        ("X-Thing", "caf\xe9"),
        ("Authorization", "Bearer t"),
        ("Cookie", "c=1"),
        ("Content-Length", "4"),
        method="PATCH",
        path="/secure/claims/a%20b",
        query="x=1&x=%20&y",
        body=b"\x00\xffab",
    )
    assert (wire.method, wire.path_and_query, wire.body) == (
        "PATCH",
        "/secure/claims/a%20b?x=1&x=%20&y",
        b"\x00\xffab",
    )
    for line in [("Accept", "a"), ("accept", "b"), ("X-Thing", "caf\xe9"), ("Authorization", "Bearer t")]:
        assert line in wire.headers.lines
    assert wire.headers["Content-Length"] == "4"
    assert wire.headers["Host"] == "claims-svc:9001"


def test_what_belongs_to_the_connection_stays_behind() -> None:
    wire = seen(
        ("Connection", "close, X-Only-Here"),
        ("X-Only-Here", "1"),
        ("Keep-Alive", "timeout=5"),
        ("TE", "trailers"),
        ("Trailer", "X"),
        ("Upgrade", "h2c"),
        ("Proxy-Authorization", "Basic x"),
        ("Transfer-Encoding", "chunked"),
        ("Expect", "100-continue"),
        method="POST",
        body=b"12345",
    )
    names = {name.lower() for name, _ in wire.headers.lines}
    assert not names & {
        "connection",
        "x-only-here",
        "keep-alive",
        "te",
        "trailer",
        "upgrade",
        "proxy-authorization",
        "transfer-encoding",
        "expect",
    }
    assert wire.headers["Content-Length"] == "5"


@pytest.mark.parametrize("name", ["X-HMS-Caller", "x-hms-caller", "X_HMS_Caller", "x_hms-CALLER", "X-Hms-Anything"])
def test_identity_is_what_the_gateway_says_and_nobody_else(name: str) -> None:
    wire = seen((name, "admin"))
    assert [value for _, value in wire.headers.lines if value == "admin"] == []
    assert wire.headers["X-HMS-Caller"] == "alice"
    assert wire.headers["X-HMS-Auth"] == "oauth"
    assert wire.headers["X-HMS-Scopes"] == "claims:read claims:write"


OF_CERTIFICATES = [
    "Client-Cert",
    "Client-Cert-Chain",
    "client_cert",
    "X-Client-Cert",
    "X-Client-Cert-Subject",
    "X-SSL-Client-Cert",
    "X_SSL_CLIENT_CERT",
    "X-SSL-Cert",
    "X-Amzn-Mtls-Clientcert",
    "X-Amzn-Mtls-Clientcert-Leaf",
    "X-Forwarded-Client-Cert",
    "X-SSL-Client-S-DN",
    "X-SSL-Client-Verify",
    "SSL-Client-Verify",
    "X-Client-Verify",
    "X-Client-DN",
    "CloudFront-Viewer-Cert-Sha256",
    "X-Client-Certificate",
    "X-Forwarded-Tls-Client-Cert-Info",
    "X-SSL-Certificate",
    "X-ARR-ClientCert",
]


@pytest.mark.parametrize("name", OF_CERTIFICATES)
def test_no_service_hears_of_a_certificate_from_the_client(name: str) -> None:
    """RFC 9440, section 2.4: a service that believes such a field believes its proxy to have checked it."""
    wire = seen((name, "made-up"), ("X-Other", "1"))
    assert "made-up" not in str(wire.headers.lines)
    assert wire.headers["X-Other"] == "1"


@pytest.mark.parametrize("name", ["Client-Certainty", "X-Client-Certified", "X-SSL-Protocol", "My-Client-Cert"])
def test_a_field_whose_name_only_begins_so_is_the_callers(name: str) -> None:
    assert seen((name, "1")).headers[name] == "1"


def test_the_route_and_its_policies_may_speak_of_certificates() -> None:
    edits = HeaderEdits(set=(("X-SSL-Cert", "none"),), remove=frozenset({"Client-Cert"}))
    wire = seen(
        ("X-Client-Cert", "made-up"), ("X-SSL-Cert", "made-up"), fields=(("X-Client-Cert", "true"),),
        route={"request_headers": edits},
    )  # fmt: skip
    assert wire.headers.all("X-Client-Cert") == ["true"]
    assert wire.headers.all("X-SSL-Cert") == ["none"]


def test_nobody_has_no_name() -> None:
    wire = seen(("X-HMS-Caller", "admin"), caller=NOBODY)
    assert wire.headers["X-HMS-Auth"] == "none"
    assert "X-HMS-Caller" not in wire.headers


def test_a_name_that_no_field_can_hold_is_escaped() -> None:
    caller = replace(ALICE, name="Zoë\r\nX-Evil: 1 %")
    assert seen(caller=caller).headers["X-HMS-Caller"] == "Zo%C3%AB%0D%0AX-Evil:%201%20%25"


def test_forwarding_fields_are_the_gateways() -> None:
    wire = seen(("X-Forwarded-For", "6.6.6.6"), ("X_Forwarded_For", "6.6.6.6"), ("Forwarded", "for=6.6.6.6"))
    assert "6.6.6.6" not in str(wire.headers.lines)
    assert wire.headers["X-Forwarded-For"] == "192.0.2.7"
    assert wire.headers["X-Forwarded-Proto"] == "http"
    assert wire.headers["X-Forwarded-Host"] == "api.agency.example"
    assert wire.headers["Forwarded"] == 'for=192.0.2.7;host="api.agency.example";proto=http'


def test_a_trusted_proxys_forwarding_fields_are_continued() -> None:
    wire = seen(("X-Forwarded-For", "6.6.6.6"), ("Forwarded", "for=6.6.6.6"), proxies=("192.0.2.0/24",))
    assert wire.headers["X-Forwarded-For"] == "6.6.6.6, 192.0.2.7"
    assert wire.headers["Forwarded"].startswith("for=6.6.6.6, for=192.0.2.7;")


def test_the_request_is_named_and_traced() -> None:
    wire = seen(("X-Request-Id", "mine"), ("tracestate", "a=1"))
    assert wire.headers["X-Request-Id"] == "id-1"
    assert wire.headers["traceparent"].startswith("00-")
    assert "tracestate" not in wire.headers
    trace = f"00-{'a' * 32}-{'b' * 16}-01"
    continued = seen(("traceparent", trace), ("tracestate", "a=1"))
    assert continued.headers["tracestate"] == "a=1"
    assert "a" * 32 in continued.headers["traceparent"]


def test_a_get_without_body_has_no_content_length() -> None:
    assert "Content-Length" not in seen().headers
    assert seen(("Content-Length", "0"), method="POST").headers["Content-Length"] == "0"


def test_a_route_may_edit_the_request() -> None:
    edits = HeaderEdits(remove=frozenset({"Cookie"}), set=(("Accept", "x"),), add=(("X-Added", "1"),))
    wire = seen(("cookie", "c"), ("ACCEPT", "a"), ("accept", "b"), route={"request_headers": edits})
    assert "cookie" not in wire.headers
    assert wire.headers.all("accept") == ["x"]
    assert wire.headers["X-Added"] == "1"


def test_what_policies_set_stands_in_place_of_what_the_caller_sent() -> None:
    sent = [("X-Cost", "0"), ("x_cost", "0"), ("X-COST", "0"), ("Connection", "X-Cost"), ("X-Other", "1")]
    wire = seen(*sent, fields=(("X-Cost", "7"), ("X-Tenant", "blue")))
    assert [line for line in wire.headers.lines if "cost" in line[0].lower()] == [("X-Cost", "7")]
    assert (wire.headers["X-Tenant"], wire.headers["X-Other"]) == ("blue", "1")


def test_the_routes_edits_have_the_last_word_on_what_policies_set() -> None:
    edits = HeaderEdits(remove=frozenset({"X-Cost"}))
    assert "X-Cost" not in seen(fields=(("X-Cost", "7"),), route={"request_headers": edits}).headers


@pytest.mark.parametrize(
    ("pattern", "target", "path", "expected"),
    [
        ("/secure/claims/*", "/v1", "/secure/claims/7", "/v1/7"),
        ("/secure/claims/*", "/v1", "/secure/claims", "/v1"),
        ("/secure/claims/*", "/v1/", "/secure/claims/", "/v1/"),
        ("/secure/claims/*", "/", "/secure/claims", "/"),
        ("/users/{id}/files/*", "/x", "/users/7/files/a", "/x/7/files/a"),
        ("/public/faq", "/help", "/public/faq", "/help"),
        ("/caf%C3%A9/*", "/c", "/caf%c3%a9/1", "/c/1"),
        ("/*", "/api", "/a/b", "/api/a/b"),
        ("/", "/home", "/", "/home"),
    ],
)
def test_a_path_in_forward_to_replaces_the_routes_literal_prefix(
    pattern: str, target: str, path: str, expected: str
) -> None:
    action = Forward((replace(CLAIMS, path=target),))
    assert seen(path=path, action=action, route={"path": pattern, "action": action}).path_and_query == expected


def test_the_host_is_the_targets_own_the_callers_or_another() -> None:
    assert seen(action=Forward((CLAIMS,), rewrite_host="{host}")).headers["Host"] == "api.agency.example"
    assert seen(action=Forward((CLAIMS,), rewrite_host="claims.internal")).headers["Host"] == "claims.internal"
    assert seen(action=Forward((Target("http", "::1", 80),))).headers["Host"] == "[::1]"


@pytest.mark.parametrize("status", [200, 204, 302, 404, 418, 500, 503])
def test_the_services_own_answer_passes_untouched(status: int) -> None:
    def answer(_: UpstreamRequest) -> UpstreamResponse:
        lines = [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("Connection", "X-Hop"), ("X-Hop", "1"), ("Server", "s")]
        return UpstreamResponse(status, Headers(lines), b"body")

    response, entry = forwarded(RecordingUpstream(answer))
    assert response.status == entry.upstream_status == status
    assert response.body == b"body"
    assert response.headers.lines == (("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("Server", "s"))


def failing(*errors: Exception) -> Callable[[UpstreamRequest], UpstreamResponse]:
    left = list(errors)

    def answer(_: UpstreamRequest) -> UpstreamResponse:
        if left:
            raise left.pop(0)
        return UpstreamResponse(200, Headers(), b"at last")

    return answer


@pytest.mark.parametrize(
    ("error", "refusal"),
    [
        (UpstreamUnreachable("10.0.0.5 refused", sent=False), BadGateway),
        (UpstreamBroken("bad chunk at 10.0.0.5"), BadGateway),
        (UpstreamTimeout("10.0.0.5 took 30 s"), GatewayTimeout),
    ],
)
def test_what_goes_wrong_behind_is_in_the_record_and_not_in_the_answer(
    error: Exception, refusal: type[BadGateway | GatewayTimeout]
) -> None:
    with pytest.raises(refusal) as refused:
        forwarded(RecordingUpstream(failing(error)))
    assert "10.0.0.5" in refused.value.cause
    assert b"10.0.0.5" not in (refused.value.answer("id").body or b"")  # type: ignore[operator]  # bytes, a refusal never streams


def test_retries_go_to_the_next_target() -> None:
    down = UpstreamUnreachable("refused", sent=False)
    upstream = RecordingUpstream(failing(down, down))
    targets = (Target("http", "one", 80), Target("http", "two", 80))
    response, entry = forwarded(upstream, method="POST", action=Forward(targets, retries=2))
    hosts = [wire.target.host for wire in upstream.seen]
    assert response.body == b"at last"
    assert entry.attempts == 3
    assert hosts in (["one", "two", "one"], ["two", "one", "two"])


def test_what_may_have_arrived_is_not_sent_again_unless_it_is_idempotent() -> None:
    lost = UpstreamUnreachable("reset", sent=True)
    once = RecordingUpstream(failing(lost))
    with pytest.raises(BadGateway):
        forwarded(once, method="POST", action=Forward((CLAIMS,), retries=3))
    assert len(once.seen) == 1
    again, _ = forwarded(RecordingUpstream(failing(lost)), method="PUT", action=Forward((CLAIMS,), retries=3))
    assert again.body == b"at last"


def test_load_is_shared_by_weight() -> None:
    upstream = RecordingUpstream()
    action = Forward((Target("http", "one", 80, weight=3), Target("http", "two", 80, weight=1)))
    made = request(path="/secure/claims/7")
    entry = Entry(made, "id", 0, 0)
    arrival = arrive(made, entry, CountingRandomness(), ())
    to = Route(name="claims", path="/secure/claims/*", action=action, auth=())
    forwarder = Forwarder(upstream, OwnedClock(), CountingRandomness())
    for _ in range(400):
        drive(forwarder.forward(Admitted(arrival, to, NOBODY, b""), action, Entry(made, "id", 0, 0)))
    assert sum(wire.target.host == "one" for wire in upstream.seen) == 300
