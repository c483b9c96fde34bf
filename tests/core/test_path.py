from __future__ import annotations

import pytest
import vectors
from hypothesis import given
from hypothesis import strategies as st

from hms_svc.core.errors import Malformed
from hms_svc.core.path import (
    MAX_PATH,
    MAX_SEGMENTS,
    decode_segment,
    merge_slashes,
    normalise,
    other_readings,
    segment_key,
)

ENVOY = vectors.read_json("envoy-path/path_utility_vectors.json")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/", "/"),
        ("/claims", "/claims"),
        ("/claims/", "/claims/"),
        ("/claims/7.pdf", "/claims/7.pdf"),
        ("/.hidden/...", "/.hidden/..."),
        ("/a/./b", "/a/b"),
        ("/a/b/..", "/a/"),
        ("/a/b/.", "/a/b/"),
        ("/../../etc/passwd", "/etc/passwd"),
        ("/a//b///c", "/a/b/c"),
        ("/a\\..\\b", "/b"),
        ("/public/%2e%2e/secure", "/secure"),
        ("/%63laims/%7Ejo", "/claims/~jo"),
        ("/caf%C3%A9", "/caf%C3%A9"),
        ("/user/%40me", "/user/%40me"),
        ("", "/"),
    ],
)
def test_a_path_has_one_normal_form(path: str, expected: str) -> None:
    assert normalise(path) == expected


@pytest.mark.parametrize(
    "path",
    [
        "/a%00b",
        "/a\x00b",
        "/a%0d%0aSet-Cookie:x",
        "/a%7F",
        "/a b",
        "/a%",
        "/a%2",
        "/a%zz",
        "/a%%30",
        "/caf\xe9",
        "/a?b",
        "/a#b",
        "/" + "x" * MAX_PATH,
        "/x" * (MAX_SEGMENTS + 1),
    ],
)
def test_a_path_without_a_normal_form_is_refused(path: str) -> None:
    with pytest.raises(Malformed) as refused:
        normalise(path)
    assert refused.value.status == 400


@given(st.text(alphabet="/.%2eE5cCfF\\;ab", max_size=40))
def test_the_normal_form_is_its_own_normal_form_and_leaves_nothing_to_resolve(tail: str) -> None:
    try:
        normal = normalise("/" + tail)
    except Malformed:
        return
    assert normalise(normal) == normal
    assert "//" not in normal
    assert "\\" not in normal
    assert not {".", ".."} & set(normal.split("/"))


@pytest.mark.parametrize(
    ("path", "others"),
    [
        ("/claims/7", set()),
        ("/claims/a%20b", set()),
        ("/public/..%2fadmin", {"/admin"}),
        ("/public/..%5Cadmin", {"/admin"}),
        ("/public%2Fadmin", {"/public/admin"}),
        ("/public/..;/admin", {"/admin"}),
        ("/admin;v=1/users", {"/admin/users"}),
        ("/public/x;a%2f..%2f..%2fadmin", {"/admin", "/public/x"}),
    ],
)
def test_what_else_backends_read_in_a_path_is_known(path: str, others: set[str]) -> None:
    assert others <= other_readings(path)
    assert bool(others) == bool(other_readings(path))


def test_segments_are_compared_decoded_and_handed_on_decoded() -> None:
    assert segment_key("caf%C3%A9") == segment_key("caf%c3%a9") == "café"
    assert decode_segment("a%2Fb") == "a/b"
    assert decode_segment("%c0%af") == "\ufffd\ufffd"
    assert segment_key("%c0%af") != segment_key("%c0%ae")


@vectors.needed
@pytest.mark.parametrize(("path", "expected"), ENVOY.get("normalize", ()))
def test_envoy_normalise(path: str, expected: str) -> None:
    assert normalise(path) == expected


@vectors.needed
@pytest.mark.parametrize("path", ENVOY.get("reject", ()))
def test_envoy_reject(path: str) -> None:
    with pytest.raises(Malformed):
        normalise(path)


@vectors.needed
@pytest.mark.parametrize(("target", "expected"), ENVOY.get("merge_slashes", ()))
def test_envoy_merge_slashes(target: str, expected: str) -> None:
    assert merge_slashes(target) == expected
