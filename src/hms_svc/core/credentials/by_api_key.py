"""Who calls, by an API key that was given out."""

from __future__ import annotations

import hmac
from types import MappingProxyType
from typing import TYPE_CHECKING

from hms_svc.core.credentials.api_keys import sha256_of
from hms_svc.core.credentials.key_places import AUTHORIZATION
from hms_svc.core.credentials.presented import KEY_DIGITS, CredentialInvalid, Presented
from hms_svc.core.model import EMPTY, Caller

if TYPE_CHECKING:
    from collections.abc import Callable

    from hms_svc.core.ports import ApiKey, Clock, KeyStore


class ByApiKey:
    """Looks keys up by their hash."""

    def __init__(self, clock: Clock, store: KeyStore, accepted: Callable[[ApiKey, int], None]) -> None:
        """``accepted`` is told of each good key and when it came, in seconds since 1970."""
        self._clock = clock
        self._store = store
        self._accepted = accepted

    async def identify(self, presented: Presented) -> Caller | None:
        """The caller; None when there is no key. Raises `CredentialInvalid` and `StoreUnavailable`."""
        if presented.api_key is None:
            return None
        sha256 = sha256_of(_readable(*presented.api_key, presented))
        found = await self._store.find(sha256)
        if found is None or not hmac.compare_digest(found.sha256, sha256):
            raise CredentialInvalid("unknown API key")
        if found.revoked_s is not None:
            raise CredentialInvalid(f"API key {found.id} is revoked")
        now_s = self._clock.wall_ns() // 1_000_000_000
        if found.expires_s is not None and now_s >= found.expires_s:
            raise CredentialInvalid(f"API key {found.id} expired {now_s - found.expires_s} s ago")
        self._accepted(found, now_s)
        return Caller(
            name=found.owner,
            via="api_key",
            credential_id=found.id,
            scopes=found.scopes,
            claims=MappingProxyType({"plan": found.plan}) if found.plan else EMPTY,
            token_key=sha256[:KEY_DIGITS],
        )


def _readable(place: str, key: str, presented: Presented) -> str:
    """The key, if its place was filled as it should be."""
    authorization = presented.authorization
    if place == AUTHORIZATION and authorization is not None and authorization.fault:
        raise CredentialInvalid(f"the API key cannot be read: {authorization.fault}")
    return key
