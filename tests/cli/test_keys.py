from __future__ import annotations

import json
import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from hms_svc.cli.keys import app
from hms_svc.core.credentials.api_keys import sha256_of
from hms_svc.core.ports import ApiKey
from hms_svc.local import key_document
from hms_svc.local.key_file import KeyFile
from hms_svc.local.system import SystemClock

if TYPE_CHECKING:
    from pathlib import Path

    from typer.testing import Result


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HMS_SVC_KEYS", raising=False)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def create(*more: str) -> str:
    result = run("create", "nightly", "--owner", "batch-team", *more)
    assert (result.exit_code, result.exception) == (0, None)
    return result.stdout.strip()


def keys_of(folder: Path) -> KeyFile:
    return KeyFile(folder / ".hms-svc" / "keys.json", SystemClock())


def listed(*more: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(run("list", "--format", "json", *more).stdout)["keys"]
    return found


def test_a_new_key_stands_alone_on_standard_output(tmp_path: Path) -> None:
    result = run("create", "nightly", "--owner", "batch-team", "--scope", "claims:read", "--scope", "a")
    assert re.fullmatch(r"hms_[0-9A-Za-z]{49}\n", result.stdout)
    assert "batch-team's until 20" in result.stderr
    assert "with the scopes a claims:read" in result.stderr
    assert result.stdout.strip() not in result.stderr
    kept = (tmp_path / ".hms-svc" / "keys.json").read_text()
    assert sha256_of(result.stdout.strip()) in kept
    assert result.stdout.strip() not in kept


def test_keys_are_listed_as_text_for_a_pipe() -> None:
    create("--scope", "claims:read")
    header, row = run("list").stdout.splitlines()
    assert header.split("\t") == ["id", "name", "owner", "scopes", "state", "expires", "last used"]
    assert row.split("\t")[1:5] == ["nightly", "batch-team", "claims:read", "active"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", row.split("\t")[5])
    assert row.split("\t")[6] == "never"


def test_the_last_use_is_listed_as_its_day_and_in_json_as_its_hour(tmp_path: Path) -> None:
    create()
    (key,) = keys_of(tmp_path).all().keys
    assert listed()[0]["last_used"] is None
    keys_of(tmp_path).note_uses([(key, 1_799_999_999 // 3_600 * 3_600)])
    assert listed()[0]["last_used"] == "2027-01-15T07:00:00Z"
    assert run("list").stdout.splitlines()[1].split("\t")[6] == "2027-01-15"


def moment(text: str | None) -> datetime:
    assert text is not None
    return datetime.fromisoformat(text)


def test_a_rotated_key_has_a_successor_and_works_until_the_overlap_is_over() -> None:
    old_key = create("--scope", "claims:read", "--expires", "90d", "--plan", "gold")
    [before] = listed()
    assert before["plan"] == "gold"
    result = run("rotate", before["id"], "--overlap", "2d")
    assert (result.exit_code, result.exception) == (0, None)
    old, new = listed()
    assert sha256_of(result.stdout.strip()) != sha256_of(old_key)
    same = ("name", "owner", "scopes", "plan", "state")
    assert [new[part] for part in same] == [before[part] for part in same]
    assert moment(new["expires"]) - moment(new["created"]) == timedelta(days=90)
    assert moment(old["expires"]) - moment(new["created"]) == timedelta(days=2)
    assert old["state"] == "active"
    assert result.stderr.splitlines() == [
        f"{new['id']} is batch-team's until {new['expires']}. This is the only time the key is shown:",
        f"{old['id']}, which it replaces, works until {old['expires']}",
    ]


@pytest.mark.parametrize("expires", ["1h", "never"])
def test_the_old_key_never_works_longer_than_it_would_have(expires: str) -> None:
    create("--expires", expires)
    [before] = listed()
    assert run("rotate", before["id"]).exit_code == 0
    old, new = listed()
    if expires == "never":
        assert new["expires"] is None
        assert moment(old["expires"]) - moment(new["created"]) == timedelta(days=7)
    else:
        assert old["expires"] == before["expires"]


def test_without_an_overlap_the_old_key_is_refused_at_once() -> None:
    create()
    result = run("rotate", listed()[0]["id"], "--overlap", "0")
    assert [row["state"] for row in listed()] == ["expired", "active"]
    assert result.stderr.endswith(", which it replaces, is refused from now on\n")


def test_a_key_that_works_no_more_cannot_be_rotated() -> None:
    create()
    key_id = listed()[0]["id"]
    run("rotate", key_id, "--overlap", "0")
    result = run("rotate", key_id)
    assert (result.exit_code, result.stdout) == (1, "")
    cannot = "cannot be rotated; make a key with `hms-svc keys create`\n"
    assert result.stderr == f"hms-svc: {key_id} is expired and {cannot}"
    run("revoke", key_id)
    assert run("rotate", key_id).stderr == f"hms-svc: {key_id} is revoked and {cannot}"
    assert run("rotate", "key-9").stderr.startswith("hms-svc: there is no key with the id key-9")
    assert len(listed()) == 2


def test_last_uses_that_cannot_be_read_are_said_and_keep_nobody_from_a_key(tmp_path: Path) -> None:
    create()
    (tmp_path / ".hms-svc" / "keys.json.used").write_text("x")
    as_text, as_json = run("list"), run("list", "--format", "json")
    for result in (as_text, as_json):
        assert result.exit_code == 1
        (line,) = result.stderr.splitlines()
        assert "keys.json.used cannot be understood: it is not JSON at character 0; remove the file" in line
    (row,) = json.loads(as_json.stdout)["keys"]
    assert (row["state"], row["last_used"]) == ("active", "unknown")
    assert as_text.stdout.splitlines()[1].split("\t")[6] == "unknown"
    assert run("rotate", row["id"]).exit_code == 0
    assert run("revoke", row["id"]).exit_code == 0


def test_keys_are_listed_as_json_without_their_hashes() -> None:
    key = create()
    [row] = listed()
    assert (row["name"], row["owner"], row["scopes"], row["state"]) == ("nightly", "batch-team", [], "active")
    assert sha256_of(key) not in json.dumps(row)


def test_a_key_expires_in_90_days_unless_told_otherwise() -> None:
    create()
    create("--expires", "never")
    usual, forever = listed()
    assert usual["expires"] > usual["created"]
    assert forever["expires"] is None


def test_a_revoked_key_stays_in_the_list() -> None:
    create()
    [row] = listed()
    result = run("revoke", row["id"])
    assert (result.exit_code, result.stdout.split(" is revoked")[0]) == (0, f"{row['id']} (nightly, batch-team)")
    [after] = listed()
    assert after["state"] == "revoked"
    assert run("revoke", row["id"]).exit_code == 0
    assert listed() == [after]


def test_revoking_an_unknown_key_is_one_sentence_and_exit_code_1() -> None:
    result = run("revoke", "key-9")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "hms-svc: there is no key with the id key-9; `hms-svc keys list` shows them\n"


def test_the_store_is_the_one_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    create("--store", "file:here.json")
    monkeypatch.setenv("HMS_SVC_KEYS", "file:there.json")
    create()
    assert (tmp_path / "here.json").is_file()
    assert (tmp_path / "there.json").is_file()
    assert len(listed("--store", "file:here.json")) == 1


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["create", "n", "--owner", ""], 2, "--owner is a text"),
        (["create", "n", "--owner", "a\nb"], 2, "--owner is a text"),
        (["create", "", "--owner", "a"], 2, "NAME is a text"),
        (["create", "n", "--owner", "a", "--scope", "a b"], 2, "--scope is one word"),
        (["create", "n", "--owner", "a", "--expires", "90"], 2, "--expires is a number with its unit"),
        (["create", "n", "--owner", "a", "--expires", "0d"], 2, "--expires is a number with its unit"),
        (["create", "n", "--owner", "a", "--expires", "999999999w"], 2, "--expires is a number with its unit"),
        (["create", "n", "--owner", "a", "--store", "dynamodb:keys"], 2, "a store of the Lambda router"),
        (["list", "--format", "xml"], 2, "--format is table or json, not xml"),
        (["list", "--store", "file:broken.json"], 1, "the key file broken.json cannot be understood"),
        (["revoke", "key-1", "--store", "file:broken.json"], 1, "the key file broken.json cannot be understood"),
        (["rotate", "key-1", "--store", "file:broken.json"], 1, "the key file broken.json cannot be understood"),
        (["rotate", "key-1", "--overlap", "7"], 2, "--overlap is a number with its unit"),
        (["create", "n", "--owner", "a", "--store", "file:full.json"], 1, "full.json stays as it is, else it would be"),
        (["create", "n", "--owner", "a", "--store", "file:broken.json"], 1, "broken.json cannot be understood"),
        (["create", "n", "--owner", "a", "--store", "file:broken.json/x.json"], 1, "cannot be written"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(tmp_path: Path, arguments: list[str], code: int, sentence: str) -> None:
    (tmp_path / "broken.json").write_text("x")
    full = ApiKey("key-1", "a", "1" * 64, "n" * 3_999_600)
    (tmp_path / "full.json").write_bytes(key_document.write([full]))
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (code, "")
    assert sentence in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("command", ["create", "list", "rotate", "revoke"])
def test_help_has_an_example(command: str) -> None:
    assert "Example:" in run(command, "--help").stdout
