"""The public keys of issuers over HTTP: the `KeySource` of a gateway that runs as a server.

A set is fetched once for all who need it; `KeptKeys` says when, and who waits for it. Whoever gives up waiting does not
end the fetch.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from hms_svc.core.config import MAX_ISSUERS
from hms_svc.core.credentials.kept_keys import KeptKeys, OfIssuers
from hms_svc.core.moment import Moment, moment
from hms_svc.local.bounded_get import FetchFailed
from hms_svc.local.jwks_fetch import SetFetch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from hms_svc.core.config import Issuer
    from hms_svc.core.ports import Clock

PATIENCE_S = 12
"""How long a fetch is waited for, whatever the issuer does with its time."""
_S = 1_000_000_000


class HttpKeySource:
    """JWK Sets over HTTP, by OpenID discovery or from ``jwks_uri``."""

    def __init__(self, clock: Clock, warn: Callable[[str], None], *, ca_file: Path | None = None) -> None:
        """``warn`` is told what is wrong with a set; ``ca_file`` has authorities to trust for TLS, in PEM."""
        self._clock, self._warn = clock, warn
        self._ca_file = ca_file
        self._issuers = OfIssuers(self._begin, MAX_ISSUERS)
        self._threads = ThreadPoolExecutor(MAX_ISSUERS, "issuer-keys")
        """One for each issuer, so that none waits for another."""

    async def keys(
        self, issuer: Issuer, *, unknown_kid: str | None = None, doubted: list[Mapping[str, Any]] | None = None
    ) -> list[Mapping[str, Any]]:
        """The issuer's keys. Raises `StoreUnavailable` when there are none that may be used."""
        known = self._issuers.of(issuer)
        kept, begun, now = known.kept, known.begun, moment(self._clock)
        if kept.is_due(now):
            known.begin()
            if not kept.can_go_on(now):
                await known.end()
        if (unknown_kid is not None and kept.lacks(unknown_kid)) or kept.is_the_set(doubted):
            await known.end()
            # A fetch that began before this token came may have asked before the key was published.
            if known.begun == begun and _may_look(kept, unknown_kid, doubted, moment(self._clock)):
                known.begin()
            await known.end()
        return kept.usable(moment(self._clock))

    def _begin(self, issuer: Issuer) -> _Known:
        fetch = SetFetch(issuer, self._clock, ca_file=self._ca_file)
        return _Known(KeptKeys(issuer.name, self._warn), fetch, self._clock, self._threads)


def _may_look(kept: KeptKeys, unknown_kid: str | None, doubted: list[Mapping[str, Any]] | None, now: Moment) -> bool:
    if unknown_kid is not None:
        return kept.may_look_for(unknown_kid, now)
    return kept.may_look_in_doubt(doubted, now)


class _Known:
    """One issuer's keys, and the fetch that is under way."""

    def __init__(self, kept: KeptKeys, fetch: SetFetch, clock: Clock, threads: Executor) -> None:
        self.kept = kept
        self.begun = 0
        """How many fetches have begun."""
        self._fetch, self._clock, self._threads = fetch, clock, threads
        self._task: asyncio.Task[None] | None = None
        self._began_ns = 0

    def begin(self) -> None:
        """Begin a fetch, unless one is under way."""
        if self._task is None:
            self.begun += 1
            self._began_ns = self._clock.monotonic_ns()
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def end(self) -> None:
        """Wait for the fetch that is under way, if there is one, as long as it is worth it."""
        left_ns = self._began_ns + PATIENCE_S * _S - self._clock.monotonic_ns()
        if self._task is not None and left_ns > 0:
            await asyncio.wait({self._task}, timeout=left_ns / _S)

    async def _run(self) -> None:
        try:
            keys, fresh_s = await asyncio.get_running_loop().run_in_executor(self._threads, self._fetch)
        except FetchFailed as failed:
            self.kept.failed(str(failed), moment(self._clock))
        else:
            self.kept.came(keys, fresh_s, moment(self._clock))
        finally:
            self._task = None
