from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import typer
from typer.testing import CliRunner

from hms_svc.cli.token import token
from hms_svc.core.credentials.jws import parse
from hms_svc.local.demo_credentials import DEMO_TOKENS

if TYPE_CHECKING:
    from pathlib import Path

    from typer.testing import Result


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(*arguments: str) -> Result:
    app = typer.Typer()
    app.command()(token)
    return CliRunner().invoke(app, arguments)


def test_without_options_it_lists_the_demo_tokens_and_what_they_may() -> None:
    rows = [line.split("\t") for line in run().stdout.splitlines()]
    assert [row[0] for row in rows] == ["token", *DEMO_TOKENS]
    assert rows[1][1:] == ["demo-user", "claims:read claims:write"]


def test_a_signed_token_stands_alone_on_standard_output(tmp_path: Path) -> None:
    result = run("--sub", "alice", "--scope", "claims:read", "--scope", "a", "--expires", "30m")
    jws = parse(result.stdout.removesuffix("\n"))
    claims = jws.claims()
    assert (claims["sub"], claims["scope"], claims["aud"]) == ("alice", "a claims:read", "hms-svc-demo")
    assert claims["exp"] - claims["iat"] == 1800
    assert "--demo" in result.stderr
    assert (tmp_path / ".hms-svc" / "demo-issuer.json").is_file()


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["--scope", "a"], 2, "--scope goes with --sub"),
        (["--sub", ""], 2, "--sub is a text"),
        (["--sub", "a", "--scope", "a b"], 2, "--scope is one word"),
        (["--sub", "a", "--expires", "soon"], 2, "--expires is a number with its unit"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(arguments: list[str], code: int, sentence: str) -> None:
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (code, "")
    assert sentence in result.stderr


def test_a_broken_key_of_the_issuer_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / ".hms-svc").mkdir()
    (tmp_path / ".hms-svc" / "demo-issuer.json").write_text("x")
    result = run("--sub", "alice")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "demo-issuer.json cannot be understood" in result.stderr


def test_help_has_an_example() -> None:
    assert "Example:" in run("--help").stdout
