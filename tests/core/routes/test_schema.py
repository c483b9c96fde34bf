"""The schema and the loader are of one mind: what an editor accepts loads, but for what only a program can see."""

from __future__ import annotations

import copy
import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from fakes_routes import BROKEN, GOOD, SCHEMA, as_an_editor_sees, notes, problems, validator
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from hms_svc.core.routes.yaml_tree import YamlInvalid, parse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CANNOT_SEE = "# schema: cannot see this"
ONLY_A_PROGRAM_SEES = {
    "how YAML is read": r"readers of YAML|a key must be text|is there twice; the first|cannot stand in YAML|"
    r"not YAML|<<|the number is too large|a number has at most",
    "what other routes, issuers and callers say": r"matches the same requests as|is the name of|"
    r"has the same issuer as|is for the same certificates as|has introspection too, and only one issuer can",
    "policies": r"there is no module nowhere",
    "header names, which have no case": r"set by the gateway alone|has a meaning of its own|that no policy may set|"
    r"header names have no case",
    "numbers inside a text": r"expected a (?:duration|size|whole number of seconds)|has the port|"
    r"is over \d+ characters|which no host name is|expected true \(the target's host\)",
    "addresses": r"expected a network|the network itself|is no IPv6 address|^trusted_proxies.* is there twice",
    "distinguished names": r"expected a distinguished name",
    "two keys that do not fit together": r"more than the bucket of|carries API keys, so|by default, and at most",
    "what limits count": r"counts the same as|is the name of rate_limit",
}


def verdict(data: bytes) -> bool:
    """Whether the schema accepts a document."""
    tree = parse(data)
    return tree is not None and bool(validator.is_valid(as_an_editor_sees(tree)))


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)


def properties(schema: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every key that the schema knows, wherever it stands."""
    if isinstance(schema, dict):
        for name, below in schema.get("properties", {}).items():
            if not isinstance(below.get("items", {}).get("not"), dict) and "const" not in below:
                yield name, below
        for below in schema.values():
            yield from properties(below)
    elif isinstance(schema, list):
        for below in schema:
            yield from properties(below)


def test_every_key_has_a_description() -> None:
    assert [name for name, schema in properties(SCHEMA) if not schema.get("description")] == []


def test_every_key_stands_in_a_good_file() -> None:
    text = "\n".join(path.read_text("utf-8") for path in GOOD)
    missing = {name for name, _ in properties(SCHEMA) if not re.search(rf"\b{name}:", text)}
    assert missing == set()


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_the_schema_accepts_a_good_file(path: Path) -> None:
    assert verdict(path.read_bytes())


@pytest.mark.parametrize("path", BROKEN, ids=lambda path: path.stem)
def test_the_schema_refuses_a_broken_file_unless_it_says_why_not(path: Path) -> None:
    try:
        accepted = verdict(path.read_bytes())
    except YamlInvalid:
        accepted = True
    else:
        accepted = accepted or parse(path.read_bytes()) is None
    assert accepted == (CANNOT_SEE in notes(path))


DOCUMENTS = [as_an_editor_sees(tree) for path in GOOD if (tree := parse(path.read_bytes()))]
KEYS = sorted({name for name, _ in properties(SCHEMA)} | {"rate_limt", "X-A", ""})
WORDS = st.sampled_from(
    ["", " ", "none", "oauth", "GET", "get", "CONNECT", "*", "/", "/a", "/*", "/_hms", "/{a}/{a}", "//", "/../a",
     "30/m", "0/m", "30/m per_ip", "10MB", "2GiB", "30s", "20m", "1h", "500ms", "http://a", "https://a:443", "http://a:70000/",
     "http://[::1]", "http://[1:]", "http://u:p@a",
     "*.a.example", "A.example", "a:80", "https://*.a.example", "a.B",
     "a:B", "nowhere.X", "sqs:x", "/jobs/{id}", "true", "é", "a b", "a\nb", "\u0000", "x" * 1_100, "10.0.0.1/8", "::/0",
     "10.0.0.0/33", "RS256", "HS256", "required", "Host", "host", "X-A", "x-a", "\x7f", "\u2028", "~",
     "http://127.0.0.1/", "file:/run/secrets/a", "ssm:/a", "ssm:a", "0s",
     "CN=a,O=b", "CN=a,,", "0AF3", "0a:f3", "0a:f", "*.a", "a@b", "A@*", "spiffe://a/*",
     "spiffe://*", "urn:*"]
)  # fmt: skip
SCALARS = WORDS | st.integers(-2, 1_000_000_001) | st.sampled_from([0.5, 1.0, 2.5, 1e16, 901.0, True, False, None])
VALUES = st.recursive(
    SCALARS,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.sampled_from(KEYS) | WORDS, below, max_size=3),
    max_leaves=4,
)


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container in a document with each of its keys or indexes."""
    if isinstance(value, dict | list):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from places(value[key])


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A good document that something was done to, as JSON, which is YAML."""
    document = {"_": copy.deepcopy(draw(st.sampled_from(DOCUMENTS)))}
    for _ in range(draw(st.integers(1, 2))):
        container, key = draw(st.sampled_from(list(places(document))))
        match draw(st.sampled_from(["replace", "remove", "add", "rename", "wrap"])):
            case "remove" if container is not document:
                del container[key]
            case "add" if isinstance(container, dict) and container is not document:
                container[draw(st.sampled_from(KEYS))] = draw(VALUES)
            case "add" if isinstance(container, list):
                container.append(draw(VALUES | st.sampled_from(container)))
            case "rename" if isinstance(container, dict) and container is not document:
                container[draw(st.sampled_from(KEYS) | WORDS)] = container.pop(key)
            case "wrap":
                container[key] = [container[key]]
            case _:
                container[key] = draw(VALUES)
    return json.dumps(document["_"], ensure_ascii=False).encode()


@settings(deadline=None, max_examples=1_000)
@given(data=mutated())
def test_schema_and_loader_agree_on_documents_made_of_good_ones(data: bytes) -> None:
    found = problems(data)
    try:
        accepted = verdict(data)
    except YamlInvalid:
        assert found
        return
    if not accepted:
        assert found
    elif found:
        known = re.compile("|".join(ONLY_A_PROGRAM_SEES.values()))
        assert [problem for problem in found if not known.search(problem.partition(" ")[2])] == []


SEGMENTS = st.sampled_from(
    ["", "a", "é", ".", "..", "%2e", ".%2E", "...", "{a}", "{b}", "{a", "a}", "{}", "{1}", "*", "**", "a*", "%2F",
     "%5c", "%00", "%1f", "%7F", "%80", "%", "%4", "%zz", ";", "a;b", "%3b", "?", "#", " ", "\t", "\xa0", "\\", "_hms",
     "%5Fhm%73", "_hmsx", "_HMS", "~!$&'()+,=:@-", "|", "^"]
)  # fmt: skip


@settings(deadline=None, max_examples=1_000)
@given(first=st.just("") | SEGMENTS, rest=st.lists(SEGMENTS, max_size=4))
def test_schema_and_loader_agree_on_every_path(first: str, rest: list[str]) -> None:
    path = "/".join([first, *rest])
    keys: list[dict[str, Any]] = [
        {"path": path, "forward_to": "http://a"},
        {"path": "/x", "forward_to": f"http://a{path}"},
        {"path": "/x", "redirect": {"path": path}},
    ]
    for route in keys:
        data = json.dumps([route | {"auth": "none"}]).encode()
        assert verdict(data) == (problems(data) == []), route
