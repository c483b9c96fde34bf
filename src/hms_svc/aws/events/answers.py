"""What the answers of all doors have in common: the platform's own fields left out, and how repeated lines go along."""

from __future__ import annotations

import http
from typing import TYPE_CHECKING, Any

from hms_svc.aws.events.body import written
from hms_svc.core.model import Headers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hms_svc.core.model import Response

Answer = dict[str, Any]

_OWNED = frozenset({"connection", "content-length", "date", "keep-alive", "transfer-encoding"})
"""The platform frames and dates the answer; API Gateway renames or refuses these when a function sends them."""
_NO_BODY = frozenset({204, 304})
_PHRASES = {status.value: status.phrase for status in http.HTTPStatus}


def parts(response: Response, method: str) -> tuple[Answer, list[tuple[str, str]]]:
    """Status and body of an answer that is whole, and the header lines that go with it."""
    lines = [line for line in response.headers.lines if line[0].lower() not in _OWNED]
    if not isinstance(response.body, bytes):
        raise TypeError("an answer in JSON is whole")
    has_body = method != "HEAD" and response.status not in _NO_BODY
    body, is_base64 = written(response.body if has_body else b"", Headers(lines))
    return {"statusCode": response.status, "body": body, "isBase64Encoded": is_base64}, lines


def many(lines: list[tuple[str, str]]) -> Mapping[str, list[str]]:
    """Each name with all its values, in order: names that differ in case only are one."""
    spelled: dict[str, str] = {}
    values: dict[str, list[str]] = {}
    for name, value in lines:
        values.setdefault(spelled.setdefault(name.lower(), name), []).append(value)
    return values


def joined(lines: list[tuple[str, str]]) -> Mapping[str, str]:
    """Each name with its values joined (RFC 9110, section 5.3)."""
    return {name: ", ".join(values) for name, values in many(lines).items()}


def joined_but_cookies(lines: list[tuple[str, str]]) -> Mapping[str, str]:
    """As `joined`; a ``Set-Cookie``, which cannot be joined, has a spelling of its own each time.

    For doors that take one value a name: they pass on names that differ in case.
    """
    cookies = [value for name, value in lines if name.lower() == "set-cookie"]
    rest = joined([line for line in lines if line[0].lower() != "set-cookie"])
    return {**rest, **{_spelling(number): value for number, value in enumerate(cookies)}}


def _spelling(number: int) -> str:
    """``set-cookie`` with the capitals that the binary digits of ``number`` choose."""
    letters = "setcookie"
    chosen = "".join(letter.upper() if number >> index & 1 else letter for index, letter in enumerate(letters))
    return f"{chosen[:3]}-{chosen[3:]}"


def described(status: int) -> str:
    """``404 Not Found``, as ALB wants it."""
    return f"{status} {_PHRASES.get(status, 'Status')}"
