"""Who calls, by an API key that was given out."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from hms_svc.core.credentials.api_keys import sha256_of
from hms_svc.core.credentials.presented import KEY_DIGITS, CredentialInvalid, Presented
from hms_svc.core.errors import Malformed
from hms_svc.core.model import Caller

if TYPE_CHECKING:
    from hms_svc.core.ports import Clock, KeyStore

API_KEY_HEADER = "x-api-key"


class ByApiKey:
    """Looks keys up by their hash."""

    def __init__(self, clock: Clock, store: KeyStore) -> None:
        self._clock = clock
        self._store = store

    async def identify(self, presented: Presented) -> Caller | None:
        """The caller; None when there is no key. Raises `CredentialInvalid`, `StoreUnavailable` and `Malformed`."""
        key = _presented_key(presented)
        if key is None:
            return None
        sha256 = sha256_of(key)
        found = await self._store.find(sha256)
        if found is None or not hmac.compare_digest(found.sha256, sha256):
            raise CredentialInvalid("unknown API key")
        if found.revoked_s is not None:
            raise CredentialInvalid(f"API key {found.id} is revoked")
        now_s = self._clock.wall_ns() // 1_000_000_000
        if found.expires_s is not None and now_s >= found.expires_s:
            raise CredentialInvalid(f"API key {found.id} expired {now_s - found.expires_s} s ago")
        return Caller(
            name=found.owner,
            via="api_key",
            credential_id=found.id,
            scopes=found.scopes,
            token_key=sha256[:KEY_DIGITS],
        )


def _presented_key(presented: Presented) -> str | None:
    """The key in ``X-API-Key`` or in ``Authorization: ApiKey …``; in both, it is not clear which one counts."""
    key: str | None = presented.request.headers.get(API_KEY_HEADER)
    authorization = presented.authorization
    if authorization is None or authorization.scheme != "apikey":
        return key
    if key is not None:
        raise Malformed("There is an API key both in X-API-Key and in Authorization")
    if authorization.fault:
        raise CredentialInvalid(f"the API key cannot be read: {authorization.fault}")
    return authorization.token
