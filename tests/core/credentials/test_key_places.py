from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

import pytest
from fakes_credentials import route
from hypothesis import given
from hypothesis import strategies as st
from worlds import request

from hms_svc.core.arrive import Arrival
from hms_svc.core.config import Config
from hms_svc.core.credentials.key_places import keys_at, without_query_key

IN_QUERY = route("api_key", api_key_query="api_key")
QUERIES = st.text("api_key=&;%5F+1aé", max_size=40) | st.lists(
    st.sampled_from(["api_key=K", "api%5Fkey=K", "api_key", "API_KEY=K", "a=1", "", "=K", "api_key[]=K", "a=api_key=K"])
).map("&".join)


def keys(query: str = "", *lines: tuple[str, str], **config: Any) -> list[tuple[str, str]]:
    return keys_at(request(query=query, headers=[("Host", "a"), *lines]), IN_QUERY, Config(**config))


def stripped(query: str, *, parameter: str | None = "api_key") -> str:
    asked = Arrival(request(query=query), "", "", "http", "a", "/", "", trusted=False)
    return without_query_key(asked, route("api_key", api_key_query=parameter)).request.query


def test_a_key_is_looked_for_in_the_header_and_the_query() -> None:
    assert keys("a=1&api_key=K%31&b=2", ("x-api-key", "L")) == [
        ("X-API-Key", "L"),
        ("the query parameter api_key", "K1"),
    ]


def test_each_line_of_a_repeated_header_is_a_key_of_its_own() -> None:
    assert [key for _, key in keys("", ("X-API-Key", "K"), ("x-api-key", "L"))] == ["K", "L"]


@pytest.mark.parametrize("value", ["K,L", "K, L", "K ,\tL"])
def test_keys_that_were_joined_with_a_comma_are_keys_of_their_own(value: str) -> None:
    assert [key for _, key in keys("", ("X-API-Key", value))] == ["K", "L"]
    assert len(keys("", ("X-API-Key", "K,"))) == 2


def test_the_header_is_the_one_that_was_set_and_no_other() -> None:
    assert keys("", ("X-API-Key", "K"), api_key_header="X-Agency-Key") == []
    assert keys("", ("x-agency-key", "K"), api_key_header="X-Agency-Key") == [("X-Agency-Key", "K")]


def test_without_the_setting_the_query_is_left_alone() -> None:
    assert keys_at(request(query="api_key=K"), route("api_key"), Config()) == []
    assert stripped("api_key=K&a=1", parameter=None) == "api_key=K&a=1"


@pytest.mark.parametrize(
    ("query", "left"),
    [
        ("api_key=K", ""),
        ("a=1&api_key=K&b=%32", "a=1&b=%32"),
        ("api_key=K&a=1&api_key=L&api_key", "a=1"),
        ("api%5Fkey=K&a=1", "a=1"),
        ("a=1&&b", "a=1&&b"),
        ("API_KEY=K&xapi_key=K", "API_KEY=K&xapi_key=K"),
    ],
)
def test_the_parameter_goes_and_the_rest_stays_to_the_letter(query: str, left: str) -> None:
    assert stripped(query) == left


@given(QUERIES)
def test_what_is_left_of_any_query_has_no_such_parameter_and_all_the_others(query: str) -> None:
    before, after = (parse_qsl(text, keep_blank_values=True) for text in (query, stripped(query)))
    assert after == [(name, value) for name, value in before if name != "api_key"]


@given(QUERIES)
def test_all_values_of_the_parameter_are_seen_as_keys(query: str) -> None:
    there = [value for name, value in parse_qsl(query, keep_blank_values=True) if name == "api_key"]
    assert [key for _, key in keys(query)] == there
