from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
import typer
from moto import mock_aws
from typer.testing import CliRunner

from hms_svc.aws.ssm_client import router_client
from hms_svc.aws.ssm_routes import SsmRoutes
from hms_svc.cli.main import app
from hms_svc.cli.ssm import put_in_force
from hms_svc.core.match import RouteTable
from hms_svc.core.policy_loader import PolicyLoader
from hms_svc.core.routes import load

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_ssm import SSMClient
    from typer.testing import Result

NAME = "/hms-svc/routes"
ROUTE = "- {path: /a, forward_to: 'http://a:1', auth: none}\n"


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_ENDPOINT_URL", "HMS_SVC_ROUTES", "HMS_SVC_GATEWAY", "HMS_SVC_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    Path("routes.yml").write_text(ROUTE)
    with mock_aws():
        yield


@pytest.fixture
def ssm() -> SSMClient:
    return boto3.client("ssm")


def reload(*more: str, name: str = NAME) -> Result:
    return CliRunner().invoke(app, ["reload", "routes.yml", "--ssm", name, *more])


def in_ssm() -> bytes:
    return SsmRoutes(router_client, NAME).read().data


def test_a_first_reload_creates_the_parameter_with_the_file_as_it_is(ssm: SSMClient) -> None:
    result = reload()
    assert (result.exit_code, result.stderr) == (0, f"{NAME} is not there yet and will be created\n")
    digest = hashlib.sha256(ROUTE.encode()).hexdigest()[:12]
    said = f"routes.yml is in force as {NAME} version 1: 1 routes, 1 change, sha256 {digest}"
    assert result.stdout.splitlines()[:2] == ["+ any /a", said]
    assert ssm.get_parameter(Name=NAME)["Parameter"]["Value"] == ROUTE


def test_what_changes_is_shown_route_by_route() -> None:
    reload()
    Path("routes.yml").write_text(
        "- {path: /a, forward_to: 'http://a:2', auth: none}\n- {path: /b, forward_to: 'http://b:1', auth: none}\n"
    )
    result = reload()
    assert result.stdout.splitlines()[:2] == ["~ any /a (action)", "+ any /b"]
    assert "version 2: 2 routes, 2 changes" in result.stdout


def test_the_same_file_is_not_written_twice(ssm: SSMClient) -> None:
    reload()
    result = reload()
    assert (result.exit_code, "as version 1: nothing was written" in result.stdout) == (0, True)
    assert ssm.get_parameter(Name=NAME)["Parameter"]["Version"] == 1


def test_a_file_with_problems_changes_nothing() -> None:
    reload()
    Path("routes.yml").write_text("- {path: /a, forward_to: 'http://a:1'}\n- {path: b}\n")
    result = reload()
    assert result.exit_code == 1
    lines = result.stderr.splitlines()
    assert [line.startswith("routes.yml:") for line in lines[:-2]] == [True] * (len(lines) - 2)
    assert lines[-1] == "the routes in SSM stay as they were"
    assert in_ssm() == ROUTE.encode()


def test_a_policy_is_built_from_the_folder_before_anything_is_written() -> None:
    Path("routes.yml").write_text(ROUTE.replace("}", ", policies: [reload_ssm_rule.Rule]}"))
    assert (reload().exit_code, "no module reload_ssm_rule" in reload().stderr) == (1, True)
    folder = Path("plug-ins")
    folder.mkdir()
    (folder / "reload_ssm_rule.py").write_text(
        "from hms_svc import Policy, Verdict\n\nclass Rule(Policy):\n"
        "    def check(self, req, route):\n        return Verdict.pass_()\n"
    )
    assert reload("--policies", "plug-ins").exit_code == 0


@pytest.mark.parametrize("value", ["- [", "- {path: /x}", "#hms-svc manifest 1\n{}", "#hms-svc manifest 7\n"])
def test_a_broken_value_in_ssm_is_mended_by_a_reload(ssm: SSMClient, value: str) -> None:
    ssm.put_parameter(Name=NAME, Value=value, Type="String")
    result = reload()
    assert result.exit_code == 0
    assert result.stderr.startswith("warning: version 1 in SSM")
    assert in_ssm() == ROUTE.encode()


def many_routes(count: int) -> str:
    """A file as a big agency's could be: paths, hosts and limits that differ."""
    lines = ["issuers:\n  agency: {issuer: 'https://login.agency.example/', audience: hms-api}\nroutes:\n"]
    verbs = ("list", "search", "export", "detail", "history", "submit", "approve", "cancel")
    for number in range(count):
        digits = hashlib.sha256(str(number).encode()).hexdigest()
        lines.append(
            f"- path: /team-{number % 97}/service-{number // 8}/{verbs[number % 8]}/{digits[:6]}/*\n"
            f"  methods: [{'GET, POST' if number % 3 else 'GET'}]\n"
            f"  forward_to: http://svc-{int(digits[6:10], 16) % 700}.internal.agency.example:9000\n"
            f"  auth: oauth\n"
            f"  require: {{scopes: [team{number % 97}:{'read' if number % 2 else 'write'}]}}\n"
            f"  rate_limit: {10 * (1 + int(digits[14], 16))}/m\n"
        )
    return "".join(lines)


@pytest.mark.slow
def test_ten_thousand_routes_go_through(ssm: SSMClient) -> None:
    Path("routes.yml").write_text(many_routes(10_000))
    result = reload()
    assert result.exit_code == 0, result.stderr
    data = in_ssm()
    assert data == Path("routes.yml").read_bytes()
    assert len(RouteTable(load(data, build_policy=PolicyLoader(None).build)).config.routes) == 10_000
    parts = [
        found["Value"]
        for page in ssm.get_paginator("get_parameters_by_path").paginate(Path=f"{NAME}/parts", Recursive=True)
        for found in page["Parameters"]
    ]
    assert f"version 1 in {len(parts)} parts: 10000 routes" in result.stdout
    assert (len(parts) < 40, max(map(len, parts))) == (True, 4_096)


def test_somebody_elses_change_is_not_replaced_without_force(ssm: SSMClient) -> None:
    """The other writer comes between the look at what is there and the switch: when this one has read SSM once."""
    reload()
    Path("routes.yml").write_text(ROUTE + "- {path: /b, forward_to: 'http://b:1', auth: none}\n")
    seen = []

    def interfere(**_more: Any) -> None:
        seen.append(1)
        if len(seen) == 1:
            ssm.put_parameter(Name=NAME, Value="# theirs\n" + ROUTE, Type="String", Overwrite=True)

    client = boto3.client("ssm")
    client.meta.events.register("after-call.ssm.GetParameter", interfere)
    routes = SsmRoutes(lambda: client, NAME)

    def put(*, force: bool) -> None:
        data = Path("routes.yml").read_bytes()
        put_in_force(routes, data, source="routes.yml", policies=None, tier="standard", force=force, done="it is")

    with pytest.raises(typer.Exit) as caught:
        put(force=False)
    assert caught.value.exit_code == 1
    assert in_ssm() == b"# theirs\n" + ROUTE.encode()
    seen.clear()
    put(force=True)
    assert in_ssm() == Path("routes.yml").read_bytes()


def test_the_advanced_tier_is_asked_for(ssm: SSMClient) -> None:
    Path("routes.yml").write_text(ROUTE + "#" * 5_000)
    assert reload("--tier", "advanced").exit_code == 0
    (found,) = ssm.describe_parameters()["Parameters"]
    assert found["Tier"] == "Advanced"
    assert len(ssm.get_parameter(Name=NAME)["Parameter"]["Value"]) > 4_096


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--ssm", "routes"], "named like /hms-svc/routes"),
        (["--ssm", "/a b"], "named like /hms-svc/routes"),
        (["--ssm", "/a/"], "named like /hms-svc/routes"),
        (["--ssm", NAME, "--gateway", "http://127.0.0.1:1"], "not both"),
        (["--ssm", NAME, "--tier", "free"], "standard or advanced, not free"),
        (["--tier", "advanced"], "--tier goes with --ssm"),
        (["--force"], "--force goes with --ssm"),
        (["--policies", "."], "--policies goes with --ssm"),
    ],
)
def test_a_wrong_call_is_one_sentence(arguments: list[str], said: str) -> None:
    result = CliRunner().invoke(app, ["reload", "routes.yml", *arguments])
    assert (result.exit_code, len(result.stderr.splitlines()), said in result.stderr) == (2, 1, True), result.stderr


def test_a_parameter_may_be_named_as_the_environment_names_it() -> None:
    assert reload(name=f"ssm:{NAME}").exit_code == 0
    assert in_ssm() == ROUTE.encode()


def test_no_region_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    result = reload()
    assert (result.exit_code, result.stdout, len(result.stderr.splitlines())) == (1, "", 1)
    assert "set AWS_REGION" in result.stderr


def test_a_gateway_in_the_environment_does_not_stand_in_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HMS_SVC_GATEWAY", "http://127.0.0.1:1")
    assert reload().exit_code == 0
