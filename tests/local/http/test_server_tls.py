"""The door on TLS: the client's certificate reaches the journey, verified, or the handshake fails."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING

import pytest
from authority import Authority, certificate_pem, client_context, localhost
from cryptography import x509
from wires import OpenDoor, ask, client, patiently, serving

from hms_svc.core.credentials.x509 import from_pem
from hms_svc.local.tls import server_context

if TYPE_CHECKING:
    from pathlib import Path

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


def test_a_client_certificate_is_shown_to_the_journey(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    server = authority.issue("server", sans=localhost())
    sans: list[x509.GeneralName] = [
        x509.DNSName("batch.agency.example"),
        x509.UniformResourceIdentifier("spiffe://agency/batch"),
    ]
    mine = authority.issue("claims-batch", serial=0xC0FFEE, sans=sans)
    door = OpenDoor()

    async def main() -> None:
        context = server_context(server, None, authority.file)
        async with (
            serving(door, tls=context) as port,
            client(port, ssl=client_context(authority.file, mine)) as one,
        ):
            for _ in range(2):
                one.send(GET)
                assert (await one.answer()).status == 200

    patiently(main())
    assert {seen.scheme for seen in door.seen} == {"https"}
    seen = door.seen[0].certificate
    assert seen is not None
    assert seen == from_pem(certificate_pem(mine))
    assert (seen.subject, seen.serial, seen.issuer) == ("CN=claims-batch,O=Agency", "C0FFEE", "CN=Test CA,O=Agency")
    assert seen.sans == ("DNS:batch.agency.example", "URI:spiffe://agency/batch")
    assert door.seen[0].certificate is door.seen[1].certificate


def test_a_client_without_a_certificate_is_let_through_as_nobody(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    server = authority.issue("server", sans=localhost())
    door = OpenDoor()

    async def main() -> None:
        context = server_context(server, None, authority.file)
        async with serving(door, tls=context) as port, client(port, ssl=client_context(authority.file)) as one:
            one.send(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
            assert (await one.answer()).status == 200
            assert await one.rest() == b""

    patiently(main())
    assert [seen.certificate for seen in door.seen] == [None]


def test_a_certificate_of_another_authority_never_reaches_the_door(tmp_path: Path) -> None:
    (tmp_path / "others").mkdir()
    authority, other = Authority(tmp_path), Authority(tmp_path / "others")
    server = authority.issue("server", sans=localhost())
    door = OpenDoor()

    async def main() -> None:
        context = server_context(server, None, authority.file)
        async with serving(door, tls=context) as port:
            with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
                await ask(port, GET, ssl=client_context(authority.file, other.issue("mallory")))

    patiently(main())
    assert door.seen == []


def test_a_refused_upload_over_tls_is_answered(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    server = authority.issue("server", sans=localhost())

    async def main() -> None:
        context = server_context(server, None, None)
        async with serving(OpenDoor(), tls=context) as port, client(port, ssl=client_context(authority.file)) as one:
            one.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5000000\r\n\r\n" + b"x" * 5_000_000)
            assert (await one.answer()).status == 413

    patiently(main())
