"""How text from outside gets into the audit record: bounded, printable, and without secrets.

The record is read by people in terminals and kept for years. So a text in it is at most `MAX_TEXT` characters, holds
no character that does not print and no API key of the gateway's, wherever a caller put it, and where it was written
freely (a policy's reason, an exception's message) it repeats nothing that the request carried as a credential.
"""

from __future__ import annotations

import re
from json.encoder import encode_basestring
from typing import TYPE_CHECKING

from hms_svc.core.credentials.api_keys import PREFIX, SHAPE

if TYPE_CHECKING:
    from hms_svc.core.model import Request

MAX_TEXT = 1_024
"""Characters of one text; what is longer is cut and ends in ``...(+N)``, N being the characters cut."""
MAX_NAMES = 32
"""Query parameters named in one record."""
MAX_NAME = 64
REDACTED = "[redacted]"
LEAST_SECRET = 12
"""Characters that a piece of text has at least to be taken for a secret."""

_CARRIES_SECRETS = re.compile(
    r"auth|cookie|token|secret|passw|key|session|credential|signature|jwt|saml", re.IGNORECASE
)
"""Header names whose values are credentials, or may be."""
_WORD = re.compile(rf"""[^\s"'`<>(){{}}\[\],;=]{{{LEAST_SECRET},}}""")
_PART = re.compile(rf"[A-Za-z0-9_-]{{{LEAST_SECRET},}}")
_LOOKS_SECRET = (
    (SHAPE, REDACTED),
    (re.compile(r"(?<=://)[^/\s@]+(?=@)"), REDACTED),
    (re.compile(r"(?<=\?)[^\s\"'>?=]*=[^\s\"'>]*"), REDACTED),
    (re.compile(r"(?<![\w-])eyJ[\w-]{8,}(?:\.[\w-]*){1,4}"), REDACTED),
    (re.compile(r"\b(Bearer|Basic)\s+(?=\S*[^a-z\s])\S{8,}", re.IGNORECASE), rf"\1 {REDACTED}"),
)


def tamed(text: str) -> str:
    """``text`` without API keys, at most `MAX_TEXT` characters of it; what does not print is its code point."""
    if PREFIX in text:
        text = SHAPE.sub(REDACTED, text)  # before it is cut: most of a key is as good as all of it
    if len(text) <= MAX_TEXT and text.isprintable():
        return text
    kept = "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text[:MAX_TEXT])
    return f"{kept}...(+{len(text) - MAX_TEXT})" if len(text) > MAX_TEXT else kept


def quoted(text: str) -> str:
    """``text``, `tamed`, as a JSON string."""
    if len(text) <= MAX_TEXT and PREFIX not in text and text.isprintable():  # most texts, and this is the hot path
        return encode_basestring(text)
    return encode_basestring(tamed(text))


def scrubbed(text: str, request: Request) -> str:
    """``text`` without what looks like a credential, and without what ``request`` carried where credentials are.

    Plain words stay, whatever the caller sent: nobody may blank out the reason of a refusal by sending it.
    """
    text = text[: 2 * MAX_TEXT]
    for pattern, instead in _LOOKS_SECRET:
        text = pattern.sub(instead, text)
    if not _WORD.search(text):
        return text
    carried = _carried(request)

    def judged(found: re.Match[str]) -> str:
        word = found[0]
        bare = word.strip(".:!?")
        if len(bare) >= LEAST_SECRET and not _is_plain(bare) and bare in carried:
            return word.replace(bare, REDACTED)
        return _PART.sub(lambda part: REDACTED if not _is_plain(part[0]) and part[0] in carried else part[0], word)

    return _WORD.sub(judged, text)


def _is_plain(word: str) -> bool:
    return word.isalpha() and (word.islower() or word[1:].islower())


def _carried(request: Request) -> str:
    """Everything of ``request`` that may be a credential, one a line."""
    values = [value for name, value in request.headers.lines if _CARRIES_SECRETS.search(name)]
    return "\n".join((*values, request.query, *request.path.split("@")[:-1]))


def bare_path(target: str) -> str:
    """The path of a request target that has no normal form, without query, fragment and userinfo."""
    path = re.split(r"[?#]", target, maxsplit=1)[0]
    return path if path.startswith("/") else path.rpartition("@")[2]


def query_names(query: str) -> tuple[list[str], int]:
    """The names of the parameters in ``query``, as they came, each once, and how many more parameters there were.

    A part without a value is counted and not named: it may be a bare token.
    """
    names: dict[str, None] = {}
    unnamed = 0
    for part in query.split("&"):
        name, _, value = part.partition("=")
        if name and value.strip("=") and len(name) <= MAX_NAME and (name in names or len(names) < MAX_NAMES):
            names[name] = None
        elif part:
            unnamed += 1
    return list(names), unnamed
