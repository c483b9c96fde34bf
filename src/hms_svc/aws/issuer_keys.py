"""The public keys of issuers over HTTP: the `KeySource` of the Lambda router, which fetches where it stands.

An environment serves one request at a time, so there is nobody else to wait for; `KeptKeys` says when to fetch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hms_svc.core.credentials.kept_keys import MAX_ISSUERS, KeptKeys
from hms_svc.local.jwks_fetch import FetchFailed, fetch_keys

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hms_svc.core.model import Issuer
    from hms_svc.core.ports import Clock


class FetchedKeys:
    """JWK Sets over HTTP, by OpenID discovery or from ``jwks_uri``."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._issuers: dict[Issuer, KeptKeys] = {}

    async def keys(self, issuer: Issuer, *, unknown_kid: str | None = None) -> list[Mapping[str, Any]]:
        """The issuer's keys. Raises `StoreUnavailable` when there are none that may be used."""
        kept = self._issuers.get(issuer) or self._begin(issuer)
        now_ns = self._clock.monotonic_ns()
        if kept.is_due(now_ns) or (unknown_kid is not None and kept.may_look_for(unknown_kid, now_ns)):
            try:
                keys, fresh_s = fetch_keys(issuer)
            except FetchFailed as failed:
                kept.failed(str(failed), self._clock.monotonic_ns())
            else:
                kept.came(keys, fresh_s, self._clock.monotonic_ns())
        return kept.usable(issuer.name, self._clock.monotonic_ns())

    def _begin(self, issuer: Issuer) -> KeptKeys:
        if len(self._issuers) >= MAX_ISSUERS:
            self._issuers.clear()
        kept = self._issuers[issuer] = KeptKeys()
        return kept
