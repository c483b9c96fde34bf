"""The public keys of issuers over HTTP: the `KeySource` of the Lambda router.

An environment serves one request at a time, so there is nobody else to wait for. `KeptKeys` says when a set is fetched:
where the request stands if it needs it, else after the answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hms_svc.core.credentials.kept_keys import MAX_ISSUERS, KeptKeys
from hms_svc.local.bounded_get import FetchFailed
from hms_svc.local.jwks_fetch import SetFetch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hms_svc.core.config import Issuer
    from hms_svc.core.ports import Clock


class FetchedKeys:
    """JWK Sets over HTTP, by OpenID discovery or from ``jwks_uri``."""

    def __init__(self, clock: Clock, warn: Callable[[str], None], later: Callable[[Callable[[], None]], None]) -> None:
        """``warn`` is told what is wrong with a set; ``later`` has a function run after the answer."""
        self._clock, self._warn, self._later = clock, warn, later
        self._issuers: dict[Issuer, _Known] = {}

    async def keys(self, issuer: Issuer, *, unknown_kid: str | None = None) -> list[Mapping[str, Any]]:
        """The issuer's keys. Raises `StoreUnavailable` when there are none that may be used."""
        known = self._issuers.get(issuer) or self._begin(issuer)
        kept, now_ns = known.kept, self._clock.monotonic_ns()
        if unknown_kid is not None and kept.may_look_for(unknown_kid, now_ns):
            known.fetch()
        elif kept.is_due(now_ns):
            if not kept.can_go_on(now_ns):
                known.fetch()
            elif not known.is_put_off:
                known.is_put_off = True
                self._later(known.renew)
        return kept.usable(self._clock.monotonic_ns())

    def _begin(self, issuer: Issuer) -> _Known:
        if len(self._issuers) >= MAX_ISSUERS:
            self._issuers.clear()
        fetch = SetFetch(issuer, self._clock)
        known = self._issuers[issuer] = _Known(KeptKeys(issuer.name, self._warn), fetch, self._clock)
        return known


class _Known:
    """One issuer's keys."""

    def __init__(self, kept: KeptKeys, fetch: SetFetch, clock: Clock) -> None:
        self.kept = kept
        self.is_put_off = False
        """Whether a fetch waits for the answer to be gone."""
        self._fetch, self._clock = fetch, clock

    def renew(self) -> None:
        """Do what was put off, if it has not been done meanwhile. Blocks."""
        self.is_put_off = False
        if self.kept.is_due(self._clock.monotonic_ns()):
            self.fetch()

    def fetch(self) -> None:
        """Fetch the set, if it can be had. Blocks."""
        try:
            keys, fresh_s = self._fetch()
        except FetchFailed as failed:
            self.kept.failed(str(failed), self._clock.monotonic_ns())
        else:
            self.kept.came(keys, fresh_s, self._clock.monotonic_ns())
