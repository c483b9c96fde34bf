from __future__ import annotations

import socket
import ssl
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from authority import Authority, localhost
from fakes_credentials import IssuerServer, ec_jwk, ec_key

from hms_svc.local.bounded_get import BoundedGet, FetchFailed, brought_along, is_allowed, is_as_safe
from hms_svc.local.tls import server_context

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEY = ec_jwk(ec_key())


@pytest.fixture
def server() -> Iterator[IssuerServer]:
    with IssuerServer(KEY) as running:
        yield running


def fault_of(url: str, budget_s: float = 10.0, ca_file: Path | None = None) -> str:
    with pytest.raises(FetchFailed) as failed:
        BoundedGet(budget_s, ca_file)(url)
    return str(failed.value)


@contextmanager
def dripping(begins: bytes, drop: bytes) -> Iterator[str]:
    """A server that begins an answer and then sends a little of it every now and then, for ever."""
    listener = socket.create_server(("127.0.0.1", 0))
    stop = threading.Event()

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65_536)
            try:
                connection.sendall(begins)
                while not stop.wait(0.02):
                    connection.sendall(drop)
            except OSError:
                pass

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/jwks"
    finally:
        stop.set()
        thread.join()
        listener.close()


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://login.agency.example/jwks", True),
        ("https://login.agency.example:8443/jwks?a=b", True),
        ("http://127.0.0.1:9000/jwks", True),
        ("http://127.8.8.8/jwks", True),
        ("http://[::1]:9000/jwks", True),
        ("http://localhost/jwks", True),
        ("http://login.agency.example/jwks", False),
        ("http://localhost.evil.example/jwks", False),
        ("http://127.0.0.1.evil.example/jwks", False),
        ("http://169.254.169.254/latest", False),
        ("http://0.0.0.0/jwks", False),
        ("https://user:password@login.agency.example/jwks", False),
        ("https://login.agency.example/jwks#part", False),
        ("https:///jwks", False),
        ("https://[::1/jwks", False),
        ("https://a:b/jwks", False),
        ("file:///etc/passwd", False),
        ("", False),
    ],
)
def test_keys_come_over_tls_or_from_this_machine(url: str, *, allowed: bool) -> None:
    assert is_allowed(url) is allowed


@pytest.mark.parametrize(
    ("begins", "drop"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b" "),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
        (b"HTTP/1.1 200 OK\r\nX-Slow: ", b"a"),
        (b"HTTP/1.1 ", b"2"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"T: a\r\n"),
    ],
    ids=["body", "chunks", "field", "status", "interim", "trailer"],
)
def test_an_answer_that_drips_in_is_given_up_when_its_time_is_over(begins: bytes, drop: bytes) -> None:
    with dripping(begins, drop) as url:
        assert fault_of(url, 0.3) == "/jwks did not come in time"


def test_a_server_that_says_nothing_is_given_up_too() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert fault_of(f"http://127.0.0.1:{port}/jwks", 0.2) == "/jwks did not come in time"
        assert fault_of(f"https://127.0.0.1:{port}/jwks", 0.2) == "/jwks did not come in time"


def test_what_follows_a_slow_answer_has_only_the_time_that_is_left(server: IssuerServer) -> None:
    get = BoundedGet(0.2)
    with dripping(b"", b"") as url, pytest.raises(FetchFailed):
        get(url)
    with pytest.raises(FetchFailed, match="did not come in time"):
        get(f"{server.url}jwks")
    assert server.asked == {}


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_within_the_origin_is_followed(server: IssuerServer, status: int) -> None:
    server.answers["/a"] = (status, b"")
    server.headers["Location"] = "/jwks"
    answer = BoundedGet(10)(f"{server.url}a")
    assert answer.url == f"{server.url}jwks"
    assert answer.body == server.answer("/jwks")[1]


def test_a_third_redirect_is_the_last_one(server: IssuerServer) -> None:
    server.answers["/jwks"] = (302, b"")
    server.headers["Location"] = "jwks"
    assert fault_of(f"{server.url}jwks") == "/jwks comes after more than 3 redirects"
    assert server.asked == {"/jwks": 4}


@pytest.mark.parametrize(
    "location",
    [
        "http://localhost/jwks",
        "https://127.0.0.1/jwks",
        "//evil.example/jwks",
        "http://127.0.0.1:1/",
        "file:///etc/passwd",
    ],
)
def test_a_redirect_to_another_origin_is_not_followed(server: IssuerServer, location: str) -> None:
    server.answers["/jwks"] = (302, b"")
    server.headers["Location"] = location
    assert fault_of(f"{server.url}jwks") == "/jwks redirects to another origin, where nobody follows"
    assert server.asked == {"/jwks": 1}


@pytest.mark.parametrize("location", ["http://[", "http://127.0.0.1:x/"])
def test_a_redirect_that_cannot_be_read_is_not_followed(server: IssuerServer, location: str) -> None:
    server.answers["/jwks"] = (302, b"")
    server.headers["Location"] = location
    assert fault_of(f"{server.url}jwks") == "/jwks redirects to another origin, where nobody follows"


def test_a_redirect_without_a_place_is_a_failure(server: IssuerServer) -> None:
    server.answers["/jwks"] = (302, b"")
    assert fault_of(f"{server.url}jwks") == "/jwks is answered with status 302"


@pytest.mark.parametrize(
    "answer",
    [b"junk\r\n\r\n", b"", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n"],
    ids=["junk", "nothing", "chunk"],
)
def test_what_is_no_http_is_a_failure(answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        fault = fault_of(f"http://127.0.0.1:{listener.getsockname()[1]}/jwks")
        thread.join()
    assert fault.startswith("fetching /jwks failed with ")


def test_an_answer_too_large_is_not_read_to_its_end(server: IssuerServer) -> None:
    server.answers["/jwks"] = (200, b" " * 524_289)
    assert fault_of(f"{server.url}jwks") == "the answer is larger than 524288 bytes"


def test_a_compressed_answer_is_not_unpacked(server: IssuerServer) -> None:
    server.headers["Content-Encoding"] = "gzip"
    assert fault_of(f"{server.url}jwks") == "the answer is compressed, which was not asked for"


def test_nobody_listening_is_a_failure() -> None:
    with IssuerServer() as server:
        url = f"{server.url}jwks"
    assert fault_of(url) == "fetching /jwks failed with ConnectionRefusedError"


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/a b", "http://127.0.0.1:1/\N{SNOWMAN}", "https://\N{SNOWMAN}..a/"])
def test_an_address_that_cannot_be_asked_is_a_failure(url: str) -> None:
    assert "failed with" in fault_of(url)


def test_nothing_of_the_environment_goes_along(
    server: IssuerServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login a password b\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    server.answers["/jwks?a=b"] = (200, b"{}")
    BoundedGet(10)(f"{server.url}jwks?a=b")
    [headers] = server.seen_headers
    assert headers == {
        "host": server.url.removeprefix("http://").removesuffix("/"),
        "accept": "application/json",
        "accept-encoding": "identity",
        "connection": "close",
    }
    assert server.asked == {"/jwks?a=b": 1}


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def over_tls(authority: Authority) -> Iterator[IssuerServer]:
    server = IssuerServer(KEY)
    server.tls = server_context(authority.issue("issuer", sans=localhost()), None, None)
    with server:
        yield server


def test_a_certificate_is_verified_against_the_authorities(over_tls: IssuerServer, authority: Authority) -> None:
    answer = BoundedGet(10, authority.file)(f"{over_tls.url}jwks")
    assert answer.body == over_tls.answer("/jwks")[1]
    assert fault_of(f"{over_tls.url}jwks") == "fetching /jwks failed with SSLCertVerificationError"


def test_the_authorities_are_those_of_the_system(
    over_tls: IssuerServer, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    assert BoundedGet(10)(f"{over_tls.url}jwks").body == over_tls.answer("/jwks")[1]


def test_where_the_system_has_none_there_are_some_brought_along() -> None:
    assert b"BEGIN CERTIFICATE" in brought_along().read_bytes()


@pytest.mark.parametrize(
    ("url", "issuer", "safe"),
    [
        ("https://keys.example/", "https://a.example/", True),
        ("HTTPS://keys.example/", "https://a.example/", True),
        ("http://127.0.0.1/", "https://a.example/", False),
        ("http://localhost/", "https://a.example/", False),
        ("http://127.0.0.1/", "http://127.0.0.1:1/", True),
    ],
)
def test_an_issuer_over_tls_names_addresses_over_tls(url: str, issuer: str, *, safe: bool) -> None:
    assert is_as_safe(url, issuer) is safe


def test_a_certificate_of_another_name_is_not_believed(authority: Authority) -> None:
    server = IssuerServer(KEY)
    server.tls = server_context(authority.issue("elsewhere", sans=[]), None, None)
    with server:
        fault = fault_of(f"{server.url}jwks", ca_file=authority.file)
    assert fault == "fetching /jwks failed with SSLCertVerificationError"


def test_old_versions_of_tls_are_not_spoken(authority: Authority) -> None:
    server = IssuerServer(KEY)
    server.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.tls.load_cert_chain(authority.issue("issuer", sans=localhost()))
    server.tls.set_ciphers("ALL:@SECLEVEL=0")
    server.tls.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        server.tls.maximum_version = ssl.TLSVersion.TLSv1_1
    with server:
        assert "failed with SSL" in fault_of(f"{server.url}jwks", ca_file=authority.file)
