"""The public keys of issuers over HTTP: the `KeySource` of the Lambda router.

An environment serves one request at a time, so there is nobody else to wait for. `KeptKeys` says when a set is fetched:
where the request stands if it needs it, else after the answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hms_svc.core.config import MAX_ISSUERS
from hms_svc.core.credentials.kept_keys import KeptKeys, OfIssuers
from hms_svc.core.moment import moment
from hms_svc.local.bounded_get import FetchFailed, brought_along
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
        self._issuers = OfIssuers(self._begin, MAX_ISSUERS)

    async def keys(
        self, issuer: Issuer, *, unknown_kid: str | None = None, doubted: list[Mapping[str, Any]] | None = None
    ) -> list[Mapping[str, Any]]:
        """The issuer's keys. Raises `StoreUnavailable` when there are none that may be used."""
        known = self._issuers.of(issuer)
        kept, now = known.kept, moment(self._clock)
        if (unknown_kid is not None and kept.may_look_for(unknown_kid, now)) or kept.may_look_in_doubt(doubted, now):
            known.fetch()
        elif kept.is_due(now):
            if not kept.can_go_on(now):
                known.fetch()
            elif not known.is_put_off:
                known.is_put_off = True
                self._later(known.renew)
        return kept.usable(moment(self._clock))

    def _begin(self, issuer: Issuer) -> _Known:
        fetch = SetFetch(issuer, self._clock, ca_file=brought_along())
        return _Known(KeptKeys(issuer.name, self._warn), fetch, self._clock)


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
        if self.kept.is_due(moment(self._clock)):
            self.fetch()

    def fetch(self) -> None:
        """Fetch the set, if it can be had. Blocks."""
        try:
            keys, fresh_s = self._fetch()
        except FetchFailed as failed:
            self.kept.failed(str(failed), moment(self._clock))
        else:
            self.kept.came(keys, fresh_s, moment(self._clock))
