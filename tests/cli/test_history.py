from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest
from moto import mock_aws
from typer.testing import CliRunner

from hms_svc.aws.ssm_client import router_client
from hms_svc.aws.ssm_routes import SsmRoutes
from hms_svc.cli.main import app

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typer.testing import Result

NAME = "/hms-svc/routes"
COLUMNS = ["version", "written", "by", "bytes", "parts", "sha256"]


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_ENDPOINT_URL", "HMS_SVC_GATEWAY", "HMS_SVC_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("HMS_SVC_ROUTES", f"ssm:{NAME}")
    with mock_aws():
        yield


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def table(path: str, lines: int = 0) -> str:
    """One route; ``lines`` of random digits make it too big for one parameter."""
    digits = "".join(f"# {hashlib.sha256(f'{path} {line}'.encode()).hexdigest()}\n" for line in range(lines))
    return f"- {{path: {path}, forward_to: 'http://a:1', auth: none}}\n{digits}"


def put(text: str) -> None:
    Path("routes.yml").write_text(text)
    assert run("reload", "routes.yml", "--ssm", NAME).exit_code == 0


def in_ssm() -> str:
    return SsmRoutes(router_client, NAME).read().data.decode()


def test_the_versions_are_listed_newest_first() -> None:
    put(table("/a"))
    put(table("/b", lines=300))
    header, second, first = [line.split("\t") for line in run("history").stdout.splitlines()]
    assert header == COLUMNS
    for line, number, text in ((second, "2", table("/b", lines=300)), (first, "1", table("/a"))):
        assert line[0] == number
        assert line[3] == str(len(text))
        assert line[5] == hashlib.sha256(text.encode()).hexdigest()[:12]
    assert (int(second[4]) > 1, first[4]) == (True, "-")


def test_json_has_the_same() -> None:
    put(table("/a"))
    document = json.loads(run("history", "--format", "json").stdout)
    (version,) = document["versions"]
    assert (document["parameter"], version["version"], version["parts"]) == (NAME, 1, 0)
    assert version["sha256"] == hashlib.sha256(table("/a").encode()).hexdigest()


def test_as_many_as_are_asked_for() -> None:
    for path in ("/a", "/b", "/c"):
        put(table(path))
    assert [line.split("\t")[0] for line in run("history", "--limit", "2").stdout.splitlines()] == ["version", "3", "2"]


def test_more_versions_than_one_answer_holds_are_listed() -> None:
    client = boto3.client("ssm")
    for number in range(60):
        client.put_parameter(Name=NAME, Value=f"# {number}\n", Type="String", Overwrite=True)
    assert len(run("history", "--limit", "100").stdout.splitlines()) == 61


@pytest.mark.parametrize("lines", [0, 70, 300], ids=["plain", "one parameter", "parts"])
def test_a_rollback_writes_the_earlier_table_as_a_new_version(lines: int) -> None:
    put(table("/a", lines))
    put(table("/b"))
    result = run("rollback", "1")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines()[:2] == ["+ any /a", "- any /b"]
    assert f"version 1 is in force again as {NAME} version 3" in result.stdout
    assert in_ssm() == table("/a", lines)


def test_a_rollback_to_what_is_in_force_writes_nothing() -> None:
    put(table("/a"))
    result = run("rollback", "1")
    assert (result.exit_code, "nothing was written" in result.stdout) == (0, True)


def test_a_version_that_does_not_load_today_is_not_put_in_force() -> None:
    client = boto3.client("ssm")
    client.put_parameter(
        Name=NAME, Value=table("/a").replace("}", ", policies: [gone.Rule]}"), Type="String", Overwrite=True
    )
    put(table("/b"))
    result = run("rollback", "1")
    assert result.exit_code == 1
    assert result.stderr.startswith("version 1:1:")
    assert "no module gone" in result.stderr
    assert in_ssm() == table("/b")


def test_a_version_whose_parts_are_gone_is_one_sentence() -> None:
    put(table("/a", lines=300))
    client = boto3.client("ssm")
    (part, *_) = client.get_parameters_by_path(Path=f"{NAME}/parts", Recursive=True)["Parameters"]
    client.delete_parameter(Name=part["Name"])
    put(table("/b"))
    result = run("rollback", "1")
    assert (result.exit_code, len(result.stderr.splitlines())) == (1, 1)
    assert "cannot be had back: not all of its" in result.stderr


def test_a_version_that_there_is_not_is_one_sentence() -> None:
    put(table("/a"))
    result = run("rollback", "9")
    assert (result.exit_code, len(result.stderr.splitlines())) == (1, 1)
    assert "has no version 9" in result.stderr


def test_a_parameter_that_there_is_not_is_one_sentence() -> None:
    result = run("history", "--ssm", "/nothing/here")
    assert (result.exit_code, len(result.stderr.splitlines()), "/nothing/here" in result.stderr) == (1, 1, True)


@pytest.mark.parametrize("command", [["history"], ["rollback", "1"]])
@pytest.mark.parametrize("setting", [None, "", "file:routes.yml"])
def test_a_command_without_a_parameter_says_how_to_name_one(
    command: list[str], setting: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HMS_SVC_ROUTES")
    if setting is not None:
        monkeypatch.setenv("HMS_SVC_ROUTES", setting)
    result = run(*command)
    assert (result.exit_code, "Give --ssm /hms-svc/routes" in result.stderr) == (2, True)


@pytest.mark.parametrize("command", [["history", "--format", "xml"], ["rollback", "0"], ["rollback", "one"]])
def test_a_wrong_call_is_exit_code_2(command: list[str]) -> None:
    assert run(*command).exit_code == 2
