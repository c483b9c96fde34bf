"""Paths in a routes file: the pattern a route matches, and the path a service is called with.

A pattern that no request could ever match, because the door normalises or refuses what it is made of, is refused here
with the reason.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from hms_svc.core.own import PREFIX
from hms_svc.core.path import MAX_SEGMENTS, segment_key
from hms_svc.core.routes.places import Wrong
from hms_svc.core.routes.problems import shown

if TYPE_CHECKING:
    from hms_svc.core.routes.places import Place

MAX_PATTERN = 1_024
"""Characters."""
_PARAMETER = re.compile(r"\{[A-Za-z_][A-Za-z0-9_]{0,63}\}")
_REFUSED = (
    (re.compile(r"\?"), "has a query, which is no part of a path; a route asks for one with query: {name: value}"),
    (re.compile(r"#"), "has a fragment, which is no part of a path"),
    (re.compile(r"[\x00-\x20\x7f-\xa0]"), "holds a space or control character; write a space as %20"),
    (re.compile(r"%(?![0-9A-Fa-f]{2})"), "holds a % without two hexadecimal digits; write a percent sign as %25"),
    (re.compile(r"%(?:[01][0-9A-Fa-f]|7[Ff])"), "holds an escaped control character, which no request may"),
    (re.compile(r"\\|%(?:2[Ff]|5[Cc])"), "holds an escaped slash or a backslash, which services read in two ways"),
    (re.compile(r";"), "holds a ;, which services read in two ways; write %3B to mean the character"),
    (re.compile(r"//"), "has an empty segment; write one slash"),
)
_NOT_IN_A_URL = re.compile(r"[^A-Za-z0-9._~!$&'()*+,=:@%/-]")


def pattern(place: Place) -> str:
    """The path a route matches: literal segments, ``{name}`` for one segment, a last ``*`` for all below."""
    text = place.text("a path such as /claims/{id} or /claims/*")
    _check(text)
    segments = text.split("/")[1:]
    if segment_key(segments[0]) == PREFIX[1:]:
        raise Wrong(f"{shown(text)} is the gateway's own: nothing below {PREFIX}/ can be routed")
    names: set[str] = set()
    for index, segment in enumerate(segments):
        if "*" in segment:
            if segment != "*" or index < len(segments) - 1:
                raise Wrong(
                    f"{shown(text)} has a * that is not the last segment alone; end it with /*, or use {{name}}"
                )
        elif "{" in segment or "}" in segment:
            if not _PARAMETER.fullmatch(segment):
                raise Wrong(f"{shown(text)} has {shown(segment)}; a parameter is a whole segment: {{name}}")
            if segment in names:
                raise Wrong(f"{shown(text)} has {shown(segment)} twice; give each parameter its own name")
            names.add(segment)
    return text


def target_path(text: str) -> str:
    """The path of a service's URL or of a redirection, as it goes on the wire. Raises `Wrong`."""
    _check(text)
    strange = _NOT_IN_A_URL.search(text)
    if strange:
        raise Wrong(f"{shown(text)} holds {shown(strange.group())}, which must be percent-encoded in a URL")
    return text


def _check(text: str) -> None:
    """What holds for both. Raises `Wrong`."""
    if not text.startswith("/"):
        raise Wrong(f"found {shown(text)}, expected a path that begins with /")
    if len(text) > MAX_PATTERN or text.count("/") > MAX_SEGMENTS:
        raise Wrong(f"{shown(text)} is over {MAX_PATTERN} characters or {MAX_SEGMENTS} segments")
    for refused, why in _REFUSED:
        if refused.search(text):
            raise Wrong(f"{shown(text)} {why}")
    if any(segment_key(segment) in {".", ".."} for segment in text.split("/")):
        raise Wrong(f"{shown(text)} has a . or .. segment; write the path it leads to")
