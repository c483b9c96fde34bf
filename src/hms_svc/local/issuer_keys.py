"""The public keys of issuers over HTTP: the `KeySource` of a gateway that runs as a server.

A set is fetched once for all who wait; `KeptKeys` says when. Whoever gives up waiting does not end the fetch.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hms_svc.core.credentials.kept_keys import MAX_ISSUERS, KeptKeys
from hms_svc.local.jwks_fetch import FetchFailed, fetch_keys

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from hms_svc.core.model import Issuer
    from hms_svc.core.ports import Clock

PATIENCE_S = 12
"""How long a call waits for a fetch, whatever the issuer does with its time."""
_S = 1_000_000_000


@dataclass(slots=True, eq=False)
class _Known:
    """An issuer's keys, and the fetch that is under way."""

    kept: KeptKeys = field(default_factory=KeptKeys)
    fetch: asyncio.Task[None] | None = None
    began_ns: int = 0


class HttpKeySource:
    """JWK Sets over HTTP, by OpenID discovery or from ``jwks_uri``."""

    def __init__(self, clock: Clock, *, ca_file: Path | None = None) -> None:
        """``ca_file``: authorities to trust for TLS instead of the usual ones, in PEM."""
        self._clock = clock
        self._ca_file = ca_file
        self._issuers: dict[Issuer, _Known] = {}

    async def keys(self, issuer: Issuer, *, unknown_kid: str | None = None) -> list[Mapping[str, Any]]:
        """The issuer's keys. Raises `StoreUnavailable` when there are none that may be used."""
        known = self._issuers.get(issuer) or self._begin(issuer)
        kept, now_ns = known.kept, self._clock.monotonic_ns()
        if kept.is_due(now_ns) or (
            unknown_kid is not None and kept.may_look_for(unknown_kid, now_ns, under_way=known.fetch is not None)
        ):
            await self._fetched(issuer, known, now_ns)
            now_ns = self._clock.monotonic_ns()
        return kept.usable(issuer.name, now_ns)

    def _begin(self, issuer: Issuer) -> _Known:
        if len(self._issuers) >= MAX_ISSUERS:
            self._issuers.clear()
        known = self._issuers[issuer] = _Known()
        return known

    async def _fetched(self, issuer: Issuer, known: _Known, now_ns: int) -> None:
        """Wait for the fetch that is under way, or begin one."""
        if known.fetch is None:
            known.fetch = asyncio.get_running_loop().create_task(self._fetch(issuer, known))
            known.began_ns = now_ns
        if now_ns < known.began_ns + PATIENCE_S * _S:
            await asyncio.wait({known.fetch}, timeout=PATIENCE_S)

    async def _fetch(self, issuer: Issuer, known: _Known) -> None:
        try:
            keys, fresh_s = await asyncio.to_thread(fetch_keys, issuer, self._ca_file)
        except FetchFailed as failed:
            known.kept.failed(str(failed), self._clock.monotonic_ns())
        else:
            known.kept.came(keys, fresh_s, self._clock.monotonic_ns())
        finally:
            known.fetch = None
