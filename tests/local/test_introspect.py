"""One question to an issuer, over the Lambda router's client, which blocks, against a real server."""

from __future__ import annotations

import base64
import json
import socket
import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest
from fakes_introspection import ACTIVE, IntrospectionServer
from worlds import OwnedClock, drive

from hms_svc.aws.upstream import RequestsUpstream
from hms_svc.core.config import IntrospectionEndpoint
from hms_svc.core.ports import StoreUnavailable
from hms_svc.local.introspect import MAX_BYTES, Introspector, basic

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hms_svc.core.config import Issuer

DISCOVERY = "/.well-known/openid-configuration"


@dataclass
class Drawer:
    """A `SecretSource` with one secret, and the one that it finds when it looks again."""

    value: str = "s3cret"
    next_value: str | None = None
    down: bool = False
    looked_again: int = 0
    asked: list[str] = field(default_factory=list)

    async def read(self, reference: str, *, again: bool = False) -> str:
        self.asked.append(reference)
        if self.down:
            raise StoreUnavailable(f"the secret {reference} cannot be read")
        if again:
            self.looked_again += 1
            self.value = self.next_value or self.value
        return self.value


class Desk:
    """An introspector with its secret and its clock in the test's hands."""

    def __init__(self) -> None:
        self.clock = OwnedClock()
        self.secrets = Drawer()
        self.upstream = RequestsUpstream(max_body=MAX_BYTES, body_in_time=True)
        self.introspector = Introspector(self.upstream, self.secrets, self.clock)

    def ask(self, issuer: Issuer, token: str = "opaque") -> dict[str, Any]:
        answer: bytes = drive(self.introspector.introspect(issuer, token))
        read: dict[str, Any] = json.loads(answer)
        return read

    def fault_of(self, issuer: Issuer) -> str:
        with pytest.raises(StoreUnavailable) as failed:
            self.ask(issuer)
        assert "s3cret" not in str(failed.value)
        assert "opaque" not in str(failed.value)
        return str(failed.value)


@pytest.fixture
def server() -> Iterator[IntrospectionServer]:
    with IntrospectionServer() as running:
        yield running


@pytest.fixture
def desk() -> Iterator[Desk]:
    made = Desk()
    yield made
    made.upstream.close()


def test_a_question_has_the_token_in_its_body_and_the_client_in_its_authorization(
    server: IntrospectionServer, desk: Desk
) -> None:
    assert desk.ask(server.issuer()) == ACTIVE
    assert server.forms == [{"token": ["opaque"], "token_type_hint": ["access_token"]}]
    (headers,) = server.seen_headers
    assert headers["authorization"] == "Basic " + base64.b64encode(b"hms-svc:s3cret").decode()
    assert headers["accept"] == "application/json"
    assert headers["content-type"] == "application/x-www-form-urlencoded"
    assert server.asked == {"/introspect": 1}


def test_id_and_secret_are_form_encoded_before_they_are_joined() -> None:
    name, value = basic("a:b c", "ü%+")
    assert name == "Authorization"
    assert base64.b64decode(value.removeprefix("Basic ")) == b"a%3Ab+c:%C3%BC%25%2B"


def test_any_token_arrives_as_it_is(server: IntrospectionServer, desk: Desk) -> None:
    token = "aZ0-._~+/=="
    server.tokens[token] = {"active": True, "sub": "x"}
    assert desk.ask(server.issuer(), token)["sub"] == "x"


def test_nothing_of_the_environment_is_used(
    server: IntrospectionServer, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert desk.ask(server.issuer()) == ACTIVE


# Where to ask


def test_without_a_url_it_is_discovered_and_kept_for_5_minutes(server: IntrospectionServer, desk: Desk) -> None:
    issuer = server.issuer(discovery=True)
    for _ in range(3):
        assert desk.ask(issuer) == ACTIVE
    assert server.asked == {DISCOVERY: 1, "/introspect": 3}
    desk.clock.advance(300)
    desk.ask(issuer)
    assert server.asked[DISCOVERY] == 2


def test_a_discovered_address_is_for_the_issuer_as_it_is_configured(server: IntrospectionServer, desk: Desk) -> None:
    desk.ask(server.issuer(discovery=True))
    server.answers["/other"] = (200, b'{"active":false}')
    endpoint = IntrospectionEndpoint("hms-svc", "file:secret", f"{server.url}other")
    assert desk.ask(replace(server.issuer(), introspection=endpoint)) == {"active": False}


def test_an_address_may_have_a_query(server: IntrospectionServer, desk: Desk) -> None:
    endpoint = IntrospectionEndpoint("hms-svc", "file:secret", f"{server.url}introspect?realm=a")
    assert desk.ask(replace(server.issuer(), introspection=endpoint)) == ACTIVE
    assert server.asked == {"/introspect?realm=a": 1}


@pytest.mark.parametrize(
    "address",
    ["http://evil.example/x", "ftp://127.0.0.1/", "//x", "", 1, None, "https://u:p@a.example/",
     "https://a.example/\r\nX: y",
     "https://a.example/a b", "https://a.example/é", "https://[/", "https://a.example:99999/", "https://a.example/#a"],
    ids=str,
)  # fmt: skip
def test_a_discovered_address_is_held_to_the_rules(server: IntrospectionServer, desk: Desk, address: object) -> None:
    document = {"issuer": server.url, "introspection_endpoint": address}
    server.answers[DISCOVERY] = (200, json.dumps(document).encode())
    fault = desk.fault_of(server.issuer(discovery=True))
    assert "neither https nor on this machine" in fault or "has no introspection_endpoint" in fault
    assert server.asked == {DISCOVERY: 1}


@pytest.mark.parametrize(
    ("status", "document", "why"),
    [
        (200, b'{"issuer":"https://evil.example/"}', "speaks of another issuer"),
        (200, b"<html>", "cannot be read"),
        (404, b"{}", "is answered with status 404"),
        (302, b"{}", "is answered with status 302"),
    ],
)
def test_a_discovery_document_that_is_none_is_503(
    server: IntrospectionServer, desk: Desk, status: int, document: bytes, why: str
) -> None:
    server.answers[DISCOVERY] = (status, document)
    assert why in desk.fault_of(server.issuer(discovery=True))


# What comes back


@pytest.mark.parametrize("status", [204, 301, 400, 403, 404, 429, 500, 503])
def test_another_status_than_200_is_503_and_does_not_keep_others_from_asking(
    server: IntrospectionServer, desk: Desk, status: int
) -> None:
    server.answers["/introspect"] = (status, b"")
    assert f"status {status}" in desk.fault_of(server.issuer())
    assert server.asked == {"/introspect": 1}
    server.answers.clear()
    assert desk.ask(server.issuer()) == ACTIVE


def test_an_answer_that_is_too_large_is_503(server: IntrospectionServer, desk: Desk) -> None:
    server.answers["/introspect"] = (200, b" " * (MAX_BYTES + 1))
    assert f"over {MAX_BYTES} bytes" in desk.fault_of(server.issuer())


def test_what_is_not_http_is_503() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def babble() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(b"SSH-2.0-x\r\n\r\n")

        thread = threading.Thread(target=babble)
        thread.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/"
        assert "not HTTP" in Desk().fault_of(IntrospectionServerAt(url))
        thread.join()


def IntrospectionServerAt(url: str) -> Issuer:  # noqa: N802  (reads as a value)
    server = IntrospectionServer()
    server.url = url
    return server.issuer()


# Lost connections, and an issuer that is down


def test_a_question_whose_connection_is_lost_is_asked_once_more(server: IntrospectionServer, desk: Desk) -> None:
    server.hang_up = 1
    assert desk.ask(server.issuer()) == ACTIVE
    server.hang_up = 2
    assert "was lost before an answer" in desk.fault_of(server.issuer())
    assert server.asked == {"/introspect": 4}


def test_an_issuer_that_cannot_be_reached_is_left_alone_for_5_seconds(server: IntrospectionServer, desk: Desk) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    gone = IntrospectionServerAt(f"http://127.0.0.1:{port}/")
    assert "no connection to" in desk.fault_of(gone)
    server.hang_up = 2
    desk.fault_of(server.issuer())
    for _ in range(10):
        assert "was lost before an answer" in desk.fault_of(server.issuer())
    assert server.asked == {"/introspect": 2}
    desk.clock.advance(5)
    assert desk.ask(server.issuer()) == ACTIVE


def test_an_issuer_that_is_configured_otherwise_is_asked_at_once(server: IntrospectionServer, desk: Desk) -> None:
    server.hang_up = 2
    desk.fault_of(server.issuer())
    assert desk.ask(replace(server.issuer(), audience=("other",))) == ACTIVE


# The client's own credentials


def test_an_issuer_that_does_not_believe_the_gateway_is_503_and_left_alone(
    server: IntrospectionServer, desk: Desk
) -> None:
    server.answers["/introspect"] = (401, b"{}")
    for _ in range(3):
        fault = desk.fault_of(server.issuer())
        assert "does not believe this gateway (status 401): look at client_id and client_secret" in fault
    assert server.asked == {"/introspect": 1}
    assert desk.secrets.looked_again == 1


def test_a_secret_that_was_changed_counts_at_once(server: IntrospectionServer, desk: Desk) -> None:
    server.basic = basic("hms-svc", "s3cret-2")[1]
    desk.secrets.next_value = "s3cret-2"
    assert desk.ask(server.issuer()) == ACTIVE
    assert desk.ask(server.issuer()) == ACTIVE
    assert desk.secrets.looked_again == 1
    assert server.asked == {"/introspect": 3}


def test_a_secret_that_cannot_be_read_is_503_and_nobody_is_asked(server: IntrospectionServer, desk: Desk) -> None:
    desk.secrets.down = True
    for _ in range(3):
        assert "the secret file:secret cannot be read" in desk.fault_of(server.issuer())
    assert server.asked == {}
    assert desk.secrets.asked == ["file:secret"]
