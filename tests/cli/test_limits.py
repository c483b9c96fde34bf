from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from aws.dynamodb_local import make_table
from moto import mock_aws
from running import TOKEN, hms_svc, project_copy, started
from typer.testing import CliRunner
from worlds import drive

from hms_svc.aws.dynamodb_keys import operator_client
from hms_svc.aws.dynamodb_limits import DynamoDbBuckets
from hms_svc.aws.ssm_client import router_client
from hms_svc.aws.ssm_routes import SsmRoutes
from hms_svc.aws.ssm_write import write
from hms_svc.cli.main import app
from hms_svc.core.limit_keys import wants
from hms_svc.core.model import NOBODY, Caller
from hms_svc.core.policy import Policy
from hms_svc.core.routes import load
from hms_svc.core.shared_limits import SharedLimits
from hms_svc.local.system import SystemClock, SystemRandomness

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_dynamodb import DynamoDBClient
    from typer.testing import Result

TABLE = "hms-svc-limits"
IP = "192.0.2.7"
KEY = f"3:faq:0:ip:{IP}"
ROUTES = b"""
- {name: faq, path: /faq, forward_to: 'http://a:1', auth: none, rate_limit: 2/h, policies: [not_here.Anywhere]}
- {name: all, path: /all, forward_to: 'http://a:1', auth: none, rate_limit: 5/h per_route}
- name: tiles
  path: /tiles
  forward_to: 'http://a:1'
  auth: api_key
  rate_limit: {limit: 2/h, per: caller, plan_claim: plan, plans: {gold: 4/h, silver: 3/h}}
"""
HERE = ("--table", TABLE)


@pytest.fixture
def dynamodb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DynamoDBClient]:
    monkeypatch.chdir(tmp_path)
    for name in ("HMS_SVC_GATEWAY", "HMS_SVC_LIMITS", "HMS_SVC_ROUTES", "HMS_SVC_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    Path("routes.yml").write_bytes(ROUTES)
    with mock_aws():
        client = boto3.client("dynamodb", region_name="eu-central-1")
        make_table(client, TABLE, "key")
        yield client


def run(*arguments: str, answer: str | None = None) -> Result:
    return CliRunner().invoke(app, ["limits", *arguments], input=answer)


def call(times: int = 1, route: int = 0, caller: Caller = NOBODY) -> list[bool]:
    """Calls from the address, by an environment that knows nothing yet."""
    config = load(ROUTES, source="routes.yml", build_policy=lambda _use, _options: Policy())
    clock = SystemClock()
    store = SharedLimits(DynamoDbBuckets(TABLE, operator_client, clock), clock)
    (want,) = wants(config.routes[route], caller, IP)
    return [drive(store.take(want)).allowed for _ in range(times)]


def shown(*arguments: str) -> list[dict[str, Any]]:
    result = run("show", *arguments, "--format", "json")
    assert (result.exit_code, result.stderr) == (0, "")
    buckets: list[dict[str, Any]] = json.loads(result.stdout)["buckets"]
    return buckets


@pytest.mark.usefixtures("dynamodb")
def test_a_bucket_in_dynamodb_is_shown_by_who_calls_or_by_its_key() -> None:
    call()
    for target in (("faq", "--ip", IP), ("/faq", "--ip", IP), (KEY,)):
        (bucket,) = shown(*target, *HERE)
        assert (bucket["key"], bucket["remaining"], bucket["passes"]) == (KEY, 1, True)
        assert 1_790 < bucket["full_in_s"] <= 1_800
    header, line = run("show", "faq", "--ip", IP, *HERE).stdout.splitlines()
    assert header.split("\t") == ["limit", "plan", "bucket", "left", "full in", "next call"]
    assert line.startswith(f"2/h\t-\t{KEY}\t1 of 2\t1")
    assert line.endswith("\tpasses")


def test_a_look_writes_nothing(dynamodb: DynamoDBClient) -> None:
    assert [it["remaining"] for it in shown("faq", "--ip", IP, *HERE)] == [2]
    assert dynamodb.scan(TableName=TABLE)["Items"] == []


@pytest.mark.usefixtures("dynamodb")
def test_who_was_refused_is_admitted_after_a_reset() -> None:
    assert call(3) == [True, True, False]
    result = run("reset", "faq", "--ip", IP, *HERE, "--yes")
    assert result.exit_code == 0
    first, last = result.stdout.splitlines()
    assert first == f"reset: {KEY} (2/h of faq), 0 of 2 were left"
    assert last == "Environments that saw a bucket empty look again within 30 s."
    assert call(3) == [True, True, False]


@pytest.mark.usefixtures("dynamodb")
def test_a_reset_of_a_full_bucket_says_that_it_was_full() -> None:
    assert run("reset", "/all", *HERE, "--yes").stdout.startswith("reset: 3:all:0:route (5/h per_route of all), it was")


ALICE = Caller(name="alice", via="api_key", claims={"plan": "gold"})


@pytest.mark.usefixtures("dynamodb")
def test_a_caller_on_a_plan_is_shown_and_reset_without_saying_which() -> None:
    assert call(5, 2, ALICE) == [True] * 4 + [False]
    header, *lines = run("show", "tiles", "--caller", "alice", *HERE).stdout.splitlines()
    assert header.startswith("limit\tplan\tbucket\tleft")
    assert [(cells[0], cells[1], cells[3]) for cells in (line.split("\t") for line in lines)] == [
        ("2/h per_caller", "-", "2 of 2"),
        ("4/h per_caller", "gold", "0 of 4"),
        ("3/h per_caller", "silver", "3 of 3"),
    ]
    result = run("reset", "tiles", "--caller", "alice", *HERE, "--yes")
    assert result.stdout.splitlines()[:-1] == [
        "reset: 5:tiles:0:caller:api_key:0::alice (2/h per_caller of tiles, no plan), it was full",
        "reset: 5:tiles:0:plan:4:gold:caller:api_key:0::alice (4/h per_caller of tiles, plan gold), 0 of 4 were left",
        "reset: 5:tiles:0:plan:6:silver:caller:api_key:0::alice (3/h per_caller of tiles, plan silver), it was full",
    ]
    assert call(1, 2, ALICE) == [True]


@pytest.mark.usefixtures("dynamodb")
def test_a_plan_may_be_named() -> None:
    call(5, 2, ALICE)
    assert [it["plan"] for it in shown("tiles", "--caller", "alice", "--plan", "silver", *HERE)] == ["silver"]
    run("reset", "tiles", "--caller", "alice", "--plan", "silver", *HERE, "--yes")
    assert call(1, 2, ALICE) == [False]
    run("reset", "tiles", "--caller", "alice", "--plan", "gold", *HERE, "--yes")
    assert call(1, 2, ALICE) == [True]


@pytest.mark.usefixtures("dynamodb")
def test_a_reset_that_nobody_confirms_does_nothing() -> None:
    call(2)
    result = run("reset", KEY, *HERE, answer="y\n")
    assert (result.exit_code, result.stderr) == (2, "hms-svc: nobody is there to be asked: say --yes\n")
    assert KEY in result.stdout
    assert call() == [False]


@pytest.mark.usefixtures("dynamodb")
def test_in_dynamodb_a_bucket_must_be_named() -> None:
    for command in ("show", "reset"):
        result = run(command, "faq", *HERE)
        assert (result.exit_code, result.stdout) == (2, "")
        assert "--ip 192.0.2.7" in result.stderr
    assert "in DynamoDB buckets cannot be listed" in run("show", "faq", *HERE).stderr


@pytest.mark.usefixtures("dynamodb")
def test_table_and_routes_come_from_the_environment_too(monkeypatch: pytest.MonkeyPatch) -> None:
    call()
    monkeypatch.setenv("HMS_SVC_LIMITS", f"dynamodb:{TABLE}")
    Path("routes.yml").rename("other.yml")
    assert [it["remaining"] for it in shown(KEY, "--routes", "other.yml")] == [1]
    ssm = SsmRoutes(router_client, "/hms-svc/routes")
    write(ssm, ROUTES, expected=None, randomness=SystemRandomness())
    monkeypatch.setenv("HMS_SVC_ROUTES", "ssm:/hms-svc/routes")
    assert [it["remaining"] for it in shown(KEY)] == [1]
    assert [it["remaining"] for it in shown(KEY, "--ssm", "/hms-svc/routes")] == [1]


@pytest.mark.usefixtures("dynamodb")
@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("faq", "--table", "no"), 2, "--table names a DynamoDB table by its name or ARN"),
        (("faq", "--ip", IP, "--table", "other-table"), 1, "there is no DynamoDB table other-table in this account"),
        (("faq", *HERE, "--gateway", "http://127.0.0.1:1"), 2, "give --gateway or --table, not both"),
        (("faq", *HERE, "--routes", "a.yml", "--ssm", "/a/b"), 2, "--ssm and --routes both say where the routes are"),
        (("faq", *HERE, "--routes", "a.yml"), 2, "cannot read a.yml"),
        (("faq", "--routes", "a.yml"), 2, "--ssm and --routes go with --table"),
        (("nowhere", *HERE), 2, "no route has the name or path nowhere"),
        (("tiles", "--plan", "lead", *HERE), 2, "the route tiles has no plan lead; its plans: gold, silver"),
        (("faq", "--ip", "x", *HERE), 2, "x is no IP address"),
        (("faq", "--ip", IP, "--format", "xml", *HERE), 2, "--format is table or json, not xml"),
        (("faq",), 2, "HMS_SVC_TOKEN is not set"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_sentence(arguments: tuple[str, ...], code: int, said: str) -> None:
    result = run("show", *arguments)
    assert (result.exit_code, result.stdout) == (code, "")
    assert result.stderr.startswith(f"hms-svc: {said}")


def test_a_running_gateway_shows_and_resets_its_own_buckets(tmp_path: Path) -> None:
    folder = project_copy(tmp_path)
    (folder / "routes.yml").write_text("- {name: faq, path: /faq, redirect: {path: /a}, auth: none, rate_limit: 2/h}\n")
    with started(folder, "--routes", "routes.yml", HMS_SVC_TOKEN=TOKEN) as running:

        def limits(*arguments: str) -> tuple[int, str]:
            done = hms_svc("limits", *arguments, cwd=folder, HMS_SVC_TOKEN=TOKEN, HMS_SVC_GATEWAY=running.url)
            return done.returncode, done.stdout

        def called() -> int:
            return running.session.get(f"{running.url}/faq", timeout=20, allow_redirects=False).status_code

        assert [called() for _ in range(3)] == [302, 302, 429]
        code, listed = limits("show", "/faq")
        assert code == 0
        assert listed.splitlines()[1].startswith("2/h\t-\t3:faq:0:ip:127.0.0.1\t0 of 2\t")
        said = "reset: 3:faq:0:ip:127.0.0.1 (2/h of faq), 0 of 2 were left\n"
        assert limits("reset", "/faq", "--ip", "127.0.0.1", "--yes") == (0, said)
        assert limits("show", "/faq") == (0, "all buckets are full\n")
        assert called() == 302
        assert limits("show", "nowhere")[0] == 1
        assert limits("show", "/faq", "--plan", "gold") == (1, "")
