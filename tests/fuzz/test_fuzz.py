"""The seeds, each replayed, and every fuzzed property tried a little. For longer: `make fuzz MINUTES=10`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fuzz.calls import Call
from fuzz.judge import Judge
from fuzz.properties import PROPERTIES

SEEDS = sorted((Path(__file__).parent / "seeds").glob("*.json"))


@pytest.mark.parametrize("path", SEEDS, ids=lambda path: path.stem)
def test_a_seed_ends_as_its_file_says(path: Path) -> None:
    call = Call.from_json(path.read_text("utf-8"))
    assert Judge().check(call) == (call.status or 401)


def test_a_seed_survives_its_file() -> None:
    for path in SEEDS:
        call = Call.from_json(path.read_text("utf-8"))
        assert Call.from_json(call.to_json()) == call


@pytest.mark.parametrize("check", PROPERTIES.values(), ids=PROPERTIES)
def test_what_is_fuzzed_holds(check: Any) -> None:
    check()


def test_the_judge_would_notice() -> None:
    """The guard of all this: an acceptance that nothing shown deserves is a failure."""
    deserved = Call("/any", (("X-API-Key", ("{api_key}",)),))
    judge = Judge()
    judge.check(deserved)
    with pytest.raises(AssertionError):
        judge._deserved(Call("/any"), [])  # noqa: SLF001  (what it says of the call before)
    with pytest.raises(AssertionError):
        judge.check(Call("/any", deserved.lines, status=401))
