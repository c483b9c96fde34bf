"""What a key file holds: API keys as JSON text and back, within bounds, so that what is written can be read again."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from hms_svc.core.credentials.claims import MAX_MOMENT
from hms_svc.core.credentials.strict_json import parse_object
from hms_svc.core.ports import ApiKey

if TYPE_CHECKING:
    from collections.abc import Sequence

VERSION = 1
MAX_BYTES = 4_000_000
"""Of the text; some 10,000 keys."""
GROWTH = 2 * (len(str(MAX_MOMENT)) - len("null"))
"""Bytes by which the text of a key may grow later, when it is revoked and its end is set."""
_SHA256 = re.compile(r"[0-9a-f]{64}")


class TooLarge(ValueError):  # noqa: N818  (named for what it means)
    """The text is, or would be, larger than `MAX_BYTES`."""


def write(keys: Sequence[ApiKey], *, room: int = 0) -> bytes:
    """The text of ``keys``, with ``room`` for as many bytes more.

    Raises `TooLarge`, and `ValueError` for what `read` would not understand.
    """
    document = {"version": VERSION, "keys": [_as_json(key) for key in keys]}
    text = json.dumps(document, indent=1, ensure_ascii=False).encode() + b"\n"
    if len(text) + room > MAX_BYTES:  # people read it, but a key must be revoked in any case
        text = json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
    if len(text) + room > MAX_BYTES:
        raise TooLarge
    read(text)
    return text


def read(text: bytes) -> list[ApiKey]:
    """The keys of a text. Raises `TooLarge`, and `ValueError` whose message holds nothing of the keys."""
    if len(text) > MAX_BYTES:
        raise TooLarge
    document = parse_object(text)
    if document.get("version") != VERSION:
        raise ValueError(f"it is not of version {VERSION}")
    members = document.get("keys")
    if not isinstance(members, list):
        raise ValueError("it has no list of keys")  # noqa: TRY004  (the text is of the wrong value)
    keys = [_from_json(member, number) for number, member in enumerate(members, 1)]
    if len({key.sha256 for key in keys}) != len(keys) or len({key.id for key in keys}) != len(keys):
        raise ValueError("it has a key twice")
    return keys


def _as_json(key: ApiKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "owner": key.owner,
        "sha256": key.sha256,
        "scopes": sorted(key.scopes),
        "plan": key.plan,
        "created_s": key.created_s,
        "expires_s": key.expires_s,
        "revoked_s": key.revoked_s,
    }


def _from_json(member: Any, number: int) -> ApiKey:
    if not isinstance(member, dict) or {*member, "plan"} != set(_as_json(ApiKey("", "", ""))):
        raise ValueError(f"entry {number} does not have the members of a key")
    member = {"plan": "", **member}  # which a file of before has not
    texts = [member[name] for name in ("id", "name", "owner", "sha256", "plan")]
    scopes = member["scopes"]
    moments = [member["created_s"], *(member[name] for name in ("expires_s", "revoked_s") if member[name] is not None)]
    if (
        not all(isinstance(text, str) for text in texts)
        or not member["id"]
        or not member["owner"]
        or not _SHA256.fullmatch(member["sha256"])
        or not isinstance(scopes, list)
        or not all(isinstance(scope, str) for scope in scopes)
        or not all(type(moment) is int and 0 <= moment <= MAX_MOMENT for moment in moments)
    ):
        raise ValueError(f"entry {number} has a member of the wrong kind")
    return ApiKey(**{**member, "scopes": frozenset(scopes)})
