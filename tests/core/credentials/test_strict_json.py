from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hms_svc.core.credentials.strict_json import MAX_DEPTH, frozen_object, parse_object

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**18), 10**18) | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text('ab{["\\', max_size=3), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.text('xy"\\]}', max_size=3), VALUES, max_size=5))
def test_what_the_standard_library_writes_is_read_back(value: dict[str, Any]) -> None:
    assert parse_object(json.dumps(value).encode()) == value


@given(st.binary(max_size=300))
def test_bytes_are_an_object_or_a_value_error(data: bytes) -> None:
    with contextlib.suppress(ValueError):
        assert isinstance(parse_object(data), dict)


@given(st.text('{}[]":,\\ tn1', max_size=300))
def test_text_that_looks_like_json_is_an_object_or_a_value_error(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert isinstance(parse_object(text.encode()), dict)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (b'{"a":1,"a":2}', "a member twice"),
        (b'{"a":{"b":1,"\\u0062":2}}', "a member twice"),
        (b'{"a":NaN}', "NaN"),
        (b'{"a":-Infinity}', "-Infinity"),
        (b'{"a":1e999}', "out of range"),
        (b'{"a":0.' + b"1" * 100 + b"}", "out of range"),
        (b'{"a":' + b"9" * 21 + b"}", "more than 20 digits"),
        (b'{"a":' + b"[" * 17 + b"]" * 17 + b"}", "nested deeper"),
        (b"[" * 8000, "nested deeper"),
        (b'{"a":' * 2000, "nested deeper"),
        (b'{"a":"\\ud800"}', "not UTF-8"),
        (b'{"a":"\xff"}', "not UTF-8"),
        (b"[1]", "not a JSON object"),
        (b'"text"', "not a JSON object"),
        (b"", "not JSON"),
        (b'{"a":1} x', "not JSON"),
        (b'\xef\xbb\xbf{"a":1}', "not JSON"),
    ],
    ids=lambda value: value[:16] if isinstance(value, bytes) else "",
)
def test_what_has_two_readings_or_no_end_is_refused(text: bytes, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        parse_object(text)


def test_brackets_in_texts_are_no_nesting() -> None:
    value = {"a": '[{"\\' * 50, "b": [[]] * 20}
    assert parse_object(json.dumps(value).encode()) == value


def test_nesting_up_to_the_bound_is_read() -> None:
    text = b'{"a":' + b"[" * (MAX_DEPTH - 1) + b"]" * (MAX_DEPTH - 1) + b', "b": [], "c": []}'
    assert "a" in parse_object(text)


def test_a_frozen_object_cannot_be_changed_anywhere() -> None:
    value = frozen_object({"roles": ["a", {"b": 1}], "address": {"city": "x"}})
    assert value["roles"][0] == "a"
    assert isinstance(value["roles"], tuple)
    objects: list[Any] = [value, value["address"], value["roles"][1]]
    for inner in objects:
        with pytest.raises(TypeError):
            inner["new"] = 1
