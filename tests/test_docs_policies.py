"""What docs/policies.md shows works as it stands there."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import yaml
from fakes_routes import problems

from hms_svc import PolicyRequest, Verdict
from hms_svc.core.config import Forward, Route
from hms_svc.core.model import NOBODY, Headers
from hms_svc.core.policy_loader import PolicyLoader

TEXT = (Path(__file__).parent.parent / "docs" / "policies.md").read_text("utf-8")

YAML = re.findall(r"^```yaml\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)


def test_the_example_is_saved_named_and_asked(tmp_path: Path) -> None:
    (example,) = re.findall(r"^```python\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
    uses, _ = YAML
    (tmp_path / "office_hours.py").write_text(example)
    plain, with_options = yaml.safe_load(uses)["policies"]
    loader = PolicyLoader(tmp_path)
    path, hooks = list(sys.path), list(sys.path_hooks)
    loader.install()
    try:
        by_default = loader.build(plain, {})
        later = loader.build(with_options["use"], with_options["with"])
    finally:
        sys.path[:], sys.path_hooks[:] = path, hooks
        sys.modules.pop("office_hours", None)
    shown = PolicyRequest("GET", "/", {}, {}, Headers([("x-local-time", "08:30")]), b"", NOBODY, "192.0.2.7")
    route = Route(name="r", path="/", action=Forward(()), auth=())
    assert by_default.check(shown, route) == Verdict.pass_()
    assert later.check(shown, route) == Verdict.block("The office is open from 09:00 to 17:30")


def test_the_keys_of_a_cost_that_a_policy_says_load() -> None:
    _, costs = YAML
    route = {"path": "/x", "auth": "oauth", "forward_to": "http://x"} | yaml.safe_load(costs)
    assert problems(yaml.safe_dump([route])) == []


def test_every_field_of_the_request_is_described() -> None:
    table = TEXT.partition("## What it is shown")[2].partition("## ")[0]
    assert [name for name in PolicyRequest.__slots__ if f"`{name}`" not in table] == []
