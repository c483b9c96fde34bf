"""Client certificates over real TLS, from the handshake to the service: who gets in, and who does not and why."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import socket
import ssl
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from authority import Authority, certificate_pem, client_context, localhost
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from doors import Door
from wires import client, patiently
from worlds import OwnedClock

from hms_svc.core.config import (
    CertificateRule,
    ClientCertificates,
    Forward,
    Requirements,
    RevokedCertificate,
    Route,
    Target,
)
from hms_svc.core.credentials.x509 import from_pem
from hms_svc.local.authority_file import AuthorityFile
from hms_svc.local.crl_file import CrlFile
from hms_svc.local.http.server import Server
from hms_svc.local.tls import server_context

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

TO_SERVICE = Forward((Target("http", "svc", 80),))
MTLS = Route(name="partners", path="/*", action=TO_SERVICE, auth=("mtls",))
DAY = dt.timedelta(days=1)
VERSIONS = pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
NO_HANDSHAKE = 0


class Site:
    """A gateway on TLS, its authority and its clients."""

    def __init__(self, folder: Path, *, crl: bool = False, **config: Any) -> None:
        self.folder = folder
        self.authority = Authority(folder, "Agency CA")
        self.crl = folder / "lists.pem"
        self.clock = OwnedClock(int(dt.datetime.now(dt.UTC).timestamp() * 1e9))
        lists = CrlFile(self.crl, self.authority.file, self.clock) if crl else None
        trusted = AuthorityFile(self.authority.file, self.clock)
        route = config.pop("route", MTLS)
        self.around = Door(route, clock=self.clock, revocations=lists, authorities=trusted, **config)
        self.server_file = Authority(folder, "Server CA").issue("server", sans=localhost())
        self.version = ssl.TLSVersion.TLSv1_3

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[int]:
        server = Server(self.around.gateway, tls=server_context(self.server_file, None, self.authority.file))
        _, port = await server.start("127.0.0.1", 0)
        try:
            yield port
        finally:
            await server.drain(1.0)

    def context(self, certificate: Path | None) -> ssl.SSLContext:
        context = client_context(self.folder / "Server CA.pem", certificate)
        context.minimum_version = context.maximum_version = self.version
        return context

    def ask(self, certificate: Path | None, *lines: str) -> int:
        """The status of the answer, or that the handshake failed."""
        head = "".join(f"{line}\r\n" for line in ("GET / HTTP/1.1", "Host: x", *lines, ""))
        statuses: list[int] = []

        async def main() -> None:
            try:
                async with self.open() as port, client(port, ssl=self.context(certificate)) as one:
                    one.send(head.encode())
                    statuses.append((await one.answer()).status)
            except (ssl.SSLError, ConnectionError, asyncio.IncompleteReadError):
                statuses.append(NO_HANDSHAKE)

        patiently(main())
        return statuses[0]

    def cause(self) -> str:
        """Why the last call was refused, as the record has it."""
        return str(self.around.records[-1]["unmapped"]["hms"]["cause"])

    def caller(self) -> tuple[str, str]:
        """Who the service was told calls."""
        headers = self.around.upstream.seen[-1].headers
        return headers.get("X-HMS-Caller", ""), headers.get("X-HMS-Scopes", "")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@VERSIONS
def test_a_certificate_of_the_authority_names_the_caller(site: Site, version: ssl.TLSVersion) -> None:
    site.version = version
    assert site.ask(site.authority.issue("batch", usages=[ExtendedKeyUsageOID.CLIENT_AUTH])) == 200
    assert site.caller() == ("CN=batch,O=Agency", "")


@VERSIONS
def test_without_a_certificate_the_answer_is_401(site: Site, version: ssl.TLSVersion) -> None:
    site.version = version
    assert site.ask(None) == 401
    assert site.cause() == "no client certificate"


BAD: dict[str, dict[str, Any]] = {
    "expired": {"starts": -2 * DAY, "ends": -DAY / 24},
    "not yet valid": {"starts": DAY / 24, "ends": DAY},
    "for servers only": {"usages": [ExtendedKeyUsageOID.SERVER_AUTH]},
    "for any use": {"usages": [ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]},
}


@VERSIONS
@pytest.mark.parametrize("case", BAD)
def test_a_bad_certificate_does_not_get_through_the_handshake(site: Site, version: ssl.TLSVersion, case: str) -> None:
    site.version = version
    assert site.ask(site.authority.issue("batch", **BAD[case])) == NO_HANDSHAKE
    assert site.around.records == []


@pytest.mark.parametrize("case", ["for servers only", "for any use"])
def test_what_the_handshake_takes_for_no_clients_is_none_at_any_door(site: Site, case: str) -> None:
    assert not from_pem(certificate_pem(site.authority.issue("batch", **BAD[case]))).for_clients


@VERSIONS
def test_a_certificate_of_a_namesake_does_not_get_through_the_handshake(
    site: Site, version: ssl.TLSVersion, tmp_path: Path
) -> None:
    site.version = version
    (tmp_path / "evil").mkdir()
    assert site.ask(Authority(tmp_path / "evil", "Agency CA").issue("batch")) == NO_HANDSHAKE


@VERSIONS
def test_an_authority_between_is_believed_with_its_certificate(
    site: Site, version: ssl.TLSVersion, tmp_path: Path
) -> None:
    site.version = version
    between = Authority(tmp_path, "Between", above=site.authority)
    assert site.ask(between.issue("batch", chain=between.pem)) == 200
    assert site.ask(between.issue("batch")) == NO_HANDSHAKE
    no_authority = certificate_pem(site.authority.issue("nobody")).encode()
    assert site.ask(Authority(tmp_path, "nobody").issue("batch", chain=no_authority)) == NO_HANDSHAKE


def test_a_connection_that_outlives_its_certificate_is_refused(site: Site) -> None:
    file = site.authority.issue("batch")
    statuses: list[int] = []

    async def main() -> None:
        async with site.open() as port, client(port, ssl=site.context(file)) as one:
            for _ in range(2):
                one.send(GET)
                statuses.append((await one.answer()).status)
                site.clock.advance(2 * 86_400)

    patiently(main())
    assert statuses == [200, 401]
    assert site.cause().startswith("the client certificate expired ")


@VERSIONS
def test_a_resumed_session_keeps_its_certificate(site: Site, version: ssl.TLSVersion) -> None:
    site.version = version
    context = site.context(site.authority.issue("batch"))
    resumed: list[bool | None] = []

    def call(port: int, session: ssl.SSLSession | None) -> ssl.SSLSession | None:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=5) as plain,
            context.wrap_socket(plain, server_hostname="localhost", session=session) as one,
        ):
            one.sendall(GET)
            assert one.recv(65_536).startswith(b"HTTP/1.1 200 ")
            resumed.append(one.session_reused)
            return one.session

    async def main() -> None:
        async with site.open() as port:
            session = await asyncio.to_thread(call, port, None)
            await asyncio.to_thread(call, port, session)

    patiently(main())
    assert resumed == [False, True]
    assert [seen.headers["X-HMS-Caller"] for seen in site.around.upstream.seen] == ["CN=batch,O=Agency"] * 2


def test_a_revoked_certificate_is_refused_by_its_serial_number(tmp_path: Path) -> None:
    revoked = frozenset({RevokedCertificate("1267", "CN=Agency CA,O=Agency")})
    site = Site(tmp_path, client_certificates=ClientCertificates(revoked=revoked))
    assert site.ask(site.authority.issue("batch", serial=0x1267)) == 401
    assert site.cause() == "the client certificate 1267 is revoked in routes.yml"
    assert site.ask(site.authority.issue("other", serial=0x1268)) == 200


def test_a_revoked_certificate_is_refused_by_the_authoritys_list(tmp_path: Path) -> None:
    site = Site(tmp_path, crl=True)
    batch, other = site.authority.issue("batch", serial=7), site.authority.issue("other", serial=8)
    site.crl.write_bytes(site.authority.crl(7))
    assert (site.ask(batch), site.ask(other)) == (401, 200)
    assert site.around.records[-2]["unmapped"]["hms"]["cause"] == (
        "the client certificate 07 is revoked by an authority's list"
    )


def test_what_a_revoked_authority_signed_is_refused_though_its_name_goes_on_with_a_new_key(tmp_path: Path) -> None:
    site = Site(tmp_path, crl=True)
    root = site.authority
    (tmp_path / "new").mkdir()
    old = Authority(tmp_path, "Issuing", above=root, serial=0xBAD)
    new = Authority(tmp_path / "new", "Issuing", above=root, serial=0x600D)
    site.crl.write_bytes(root.crl(0xBAD) + new.crl())
    for bundle, status in ((root.pem + new.pem, 503), (root.pem + old.pem + new.pem, 401)):
        root.file.write_bytes(bundle)
        site.clock.advance(1)
        assert site.ask(new.issue("batch", chain=new.pem)) == 200
        assert site.ask(old.issue("batch", chain=old.pem)) == status


def test_while_there_is_no_good_list_nobody_gets_in_by_certificate(tmp_path: Path) -> None:
    site = Site(tmp_path, crl=True)
    batch = site.authority.issue("batch", serial=7)
    assert site.ask(batch) == 503
    assert site.cause().endswith("lists.pem cannot be read: No such file or directory")
    site.crl.write_bytes(site.authority.crl(ends=-DAY / 24))
    site.clock.advance(1)
    assert site.ask(batch) == 503
    assert site.cause().startswith("the revocation list of CN=Agency CA,O=Agency is ")
    site.crl.write_bytes(Authority(tmp_path, "Other").crl())
    site.clock.advance(1)
    assert site.ask(batch) == 503
    assert site.ask(None) == 401


def test_a_rule_gives_a_certificate_its_name_and_scopes(tmp_path: Path) -> None:
    rule = CertificateRule("dns", "batch.agency.example", "batch-team", frozenset({"claims:read"}))
    route = Route(
        name="r", path="/*", action=TO_SERVICE, auth=("mtls",), require=Requirements(frozenset({"claims:read"}))
    )
    site = Site(tmp_path, route=route, client_certificates=ClientCertificates(name="cn", callers=(rule,)))
    assert site.ask(site.authority.issue("batch", sans=[x509.DNSName("Batch.agency.example")])) == 200
    assert site.caller() == ("batch-team", "claims:read")
    assert site.ask(site.authority.issue("other", sans=[x509.RFC822Name("a@batch.agency.example")])) == 403


FORGED = ["X-Client-Cert", "X-SSL-Client-Cert", "X-Forwarded-Client-Cert", "Client-Cert", "X-Amzn-Mtls-Clientcert"]


@pytest.mark.parametrize("name", FORGED)
def test_a_field_that_speaks_of_a_certificate_is_not_believed(site: Site, name: str) -> None:
    other = site.authority.issue("batch")
    line = f"{name}: {quote(certificate_pem(other))}"
    assert site.ask(None, line, f"{name}-Subject: CN=batch,O=Agency") == 401
    assert site.ask(site.authority.issue("me"), line) == 200
    assert site.caller() == ("CN=me,O=Agency", "")


def test_what_the_service_is_told_is_what_the_certificate_says(site: Site) -> None:
    file = site.authority.issue("batch")
    assert site.ask(file, "X-HMS-Caller: boss", "X_HMS_Caller: boss") == 200
    assert site.caller()[0] == from_pem(certificate_pem(file)).subject


# Authorities that name themselves like others

OF_AGENCY = ClientCertificates(
    callers=(CertificateRule("cn", "batch", "batch-team", frozenset({"a"}), issuer="CN=Agency CA,O=Agency"),)
)


def partner_and_namesake(site: Site) -> tuple[Authority, Authority]:
    """Another authority that the door believes, and one below it that is called like the first."""
    partner = Authority(site.folder, "Partner")
    site.authority.file.write_bytes(site.authority.pem + partner.pem)
    (site.folder / "below").mkdir()
    return partner, Authority(site.folder / "below", "Agency CA", above=partner)


@VERSIONS
def test_a_rule_for_one_authority_is_for_what_that_one_has_signed(tmp_path: Path, version: ssl.TLSVersion) -> None:
    site = Site(tmp_path, client_certificates=OF_AGENCY)
    site.version = version
    partner, namesake = partner_and_namesake(site)
    assert site.ask(site.authority.issue("batch")) == 200
    assert site.caller() == ("batch-team", "a")
    assert site.ask(namesake.issue("batch", chain=namesake.pem)) == 401
    assert site.cause() == "the client certificate fits none of client_certificates.callers"
    assert site.ask(partner.issue("batch")) == 401


def test_a_certificate_is_revoked_by_its_serial_number_whoever_signs_in_the_issuers_name(tmp_path: Path) -> None:
    revoked = frozenset({RevokedCertificate("07", "CN=Agency CA,O=Agency")})
    site = Site(tmp_path, client_certificates=ClientCertificates(revoked=revoked))
    _, namesake = partner_and_namesake(site)
    assert site.ask(site.authority.issue("batch", serial=7)) == 401
    assert site.ask(namesake.issue("batch", serial=7, chain=namesake.pem)) == 401
    assert site.ask(namesake.issue("batch", serial=8, chain=namesake.pem)) == 200
