from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import boto3
import botocore.handlers
import pytest
from aws.dynamodb_local import make_table
from botocore.exceptions import EndpointConnectionError
from moto import mock_aws
from typer.testing import CliRunner

from hms_svc.cli.keys import app
from hms_svc.core.credentials.api_keys import sha256_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from mypy_boto3_dynamodb import DynamoDBClient
    from typer.testing import Result

TABLE = "hms-svc-keys"


@pytest.fixture(autouse=True)
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DynamoDBClient]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HMS_SVC_KEYS", raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    with mock_aws():
        client = boto3.client("dynamodb", region_name="eu-central-1")
        make_table(client, TABLE, "sha256")
        yield client


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def create(*more: str) -> str:
    result = run("create", "nightly", "--owner", "batch-team", *more)
    assert (result.exit_code, result.exception) == (0, None)
    return result.stdout.strip()


def listed(*more: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(run("list", "--format", "json", *more).stdout)["keys"]
    return found


def test_a_new_key_goes_to_the_table_as_its_hash(client: DynamoDBClient, tmp_path: Path) -> None:
    key = create("--scope", "claims:read", "--table", TABLE)
    [item] = client.scan(TableName=TABLE)["Items"]
    assert item["sha256"] == {"S": sha256_of(key)}
    assert key not in json.dumps(item)
    assert list(tmp_path.iterdir()) == []


def test_keys_in_the_table_are_listed_and_revoked() -> None:
    create("--table", TABLE)
    [row] = listed("--table", TABLE)
    assert (row["name"], row["owner"], row["state"]) == ("nightly", "batch-team", "active")
    result = run("revoke", row["id"], "--table", TABLE)
    assert result.exit_code == 0
    assert result.stdout.startswith(f"{row['id']} (nightly, batch-team) is revoked since 20")
    [after] = listed("--table", TABLE)
    assert after["state"] == "revoked"


def test_keys_in_the_table_are_rotated() -> None:
    create("--scope", "a", "--table", TABLE)
    [before] = listed("--table", TABLE)
    result = run("rotate", before["id"], "--table", TABLE, "--overlap", "1h")
    assert (result.exit_code, len(result.stdout.strip())) == (0, 53)
    rows = {row["id"]: row for row in listed("--table", TABLE)}
    old = rows.pop(before["id"])
    (new,) = rows.values()
    assert (new["owner"], new["scopes"], new["state"], old["state"]) == ("batch-team", ["a"], "active", "active")
    assert old["expires"] < before["expires"] <= new["expires"]


def test_a_new_key_is_kept_and_shown_before_the_old_ones_end_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    create("--table", TABLE)
    [before] = listed("--table", TABLE)

    def down(**_: Any) -> None:
        raise EndpointConnectionError(endpoint_url="https://dynamodb")

    handlers = [*botocore.handlers.BUILTIN_HANDLERS, ("before-call.dynamodb.UpdateItem", down)]
    monkeypatch.setattr(botocore.handlers, "BUILTIN_HANDLERS", handlers)
    boto3.setup_default_session()
    result = run("rotate", before["id"], "--table", TABLE)
    assert (result.exit_code, len(result.stdout.strip())) == (1, 53)
    assert f"{before['id']} works as before, since its end could not be set: DynamoDB cannot be" in result.stderr
    rows = listed("--table", TABLE)
    assert before in rows
    assert [row["state"] for row in rows] == ["active", "active"]


def before(monkeypatch: pytest.MonkeyPatch, operation: str, act: Callable[[], object]) -> None:
    """Somebody else acts once, right before the next call of ``operation``."""
    left = [act]

    def acting(**_: Any) -> None:
        if left:
            left.pop()()

    handlers = [*botocore.handlers.BUILTIN_HANDLERS, (f"before-call.dynamodb.{operation}", acting)]
    monkeypatch.setattr(botocore.handlers, "BUILTIN_HANDLERS", handlers)
    boto3.setup_default_session()


def test_a_key_that_is_revoked_while_it_is_rotated_gets_no_successor(monkeypatch: pytest.MonkeyPatch) -> None:
    create("--table", TABLE)
    [old] = listed("--table", TABLE)
    before(monkeypatch, "TransactWriteItems", lambda: run("revoke", old["id"], "--table", TABLE))
    result = run("rotate", old["id"], "--table", TABLE)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"hms-svc: {old['id']} is revoked and cannot be rotated; make a key with")
    assert [(row["id"], row["state"]) for row in listed("--table", TABLE)] == [(old["id"], "revoked")]


def test_a_key_that_is_revoked_before_its_end_is_set_takes_its_successor_along(monkeypatch: pytest.MonkeyPatch) -> None:
    create("--table", TABLE)
    [old] = listed("--table", TABLE)
    before(monkeypatch, "UpdateItem", lambda: run("revoke", old["id"], "--table", TABLE))
    result = run("rotate", old["id"], "--table", TABLE)
    rows = {row["id"]: row["state"] for row in listed("--table", TABLE)}
    (new,) = rows.keys() - {old["id"]}
    assert result.exit_code == 1
    assert result.stderr.endswith(f"hms-svc: {old['id']} was revoked meanwhile, so {new} is revoked too\n")
    assert set(rows.values()) == {"revoked"}


def test_an_item_that_is_no_key_is_said_and_keeps_nobody_from_the_others(client: DynamoDBClient) -> None:
    create("--table", TABLE)
    client.put_item(TableName=TABLE, Item={"sha256": {"S": "zz"}})
    result = run("list", "--format", "json", "--table", TABLE)
    (row,) = json.loads(result.stdout)["keys"]
    assert (result.exit_code, row["name"]) == (1, "nightly")
    assert result.stderr == f"hms-svc: the table {TABLE} has 1 item that cannot be read as an API key\n"
    assert run("rotate", row["id"], "--table", TABLE).exit_code == 0
    assert run("revoke", row["id"], "--table", TABLE).exit_code == 0


def test_the_environment_names_the_table_and_an_option_wins(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, client: DynamoDBClient
) -> None:
    monkeypatch.setenv("HMS_SVC_KEYS", f"dynamodb:{TABLE}")
    create()
    assert len(listed()) == len(listed("--table", TABLE)) == 1
    create("--store", "file:here.json")
    assert (tmp_path / "here.json").is_file()
    assert len(listed()) == 1


def test_a_table_may_be_named_by_its_arn() -> None:
    create("--table", TABLE)
    assert len(listed("--table", f"arn:aws:dynamodb:eu-central-1:123456789012:table/{TABLE}")) == 1


def test_revoking_an_unknown_key_is_one_sentence_and_exit_code_1() -> None:
    result = run("revoke", "key-9", "--table", TABLE)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "hms-svc: there is no key with the id key-9; `hms-svc keys list` shows them\n"


@pytest.mark.parametrize(
    "command", [["create", "n", "--owner", "a"], ["list"], ["revoke", "key-1"], ["rotate", "key-1"]]
)
@pytest.mark.parametrize(
    ("arguments", "environment", "code", "sentence"),
    [
        (["--table", "no-such-table"], {}, 1, "there is no DynamoDB table no-such-table in this account and region"),
        (["--table", TABLE], {"AWS_REGION": "", "AWS_DEFAULT_REGION": ""}, 1, "look at AWS_REGION, AWS_DEFAULT_REGION"),
        (["--table", TABLE], {"AWS_ENDPOINT_URL": "here"}, 1, "look at AWS_REGION, AWS_DEFAULT_REGION"),
        (["--table", TABLE], {"AWS_PROFILE": "nobody"}, 1, "AWS_PROFILE: The config profile (nobody)"),
        (["--table", "a b"], {}, 2, "--table names a DynamoDB table by its name or ARN"),
        (["--table", ""], {}, 2, "--table names a DynamoDB table by its name or ARN"),
        (["--table", TABLE, "--store", "file:x"], {}, 2, "--store and --table both say where the keys are kept"),
        ([], {"HMS_SVC_KEYS": "dynamodb:"}, 2, "HMS_SVC_KEYS names a DynamoDB table"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch,
    command: list[str],
    arguments: list[str],
    environment: dict[str, str],
    code: int,
    sentence: str,
) -> None:
    for name, value in {"AWS_CONFIG_FILE": "/nowhere", **environment}.items():
        monkeypatch.setenv(name, value)
    result = run(*command, *arguments)
    assert (result.exit_code, result.stdout) == (code, "")
    assert sentence in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_without_a_region_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    result = run("list", "--table", TABLE)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "hms-svc: no AWS region is set: set AWS_REGION, such as AWS_REGION=us-gov-west-1\n"


def test_without_credentials_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    for name, value in (
        ("AWS_CONFIG_FILE", "/nowhere"),
        ("AWS_SHARED_CREDENTIALS_FILE", "/nowhere"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
    ):
        monkeypatch.setenv(name, value)
    result = run("list", "--table", TABLE)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "hms-svc: there are no AWS credentials here: log in, or set AWS_PROFILE\n"
