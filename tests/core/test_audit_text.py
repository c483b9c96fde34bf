from __future__ import annotations

import json

import pytest
from fakes_audit import a_request
from hypothesis import given
from hypothesis import strategies as st

from hms_svc.core.audit_text import MAX_NAMES, MAX_TEXT, bare_path, query_names, quoted, scrubbed, tamed
from hms_svc.core.model import Headers, Request

TOKEN = "kL9v-Zq3_xT7mB2n"


@given(st.text())
def test_a_text_stays_as_it_is_when_it_prints(text: str) -> None:
    said = json.loads(quoted(text))
    assert said.isprintable()
    assert (said == text) == (text.isprintable() and len(text) <= MAX_TEXT)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("curl/8.5.0", "curl/8.5.0"),
        ('"quoted" \\', '"quoted" \\'),
        ("Åse", "Åse"),
        ("a\nb\r\n\x00", "a\\u000ab\\u000d\\u000a\\u0000"),
        ("\x1b[2J and \x9b2J", "\\u001b[2J and \\u009b2J"),
        ("\u202e right to left", "\\u202e right to left"),
        ("half \ud83d of a pair", "half \\ud83d of a pair"),
    ],
)
def test_what_does_not_print_is_written_out(text: str, said: str) -> None:
    assert json.loads(quoted(text)) == said
    quoted(text).encode()


def test_a_long_text_is_cut_and_says_so() -> None:
    assert json.loads(quoted("x" * MAX_TEXT)) == "x" * MAX_TEXT
    assert json.loads(quoted("x" * (MAX_TEXT + 512))) == "x" * MAX_TEXT + "...(+512)"


KEY = "hms_7Qx9Zk2LmN4pR6sT8vW1yB3dF5gH0jKcXaVbQwErTyUiOpAsD"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (KEY, "[redacted]"),
        (f"curl/8 {KEY}, {KEY}x\n", "curl/8 [redacted], [redacted]x\\u000a"),
        ("x" * 1_000 + KEY, "x" * 1_000 + "[redacted]"),
        ("x" * 1_010 + KEY + "y" * 10, "x" * 1_010 + "[redacted]" + "yyyy...(+6)"),
        (KEY[:-1], KEY[:-1]),
        ("hms_svc", "hms_svc"),
    ],
)
def test_an_api_key_is_taken_out_before_a_text_is_cut(text: str, said: str) -> None:
    assert json.loads(quoted(text)) == tamed(text) == said


def with_header(name: str, value: str) -> Request:
    return a_request(headers=Headers([("Host", "a"), (name, value)]))


@pytest.mark.parametrize(
    "request_",
    [
        with_header("Authorization", f"Bearer {TOKEN}"),
        with_header("Proxy-Authorization", f"Basic {TOKEN}"),
        with_header("Cookie", f"theme=dark; session={TOKEN}; a=b"),
        with_header("X-API-Key", TOKEN),
        with_header("X-Amz-Security-Token", TOKEN),
        a_request(query=f"page=2&access_token={TOKEN}"),
        a_request(query=TOKEN),
        a_request(path=f"http://ada:{TOKEN}@gateway/"),
    ],
    ids=lambda request: repr(request.headers),
)
@pytest.mark.parametrize(
    "text",
    [
        TOKEN,
        f"cannot read {TOKEN}.",
        f"KeyError: '{TOKEN}'",
        f"session={TOKEN}; no such session",
        f"/verify/{TOKEN}/now failed",
        f"begins with {TOKEN[:12]}…",
    ],
)
def test_a_free_text_does_not_repeat_what_a_request_carried(request_: Request, text: str) -> None:
    said = scrubbed(text, request_)
    assert TOKEN[:12] not in said
    assert "[redacted]" in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("GET http://ada:pw@idp.example/keys failed", "GET http://[redacted]@idp.example/keys failed"),
        ("GET https://idp.example/keys?key=1 failed", "GET https://idp.example/keys?[redacted] failed"),
        ("cannot read eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln", "cannot read [redacted]"),
        ("sent Bearer abc-123-def", "sent Bearer [redacted]"),
    ],
)
def test_what_looks_like_a_credential_is_taken_out_whoever_sent_it(text: str, said: str) -> None:
    assert scrubbed(text, a_request()) == said


def test_plain_words_stay_whatever_the_caller_sends() -> None:
    cause = "Signature verification failed: issuer https://login.agency.example/ gave no Bearer authentication"
    request = a_request(query="q=Signature+verification+failed", headers=Headers([("Cookie", cause)]))
    assert scrubbed(cause, request).split()[:3] == ["Signature", "verification", "failed:"]
    assert scrubbed("", request) == ""


def test_a_free_text_of_nothing_but_marks_stays() -> None:
    assert scrubbed("." * 20 + " !!!!!!!!!!!!!!!", a_request(query="a=1")) == "." * 20 + " !!!!!!!!!!!!!!!"


@pytest.mark.parametrize("piece", ["?", "eyJ-", "://", "Bearer ", "a?b=", "Bearer\t", "@", "eyJ."])
def test_a_hostile_text_costs_no_more_than_any_other(piece: str) -> None:
    text = piece * (100_000 // len(piece))
    assert len(scrubbed(text, a_request(query=text))) <= 3 * MAX_TEXT


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/a/%zz?token=1", "/a/%zz"),
        ("/users/@me#x", "/users/@me"),
        ("http://ada:pw@host/a?b", "host/a"),
        ("ada:p@w@host:443", "host:443"),
        ("*", "*"),
        ("", ""),
    ],
)
def test_the_path_of_a_target_without_normal_form_has_no_query_and_no_userinfo(target: str, path: str) -> None:
    assert bare_path(target) == path


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("page=2&sort=name", (["page", "sort"], 0)),
        ("a=1&a=2&a=3", (["a"], 0)),
        ("filter%5Bx%5D=1", (["filter%5Bx%5D"], 0)),
        ("flag", ([], 1)),
        ("c2VjcmV0LXRva2Vu==&a=1", (["a"], 1)),
        ("=value&&b=", ([], 2)),
        ("x" * 65 + "=1", ([], 1)),
    ],
)
def test_parameters_with_a_value_are_named_and_others_counted(query: str, names: tuple[list[str], int]) -> None:
    assert query_names(query) == names


def test_only_so_many_parameters_are_named() -> None:
    names, unnamed = query_names("&".join(f"p{number}=1" for number in range(MAX_NAMES + 5)))
    assert (len(names), unnamed) == (MAX_NAMES, 5)
