from __future__ import annotations

from typing import Any

import pytest
from fakes_routes import BROKEN, GOOD
from hypothesis import given, settings
from hypothesis import strategies as st

from hms_svc.core.routes.yaml_tree import (
    MAX_BYTES,
    MAX_DEPTH,
    Mapping,
    Scalar,
    Sequence,
    Unreadable,
    YamlInvalid,
    parse,
    plain,
)

BOTH = pytest.mark.parametrize("with_libyaml", [True, False], ids=["libyaml", "python"])


def value(text: str) -> Any:
    node = parse(text.encode())
    assert node is not None
    return plain(node)


def refusal(data: bytes) -> str:
    with pytest.raises(YamlInvalid) as caught:
        parse(data)
    return f"{caught.value.line}:{caught.value.column} {caught.value.message}"


@BOTH
def test_each_node_knows_where_it_stands(with_libyaml: bool) -> None:  # noqa: FBT001  (pytest passes it by name)
    tree = parse(b"# comment\na:\n  - x\n  - {b: '7'}\n", with_libyaml=with_libyaml)
    assert isinstance(tree, Mapping)
    (key, (node, line, column)), *_ = tree.entries.items()
    assert (key, line, column) == ("a", 2, 1)
    assert isinstance(node, Sequence)
    assert node.items[0] == Scalar("x", 3, 5)
    assert isinstance(node.items[1], Mapping)
    assert node.items[1].entries["b"] == (Scalar("7", 4, 9), 4, 6)


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_the_parser_in_c_and_the_one_in_python_agree(path: Any) -> None:
    data = path.read_bytes()
    assert parse(data, with_libyaml=True) == parse(data, with_libyaml=False)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("text", "text"),
        ("7", 7),
        ("-7", -7),
        ("0x1f", 31),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1.5e+3", 1500.0),
        ("true", True),
        ("False", False),
        ("~", None),
        ("null", None),
        ("''", ""),
        ("'7'", "7"),
        ("!!str 7", "7"),
        ("!!int 7", 7),
        ("!!float 7", 7),
        ("!!bool true", True),
        ("2024-01-01", "2024-01-01"),
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("y", "y"),
        ("-", "-"),
        ("+", "+"),
        ("-x", "-x"),
    ],
)
def test_a_plain_scalar_stands_for_a_value(text: str, expected: object) -> None:
    found = value(f"[{text}]" if text != "-" else "['-']")[0]
    assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize(
    "text",
    ["no", "Yes", "ON", "off", "010", "089", "0o17", "0b11", "-0x1f", "1_000", "1:30", "1e3", "1.5e3", ".inf", "-.INF",
     ".nan", "1.0_1", "9" * 30, "1." + "9" * 400 + "e+999", "!!int x", "!!int true", "!!binary aGk=", "!own x",
     "*nobody"],
)  # fmt: skip
@BOTH
def test_what_readers_of_yaml_disagree_on_has_no_value(text: str, with_libyaml: bool) -> None:  # noqa: FBT001
    tree = parse(f"- {text}".encode(), with_libyaml=with_libyaml)
    assert isinstance(tree, Sequence)
    assert isinstance(tree.items[0], Unreadable)
    assert len(tree.items[0].message) < 300


def test_a_tag_on_a_list_or_mapping_is_refused_unless_it_says_what_it_is() -> None:
    assert value("[!!seq [a], !!map {b: c}]") == [["a"], {"b": "c"}]
    assert value("[!!set {b}, !own [c], !!omap [d]]") == [None, None, None]


def test_a_byte_order_mark_is_no_content() -> None:
    assert value("\ufeffa: 1\nb: 2\n") == {"a": 1, "b": 2}


def test_an_alias_stands_for_what_it_names() -> None:
    assert value("[&x {a: &y [1]}, *x, *y]") == [{"a": [1]}, {"a": [1]}, [1]]


def test_an_alias_inside_what_it_names_has_no_value() -> None:
    assert value("&x [*x, a]") == [None, "a"]


def test_aliases_count_as_what_they_stand_for() -> None:
    lines = ["- &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"- &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    assert refusal("\n".join(lines).encode()) == "7:8 the file has over 2,000,000 values, aliases counted in full"


def test_aliases_count_as_deep_as_what_they_stand_for() -> None:
    lines = ["- &a0 [x]"] + [f"- &a{n} [*a{n - 1}]" for n in range(1, 40)]
    assert "nested over 32 deep" in refusal("\n".join(lines).encode())


@BOTH
def test_depth_is_bounded(with_libyaml: bool) -> None:  # noqa: FBT001
    fits = b"[" * MAX_DEPTH + b"]" * MAX_DEPTH
    assert parse(fits, with_libyaml=with_libyaml) is not None
    with pytest.raises(YamlInvalid, match="nested over 32 deep"):
        parse(b"[" * 100_000, with_libyaml=with_libyaml)


def test_size_is_bounded() -> None:
    assert refusal(b"#" * (MAX_BYTES + 1)) == "1:1 the file is over 8 MiB"


def test_bytes_that_are_no_text_are_refused_where_they_stand() -> None:
    assert refusal("a: ü\nb: ü".encode() + b"\xff") == "2:5 the byte 0xff is not UTF-8"
    assert refusal(b"a: b\nc: \x1b[31m") == "2:4 the character U+001B cannot stand in YAML"
    assert refusal("a: b\ufeff".encode()) == "1:5 the character U+FEFF cannot stand in YAML"


def test_a_surrogate_is_refused_by_either_parser() -> None:
    with pytest.raises(YamlInvalid):
        parse(rb'"\ud800"')
    assert isinstance(parse(rb'"\ud800"', with_libyaml=False), Unreadable)


def test_a_syntax_error_has_its_place() -> None:
    assert (
        refusal(b"a: [1\nb: 2]\nc: :\n")
        == "2:2 not YAML: did not find expected ',' or ']', while parsing a flow sequence"
    )


def test_keys_are_text_and_each_is_there_once() -> None:
    tree = parse(b"{a: 1, a: 2, 7: x, ~: x, true: x, [b]: x, on: x, <<: x, 'on': y}")
    assert isinstance(tree, Mapping)
    assert plain(tree) == {"a": 1, "on": "y"}
    assert [(fault.key, fault.message) for fault in tree.faults] == [
        ("a", "is there twice; the first is in line 1, column 2"),
        ("7", "a key must be text; put it in quotes"),
        ("null", "a key must be text; put it in quotes"),
        ("true", "a key must be text; put it in quotes"),
        ("", "a key must be text"),
        ("on", "on is true to some readers of YAML and text to others; put it in quotes, or write true"),
        ("<<", "merge keys are not supported; write the keys out"),
    ]


def test_a_file_without_a_document_has_no_tree() -> None:
    assert parse(b"") is None
    assert parse(b"# nothing\n") is None


@BOTH
@settings(deadline=None)
@given(data=st.binary(max_size=100) | st.text("[]{}:,-?&*!|>'\"%@`# \n\tab01.~<=", max_size=60).map(str.encode))
def test_whatever_the_bytes_there_is_a_tree_or_a_reason(with_libyaml: bool, data: bytes) -> None:  # noqa: FBT001
    try:
        parse(data, with_libyaml=with_libyaml)
    except YamlInvalid as invalid:
        assert invalid.line >= 1  # noqa: PT017  (either outcome is good)
        assert invalid.column >= 1  # noqa: PT017
        assert invalid.message  # noqa: PT017


def test_broken_files_are_there() -> None:
    assert len(BROKEN) >= 30
