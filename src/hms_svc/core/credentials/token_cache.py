"""Tokens that were verified a moment ago, so that the next call with the same one costs no signature.

A hit needs the same token to the letter, the issuer configured as it was, the issuer's key set unchanged and ``exp``
not reached. The least recently used go first, so memory is bounded.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hms_svc.core.config import Issuer
    from hms_svc.core.credentials.tokens import Jwks
    from hms_svc.core.model import Caller

MAX_ENTRIES = 4096
MAX_CHARACTERS = 4_000_000
"""Of all the tokens that are known; what is kept of one is some ten times its text."""


@dataclass(frozen=True, slots=True)
class Verified:
    """What was found of a token."""

    caller: Caller
    issuer: Issuer
    keys: Jwks
    """The issuer's key set, one of whose keys had signed it."""
    expires_s: float
    characters: int = 1_000
    """Of the token: how much room its claims may take."""


class TokenCache:
    """The verified tokens, by the SHA-256 of their text. It never holds a token itself."""

    def __init__(self, max_entries: int = MAX_ENTRIES, max_characters: int = MAX_CHARACTERS) -> None:
        self._entries: OrderedDict[str, Verified] = OrderedDict()
        self._max = max_entries
        self._max_characters = max_characters
        self._characters = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, sha256: str, issuers: tuple[Issuer, ...], now_s: float) -> Verified | None:
        """The entry, if its time is not over and its issuer is still configured as it was."""
        entry = self._entries.get(sha256)
        if entry is None:
            return None
        if now_s >= entry.expires_s or entry.issuer not in issuers:
            self.drop(sha256)
            return None
        self._entries.move_to_end(sha256)
        return entry

    def put(self, sha256: str, entry: Verified) -> None:
        """Keep ``entry``; the least recently used give way when there are too many."""
        self.drop(sha256)
        self._entries[sha256] = entry
        self._characters += entry.characters
        while len(self._entries) > self._max or self._characters > self._max_characters:
            _, oldest = self._entries.popitem(last=False)
            self._characters -= oldest.characters

    def drop(self, sha256: str) -> None:
        """Forget the entry, if there is one."""
        entry = self._entries.pop(sha256, None)
        if entry is not None:
            self._characters -= entry.characters
