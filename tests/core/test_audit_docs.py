from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from fakes_audit import CLAIMS, MemorySink, a_log, a_refused_entry, a_served_entry, an_entry, line_of, read

from hms_svc.core.audit_text import MAX_NAME, MAX_NAMES, MAX_TEXT

PAGE = (Path(__file__).parents[2] / "docs" / "audit.md").read_text("utf-8")


def the_records() -> list[dict[str, Any]]:
    """An opening and a closing record, and others that together have every field there is."""
    sink = MemorySink()
    log = a_log(sink)
    log.begin(a_served_entry(status=None))
    served = a_served_entry()
    log.close(served, ended_ns=served.started_ns + 5_678_901)
    log.lost = 3
    log.close(a_refused_entry(), ended_ns=2_000_000)
    log.close(an_entry(), ended_ns=2_000_000)
    return [read(line) for line in sink.lines]


def fields_of(value: Any, path: str = "") -> set[str]:
    """The path of every member that is no object itself; a list counts as its items."""
    if isinstance(value, dict):
        return set().union(*(fields_of(item, f"{path}.{name}".lstrip(".")) for name, item in value.items()))
    if isinstance(value, list):
        return set().union(*(fields_of(item, f"{path}[]") for item in value))
    return {path}


def test_the_example_is_what_the_gateway_writes() -> None:
    example = re.search(r"```json\n(.*?)```", PAGE, re.DOTALL)
    assert example is not None
    assert json.loads(example[1]) == the_records()[1]
    assert CLAIMS.audit == "required"


def test_every_field_is_explained_and_none_that_is_not_there() -> None:
    explained = re.findall(r"^\| `([^`]+)` \|", PAGE, re.MULTILINE)
    assert len(explained) == len(set(explained))
    assert set(explained) == set().union(*map(fields_of, the_records()))


@pytest.mark.skipif(not shutil.which("jq"), reason="the page's command needs jq")
def test_the_fingerprint_can_be_checked_by_hand(tmp_path: Path) -> None:
    command = re.search(r"```console\n\$ (.*?)\n```", PAGE)
    assert command is not None
    for entry in (a_served_entry(), a_refused_entry(cause='Åse said "no"\n\x7f \u2028 \U0001f600')):
        line = line_of(entry)
        (tmp_path / "audit.jsonl").write_bytes(line)
        done = subprocess.run(["sh", "-c", command[1]], cwd=tmp_path, capture_output=True, text=True, check=True)
        assert done.stdout.split()[0] == read(line)["attestation_list"][0]["fingerprint"]["value"]


def test_the_bounds_are_those_of_the_code() -> None:
    assert f"at most {MAX_TEXT:,} characters" in PAGE.replace("\n", " ")
    assert f"at most {MAX_NAMES} of at most {MAX_NAME} characters" in PAGE
