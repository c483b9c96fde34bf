"""Bodies inside JSON: text or base64, both ways."""

from __future__ import annotations

import base64
import binascii
import json
from typing import TYPE_CHECKING

from hms_svc.aws.events.members import flag, text
from hms_svc.core.errors import BodyTooLarge, Malformed

if TYPE_CHECKING:
    from hms_svc.aws.events.members import Event
    from hms_svc.core.model import Headers

_LARGE = 1_000_000
"""Bytes from which on an answer's text is only text if that is the shorter form."""


class EventBody:
    """A body that came with its event (the core's `Body`)."""

    __slots__ = ("content",)

    def __init__(self, content: bytes = b"") -> None:
        self.content = content

    async def read(self, limit: int) -> bytes:
        """The whole body. Raises `BodyTooLarge`."""
        if len(self.content) > limit:
            raise BodyTooLarge(limit)
        return self.content


def read_body(event: Event, is_base64: str = "isBase64Encoded") -> bytes:
    """The body's bytes. Raises `Malformed` for base64 that is none."""
    content = text(event, "body")
    if not flag(event, is_base64):
        return content.encode("utf-8")
    try:
        return base64.b64decode(content, validate=True)
    except (binascii.Error, ValueError):
        raise Malformed("The body is not the base64 that it is said to be") from None


def written(body: bytes, headers: Headers) -> tuple[str, bool]:
    """``body`` as it goes into an answer, and whether that is base64.

    Text goes as text, unless it is compressed or large and longer that way.
    """
    if "content-encoding" in headers:
        return _encoded(body), True
    try:
        content = body.decode("utf-8")
    except UnicodeDecodeError:
        return _encoded(body), True
    if len(body) > _LARGE and len(json.dumps(content)) > len(body) * 4 / 3 + 4:
        return _encoded(body), True
    return content, False


def _encoded(body: bytes) -> str:
    return base64.b64encode(body).decode("ascii")
