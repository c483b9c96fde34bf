"""The public keys of issuers over HTTP: the `KeySource` of a gateway that runs as a server.

A set is fetched once for all who wait, kept as long as its issuer says (within bounds), and used for a while longer
when the issuer is down. Tokens with unknown keys cause at most one fetch in `COOL_DOWN_S`, however many come.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hms_svc.core.ports import StoreUnavailable
from hms_svc.local.jwks_fetch import FetchFailed, fetch_keys

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from hms_svc.core.model import Issuer
    from hms_svc.core.ports import Clock

    Keys = list[Mapping[str, Any]]

STALE_S = 3600
"""How long after it was fetched a set is used while the issuer does not answer."""
COOL_DOWN_S = 30
"""Between two fetches for the sake of unknown keys, and after a failed one when there is a set to go on with."""
RETRY_S = 5
"""After a failed fetch when there is nothing to go on with."""
PATIENCE_S = 12
"""How long a call waits for a fetch, whatever the issuer does with its time."""
MAX_ISSUERS = 64
"""Whose keys are kept; those of former configurations go when there are more."""
_S = 1_000_000_000


@dataclass(slots=True, eq=False)
class _Known:
    """What is known of one issuer. Times are by the monotonic clock."""

    keys: Keys | None = None
    fetched_ns: int = 0
    look_ns: int | None = None
    """When to fetch again; None: at once."""
    looked_for_kid_ns: int | None = None
    """When an unknown key last caused a fetch."""
    fault: str = "it does not answer"
    fetch: asyncio.Task[None] | None = None
    began_ns: int = 0


class HttpKeySource:
    """JWK Sets over HTTP, by OpenID discovery or from ``jwks_uri``."""

    def __init__(self, clock: Clock, *, ca_file: Path | None = None) -> None:
        """``ca_file``: authorities to trust for TLS instead of the usual ones, in PEM."""
        self._clock = clock
        self._ca_file = ca_file
        self._issuers: dict[Issuer, _Known] = {}

    async def keys(self, issuer: Issuer, *, unknown_kid: str | None = None) -> Keys:
        """The issuer's keys. Raises `StoreUnavailable` when there are none that may be used."""
        known = self._issuers.get(issuer) or self._begin(issuer)
        now_ns = self._clock.monotonic_ns()
        is_due = known.look_ns is None or now_ns >= known.look_ns
        if is_due or (unknown_kid is not None and _may_look_for(unknown_kid, known, now_ns)):
            await self._fetched(issuer, known, now_ns)
            now_ns = self._clock.monotonic_ns()
        if known.keys is None or now_ns >= known.fetched_ns + STALE_S * _S:
            raise StoreUnavailable(f"the keys of issuer {issuer.name} cannot be had: {known.fault}")
        return known.keys

    def _begin(self, issuer: Issuer) -> _Known:
        if len(self._issuers) >= MAX_ISSUERS:
            self._issuers.clear()
        known = self._issuers[issuer] = _Known()
        return known

    async def _fetched(self, issuer: Issuer, known: _Known, now_ns: int) -> None:
        """Wait for the fetch that is under way, or begin one. Whoever gives up waiting does not end it."""
        if known.fetch is None:
            known.fetch = asyncio.get_running_loop().create_task(self._fetch(issuer, known))
            known.began_ns = now_ns
        if now_ns < known.began_ns + PATIENCE_S * _S:
            await asyncio.wait({known.fetch}, timeout=PATIENCE_S)

    async def _fetch(self, issuer: Issuer, known: _Known) -> None:
        try:
            keys, fresh_s = await asyncio.to_thread(fetch_keys, issuer, self._ca_file)
        except FetchFailed as failed:
            known.fault = str(failed)
            wait_s = RETRY_S if known.keys is None else COOL_DOWN_S
            known.look_ns = self._clock.monotonic_ns() + wait_s * _S
        else:
            if keys != known.keys:
                known.keys = keys
            known.fetched_ns = self._clock.monotonic_ns()
            known.look_ns = known.fetched_ns + fresh_s * _S
        finally:
            known.fetch = None


def _may_look_for(kid: str, known: _Known, now_ns: int) -> bool:
    """Whether an unknown key is worth a fetch, or waiting for the one under way; then the cool-down begins."""
    if known.keys is None or any(key.get("kid") == kid for key in known.keys):
        return False
    if known.looked_for_kid_ns is not None and now_ns < known.looked_for_kid_ns + COOL_DOWN_S * _S:
        return known.fetch is not None
    known.looked_for_kid_ns = now_ns
    return True
