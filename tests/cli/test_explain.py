from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from hms_svc.cli.main import app

if TYPE_CHECKING:
    from typer.testing import Result


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("routes.yml").write_text("- {path: /faq, name: faq, forward_to: 'http://a:1', auth: none, rate_limit: 30/m}\n")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["explain", "GET", "/faq", *arguments])


def test_it_says_whose_bucket_and_what_if_it_came_so_often() -> None:
    lines = run("--ip", "192.0.2.7", "--calls", "100", "--every", "100ms").stdout.splitlines()
    assert [line.split("\t")[1] for line in lines if line.startswith(("bucket", "what if"))] == [
        "3:faq:0:ip:192.0.2.7",
        "100 calls, one every 0.1 s: 34 pass, 66 refused",
        "first refused: call 32 after 3.1 s, by 30/m, Retry-After: 1",
    ]


def test_it_counts_by_the_plan_that_is_named() -> None:
    Path("routes.yml").write_text(
        "- {path: /faq, name: faq, forward_to: 'http://a:1', auth: api_key,"
        " rate_limit: {limit: 30/m, plan_claim: plan, plans: {gold: 90/m}}}\n"
    )
    lines = run("-H", "X-API-Key: k", "--calls", "100", "--plan", "gold").stdout.splitlines()
    assert "plan\tgold, as if the credential named it" in lines
    assert "bucket\t3:faq:0:plan:4:gold:ip:127.0.0.1" in lines
    assert "what if\t100 calls at once: 90 pass, 10 refused" in lines


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--ip", "here"), "--ip is an IP address, not 'here'"),
        (("--every", "1s"), "--every goes with --calls: how often does it come?"),
        (("--calls", "3", "--every", "soon"), "--every is a number with its unit, such as 30m, 12h or 90d, not 'soon'"),
    ],
)
def test_what_cannot_be_told_is_said_in_one_sentence(arguments: tuple[str, ...], said: str) -> None:
    result = run(*arguments)
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", f"hms-svc: {said}\n")


def test_no_more_calls_are_reckoned_than_the_bound() -> None:
    assert run("--calls", "1000001").exit_code == 2
