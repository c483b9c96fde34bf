"""What a user does first, with the installed command in a process of its own."""

from __future__ import annotations

import json
import signal
import socket
from typing import TYPE_CHECKING

import pytest
from running import TOKEN, Running, hms_svc, project_copy, started

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BEARER = {"Authorization": "Bearer demo-user-token"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return project_copy(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module")
def demo(folder: Path) -> Iterator[Running]:
    with started(folder, "--demo", "--routes", "routes.yml", HMS_SVC_TOKEN=TOKEN) as running:
        yield running


def records(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / ".hms-svc" / "audit.jsonl").read_text().splitlines()]


def test_the_start_says_loudly_that_it_is_a_demonstration(demo: Running) -> None:
    assert any("demo tokens are accepted" in line for line in demo.said)
    assert any(line.strip().startswith("curl ") for line in demo.said)


def test_the_public_path_answers_with_the_faq(demo: Running) -> None:
    response = demo.get("/public/faq")
    assert response.status_code == 200
    assert "What is this?" in response.text


def test_the_secure_path_needs_a_token(demo: Running) -> None:
    assert demo.get("/secure/claims").status_code == 401
    assert demo.get("/secure/claims", Authorization="Bearer wrong").status_code == 401
    good = demo.get("/secure/claims", **BEARER)
    assert good.status_code == 200
    assert good.json()["seen_by_the_service"]["Caller"] == "demo-user"


def test_a_caller_without_the_scope_is_told_which(demo: Running) -> None:
    response = demo.get("/secure/claims", Authorization="Bearer demo-guest-token")
    assert response.status_code == 403
    assert "claims:read" in response.json()["detail"]


def test_any_other_path_is_no_such_path(demo: Running) -> None:
    response = demo.get("/no/such/path")
    assert response.status_code == 404
    assert response.json()["detail"] == "No such path"


def test_a_large_upload_is_blocked_by_the_plug_in_however_it_is_sent(demo: Running) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(6):
            yield b"x" * 1024 * 1024

    url = demo.url + "/secure/uploads"
    assert demo.session.post(url, data=b"small", headers=BEARER, timeout=20).status_code == 201
    for data in (b"x" * 6 * 1024 * 1024, chunks()):
        response = demo.session.post(url, data=data, headers=BEARER, timeout=20)
        assert response.status_code == 403
        assert "5 MB" in response.json()["detail"]


def test_a_signed_demo_token_is_verified_like_any_issuers(demo: Running, folder: Path) -> None:
    made = hms_svc("token", "--sub", "alice", "--scope", "claims:read", cwd=folder).stdout.strip()
    good = demo.get("/secure/claims", Authorization=f"Bearer {made}")
    assert good.status_code == 200
    assert good.json()["seen_by_the_service"]["Caller"] == "alice"
    head, payload, _ = made.split(".")
    assert demo.get("/secure/claims", Authorization=f"Bearer {head}.{payload}.AAAA").status_code == 401


def test_an_api_key_is_made_used_and_revoked(demo: Running, folder: Path) -> None:
    key = hms_svc("keys", "create", "try-out", "--owner", "partner", cwd=folder).stdout.strip()
    assert demo.get("/partner/claims/1", **{"X-API-Key": key}).status_code == 200
    assert demo.get("/partner/claims/1", **{"X-API-Key": key[:-1] + "0"}).status_code == 401
    assert key not in (folder / ".hms-svc" / "keys.json").read_text()


def test_an_api_key_in_the_query_works_leaves_no_trace_and_its_use_is_listed(tmp_path: Path) -> None:
    (tmp_path / "routes.yml").write_text(
        "- {path: /faq, auth: api_key, api_key: {query: key}, redirect: {path: /public/faq}}\n"
    )
    key = hms_svc("keys", "create", "n", "--owner", "partner", cwd=tmp_path).stdout.strip()
    with started(tmp_path, "--routes", "routes.yml") as running:
        answer = running.session.get(f"{running.url}/faq?key={key}&a=1", allow_redirects=False, timeout=20)
        code, out, err = running.stop()
    assert (answer.status_code, code) == (302, 0)
    assert answer.headers["Location"].endswith("/public/faq?a=1")
    (listed,) = json.loads(hms_svc("keys", "list", "--format", "json", cwd=tmp_path).stdout)["keys"]
    assert listed["last_used"] is not None
    kept = b"".join(path.read_bytes() for path in sorted(tmp_path.rglob("*")) if path.is_file())
    assert key.encode() not in kept
    assert key not in out + err + "".join(running.said)


def test_the_31st_call_inside_a_minute_is_too_many(folder: Path) -> None:
    with started(folder, "--demo", "--routes", "routes.yml", HMS_SVC_AUDIT="file:.hms-svc/limit.jsonl") as running:
        answers = [running.get("/public/faq") for _ in range(31)]
    assert [answer.status_code for answer in answers] == [200] * 30 + [429]
    assert answers[-1].json()["detail"] == "Too many calls"
    assert int(answers[-1].headers["Retry-After"]) in {1, 2}


def test_every_call_is_on_record_and_no_credential_is(demo: Running, folder: Path) -> None:
    before = len(records(folder))
    demo.get("/public/faq", Cookie="session=hunter2")
    demo.get("/secure/claims?token=hunter2", **BEARER)
    demo.get("/secure/claims", Authorization="Bearer hunter2")
    after = (folder / ".hms-svc" / "audit.jsonl").read_text()
    assert len(after.splitlines()) == before + 3
    assert "hunter2" not in after
    assert "demo-user-token" not in after


def test_started_without_routes_every_call_says_how_to_load_some(folder: Path) -> None:
    with started(folder, HMS_SVC_TOKEN=TOKEN, HMS_SVC_AUDIT="file:.hms-svc/empty.jsonl") as running:
        response = running.get("/public/faq")
        assert response.status_code == 404
        assert "hms-svc reload routes.yml" in response.json()["detail"]
        done = hms_svc("reload", "routes.yml", "--gateway", running.url, cwd=folder, HMS_SVC_TOKEN=TOKEN)
        assert (done.returncode, done.stderr) == (0, "")
        assert "routes.yml is in force" in done.stdout
        assert running.get("/secure/claims", **BEARER).status_code == 401  # no demo token without --demo
        assert running.get("/public/faq").status_code == 502  # and no demo service


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_gracefully(folder: Path, how: signal.Signals) -> None:
    with started(folder, "--demo", HMS_SVC_AUDIT="file:.hms-svc/stop.jsonl") as running:
        running.get("/public/faq")
        code, out, err = running.stop(how)
    assert (code, err) == (0, "")
    assert "the audit record is closed" in out


def test_hup_reads_the_routes_file_again(folder: Path) -> None:
    own = folder / "hup.yml"
    own.write_text("- {path: /a, forward_to: 'http://faq-svc:9000', auth: none}\n")
    with started(folder, "--demo", "--routes", "hup.yml", HMS_SVC_AUDIT="file:.hms-svc/hup.jsonl") as running:
        assert running.get("/b").status_code == 404
        own.write_text("- {path: /b, forward_to: 'http://faq-svc:9000', auth: none}\n")
        running.process.send_signal(signal.SIGHUP)
        assert running.process.stdout is not None
        for line in running.process.stdout:
            if "is in force" in line:
                break
        assert running.get("/b").status_code == 200


def refused_start(folder: Path, *arguments: str, **env: str) -> tuple[int, str]:
    done = hms_svc("start", "--port", "0", *arguments, cwd=folder, **({"HMS_SVC_AUDIT": "file:refused.jsonl"} | env))
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr


def test_a_start_that_cannot_be_is_one_sentence(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = hms_svc("start", "--port", port, cwd=folder, HMS_SVC_AUDIT="file:.hms-svc/port.jsonl")
    assert done.returncode == 2
    assert port in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert refused_start(folder, "--routes", "none.yml")[0] == 2
    assert refused_start(folder, "--policies", "nowhere") == (2, "hms-svc: the policy folder nowhere is not there\n")
    assert refused_start(folder, HMS_SVC_KEYS="dynamodb:keys")[0] == 2
    assert refused_start(folder, HMS_OPS_URL="ftp://x")[0] == 2
    (folder / "broken.yml").write_text("- path: /a\n  forward_to: http://a\n")
    code, said = refused_start(folder, "--routes", "broken.yml")
    assert code == 1
    assert "broken.yml:1:3 routes[0]" in said
    assert "auth" in said


def test_two_gateways_never_write_one_record(demo: Running, folder: Path) -> None:
    assert demo.process.poll() is None
    code, said = refused_start(folder, HMS_SVC_AUDIT="file:.hms-svc/audit.jsonl")
    assert code == 1
    assert "audit.jsonl" in said
