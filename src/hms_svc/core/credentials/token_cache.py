"""Tokens that were verified a moment ago, so that the next call with the same one costs no signature.

A hit needs the same token to the letter, the issuer configured as it was, the issuer's key set unchanged and ``exp``
not reached.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hms_svc.core.credentials.recent import Recent

if TYPE_CHECKING:
    from hms_svc.core.config import Issuer
    from hms_svc.core.credentials.tokens import Jwks
    from hms_svc.core.model import Caller


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


class TokenCache(Recent[Verified]):
    """The verified tokens."""

    def get(self, sha256: str, issuers: tuple[Issuer, ...], now_s: float) -> Verified | None:
        """The entry, if its time is not over and its issuer is still configured as it was."""
        entry = self.peek(sha256)
        if entry is None:
            return None
        if now_s >= entry.expires_s or entry.issuer not in issuers:
            self.drop(sha256)
            return None
        self.used(sha256)
        return entry
