"""docs/security.md names tests for what it claims; each has to exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
TESTS = PROJECT / "tests"
PAGE = (PROJECT / "docs" / "security.md").read_text("utf-8")
NAMED = sorted(set(re.findall(r"`([\w/]+\.py)(?:::(\w+))?`", PAGE)) - {("benchmarks/refusal_cost.py", "")})
RISKS = re.split(r"^### ", PAGE, flags=re.MULTILINE)[1:11]


@pytest.mark.parametrize(("file", "function"), NAMED, ids=["::".join(named) for named in NAMED])
def test_a_named_test_exists(file: str, function: str) -> None:
    text = (TESTS / file).read_text("utf-8")
    assert re.search(rf"^(?:async )?def {function or 'test_'}", text, re.MULTILINE)
    assert not function or f"def {function}(" in text


def test_each_risk_of_the_list_is_there_with_what_is_done_and_what_is_left_and_a_test() -> None:
    assert [risk.split(" ")[0] for risk in RISKS] == [f"API{number}" for number in range(1, 11)]
    for risk in RISKS:
        for part in ("**Risk here:**", "**The gateway:**", "**Left to you:**", ".py"):
            assert part in risk, risk


def test_the_policy_and_the_page_are_found_from_the_readme_and_from_contributing() -> None:
    for page in ("README.md", "CONTRIBUTING.md"):
        text = (PROJECT / page).read_text("utf-8")
        assert "SECURITY.md" in text
        assert "docs/security.md" in text
    assert "docs/security.md" in (PROJECT / "SECURITY.md").read_text("utf-8")


def test_the_policy_names_no_address_that_nobody_reads() -> None:
    assert "@" not in (PROJECT / "SECURITY.md").read_text("utf-8")
