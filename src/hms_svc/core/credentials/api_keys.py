"""API keys: how one is made, told from anything else, and turned into what is stored.

A key is ``hms_``, 43 base-62 digits that hold 256 random bits, and 6 more that hold the CRC-32 of all before them. So
scanners find a leaked key by its shape, and a mistyped one is told from an unknown one without looking it up. Only the
SHA-256 of a key is ever stored: 256 random bits need no slow hash.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from typing import TYPE_CHECKING

from hms_svc.core.credentials.presented import CredentialInvalid
from hms_svc.core.ports import ApiKey

if TYPE_CHECKING:
    from hms_svc.core.ports import Randomness

PREFIX = "hms_"
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_BODY, _CHECK = 43, 6
SHAPE = re.compile(rf"{PREFIX}[0-9A-Za-z]{{{_BODY + _CHECK}}}")
"""Finds keys in a text, mistyped ones too."""


class ApiKeyInvalid(CredentialInvalid):
    """The text is no key that was ever made; the message holds nothing of it."""


def make(randomness: Randomness) -> str:
    """A new key. It is to be shown once and kept nowhere."""
    body = PREFIX + _base62(int(randomness.hex(32), 16), _BODY)
    return body + _checksum(body)


def sha256_of(key: str) -> str:
    """What is stored of a key, and looked up. Raises `ApiKeyInvalid` for what is no key, mistyped or cut off."""
    if not SHAPE.fullmatch(key):
        raise ApiKeyInvalid("what was presented does not have the form of an API key")
    if _checksum(key[:-_CHECK]) != key[-_CHECK:]:
        raise ApiKeyInvalid("the checksum of the API key is wrong: it is mistyped or made up")
    return hashlib.sha256(key.encode("ascii")).hexdigest()


def issue(
    randomness: Randomness,
    *,
    name: str,
    owner: str,
    scopes: frozenset[str],
    now_s: int,
    expires_s: int | None,
    plan: str = "",
) -> tuple[str, ApiKey]:
    """A new key, and what a store keeps of it. Times are seconds since 1970."""
    key = make(randomness)
    return key, ApiKey(
        id=f"key-{randomness.hex(6)}",
        owner=owner,
        sha256=sha256_of(key),
        name=name,
        scopes=scopes,
        plan=plan,
        created_s=now_s,
        expires_s=expires_s,
    )


def state_of(key: ApiKey, now_s: int) -> str:
    """``active``, ``expired`` or ``revoked`` at a moment, in seconds since 1970."""
    if key.revoked_s is not None:
        return "revoked"
    return "expired" if key.expires_s is not None and now_s >= key.expires_s else "active"


def _base62(number: int, width: int) -> str:
    digits = []
    for _ in range(width):
        number, digit = divmod(number, 62)
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits))


def _checksum(text: str) -> str:
    return _base62(zlib.crc32(text.encode("ascii")), _CHECK)
