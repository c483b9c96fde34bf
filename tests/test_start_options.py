"""What `hms-svc start` can be told: TLS, client certificates, name resolution, an admin port."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import pytest
import requests
from authority import Authority, localhost
from running import TOKEN, hms_svc, project_copy, started

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return project_copy(tmp_path)


def test_a_client_certificate_opens_what_a_key_opens(folder: Path) -> None:
    authority = Authority(folder)
    server = authority.issue("localhost", sans=localhost())
    client = authority.issue("claims-batch")
    options = ("--tls-cert", str(server), "--client-ca", str(authority.file))
    with started(folder, "--demo", "--routes", "routes.yml", *options) as running:
        assert running.url.startswith("https://")
        url = running.url.replace("127.0.0.1", "localhost") + "/partner/claims/1"
        ca = str(authority.file)
        shown = requests.get(url, verify=ca, cert=str(client), timeout=20)
        assert shown.status_code == 200
        assert "claims-batch" in shown.json()["seen_by_the_service"]["Caller"]
        assert shown.json()["seen_by_the_service"]["Auth"] == "mtls"
        assert requests.get(url, verify=ca, timeout=20).status_code == 401
        told = requests.get(url, verify=ca, headers={"X-Client-Cert": client.read_text().splitlines()[1]}, timeout=20)
        assert told.status_code == 401


def test_a_revocation_list_is_read_again_while_the_gateway_runs(folder: Path) -> None:
    authority = Authority(folder)
    server = authority.issue("localhost", sans=localhost())
    client = authority.issue("claims-batch", serial=7)
    crl = folder / "lists.pem"
    crl.write_bytes(authority.crl())
    options = ("--tls-cert", str(server), "--client-ca", str(authority.file), "--client-crl", str(crl))
    with started(folder, "--demo", "--routes", "routes.yml", *options) as running:
        url = running.url.replace("127.0.0.1", "localhost") + "/partner/claims/1"

        def status() -> int:
            return requests.get(url, verify=str(authority.file), cert=str(client), timeout=20).status_code

        def becomes(wanted: int) -> bool:
            deadline = time.monotonic() + 10
            while (found := status()) != wanted and time.monotonic() < deadline:
                pass
            return found == wanted

        assert status() == 200
        crl.write_bytes(authority.crl(7))
        assert becomes(401)
        crl.write_bytes(b"no list")
        assert becomes(503)


def test_the_admin_interface_can_have_a_port_of_its_own(folder: Path) -> None:
    with started(folder, "--admin-port", "0", HMS_SVC_TOKEN=TOKEN) as running:
        admin = re.search(r"admin +(http://127\.0\.0\.1:\d+)/_hms/", "".join(running.said))
        assert admin
        done = hms_svc("reload", "routes.yml", "--gateway", admin[1], cwd=folder, HMS_SVC_TOKEN=TOKEN)
        assert done.returncode == 0
        bearer = {"Authorization": f"Bearer {TOKEN}"}
        assert requests.get(f"{admin[1]}/_hms/routes", headers=bearer, timeout=20).status_code == 200
        assert running.get("/_hms/routes", **bearer).status_code == 404
        assert running.get("/_hms/health").status_code == 200
        listed = hms_svc("routes", "--gateway", admin[1], cwd=folder, HMS_SVC_TOKEN=TOKEN).stdout
        assert "/public/faq" in listed


def test_a_services_name_can_be_led_elsewhere(folder: Path) -> None:
    (folder / "own.yml").write_text("- {path: /a, forward_to: 'http://far.example:80', auth: none}\n")
    with started(folder, "--demo", HMS_SVC_AUDIT="file:one.jsonl") as first:
        port = first.url.rpartition(":")[2]
        there = ("--routes", "own.yml", "--resolve", f"far.example=127.0.0.1:{port}")
        with started(folder, *there, HMS_SVC_AUDIT="file:two.jsonl") as running:
            assert running.get("/a").status_code == 404  # the first gateway's own, which has no routes
            assert "no routes are loaded" in running.get("/a").json()["detail"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--resolve", "far.example"), "--resolve takes HOST=IP or HOST=IP:PORT, not far.example"),
        (("--resolve", "a=b"), "--resolve takes HOST=IP or HOST=IP:PORT, not a=b"),
        (("--resolve", "a=127.0.0.1:0"), "--resolve takes HOST=IP or HOST=IP:PORT, not a=127.0.0.1:0"),
        (("--client-ca", "ca.pem"), "--tls-key and --client-ca go with --tls-cert"),
        (("--client-crl", "lists.pem"), "--client-crl (HMS_SVC_CRL) goes with --client-ca, whose authorities sign"),
        (("--tls-cert", "none.pem"), "cannot read none.pem: there is no such file"),
        (("--tls-cert", "routes.yml"), "the certificate, its key or the client authority cannot be used"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_exit_code_2(folder: Path, options: tuple[str, ...], said: str) -> None:
    done = hms_svc("start", "--port", "0", *options, cwd=folder)
    assert done.returncode == 2
    assert done.stderr.startswith(f"hms-svc: {said}")
    assert len(done.stderr.splitlines()) == 1
