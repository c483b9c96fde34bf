"""docs/routes.md is the reference: every key stands in it, and every example in it loads."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import Any

import pytest
from fakes_routes import PROJECT, SCHEMA, problems, validator

from hms_svc.core.config import Cors, Forward, IntrospectionEndpoint, Issuer, Limit, Redirect, Route
from hms_svc.core.routes.yaml_tree import parse, plain

REFERENCE = (PROJECT / "docs" / "routes.md").read_text("utf-8")
EXAMPLES = re.findall(r"```yaml\n(.*?)```", REFERENCE, re.DOTALL)
DEFAULTS = {
    "algorithms": (Issuer, "algorithms"),
    "audience_claim": (Issuer, "audience_claim"),
    "leeway": (Issuer, "leeway_s"),
    "cache": (IntrospectionEndpoint, "cache_s"),
    "timeout": (Forward, "timeout_s"),
    "retries": (Forward, "retries"),
    "max_body": (Route, "max_body"),
    "audit": (Route, "audit"),
    "per": (Limit, "per"),
    "ipv6_prefix": (Limit, "ipv6_prefix"),
    "window": (Limit, "window"),
    "cost": (Limit, "cost"),
    "on_error": (Limit, "on_error"),
    "max_age": (Cors, "max_age_s"),
}
WRITTEN = {"`30s`": 30.0, "`60s`": 60.0, "`10MB`": 10_000_000, "`[RS256, ES256]`": ("RS256", "ES256")}


def keys(schema: Any) -> set[str]:
    if isinstance(schema, list):
        return set[str]().union(*map(keys, schema))
    if not isinstance(schema, dict):
        return set()
    return set(schema.get("properties", ())).union(*map(keys, schema.values()))


@pytest.mark.parametrize("key", sorted(keys(SCHEMA)))
def test_every_key_of_the_schema_is_in_the_reference(key: str) -> None:
    assert f"`{key}`" in REFERENCE


@pytest.mark.parametrize("key", sorted(DEFAULTS))
def test_the_reference_tells_the_defaults_that_the_model_has(key: str) -> None:
    told = [line.split("|")[-2].strip() for line in REFERENCE.splitlines() if line.startswith(f"| `{key}` |")]
    model, name = DEFAULTS[key]
    (default,) = [field.default for field in fields(model) if field.name == name]
    assert [WRITTEN.get(text, text.strip("`")) for text in told] in ([default], [str(default)])


def test_a_redirection_is_found_unless_it_says_otherwise() -> None:
    assert f"default {Redirect().status}" in REFERENCE


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_every_example_in_the_reference_loads(example: str) -> None:
    tree = parse(example.encode())
    assert tree is not None
    assert problems(example) == []
    assert validator.is_valid(plain(tree))
