"""A short memory in front of a `KeyStore`: each API key is looked up once in a while, not once a request."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hms_svc.core.ports import ApiKey, Clock, KeyStore

MAX_KNOWN = 10_000
"""Keys remembered; when there are more, all are forgotten, which costs a look-up each."""
_S = 1_000_000_000


class CachedKeys:
    """Remembers what a store said of a key, that it knows none too, for ``ttl_s`` seconds and no longer.

    So a key that is revoked stops within that time, also while the store is down: what is older is not used.
    """

    def __init__(self, store: KeyStore, clock: Clock, *, ttl_s: float, max_known: int = MAX_KNOWN) -> None:
        self._store = store
        self._clock = clock
        self._ttl_ns = int(ttl_s * _S)
        self._max_known = max_known
        self._known: dict[str, tuple[ApiKey | None, int, int]] = {}

    async def find(self, sha256: str) -> ApiKey | None:
        """The key with this hash, or None. Raises `StoreUnavailable` when it has to be looked up and cannot be."""
        monotonic_ns, wall_ns = self._clock.monotonic_ns(), self._clock.wall_ns()
        known = self._known.get(sha256)
        if known is not None:
            # By both clocks: one may step back, the other stand still while an environment is frozen.
            key, then_ns, wall_then_ns = known
            if monotonic_ns - then_ns < self._ttl_ns and 0 <= wall_ns - wall_then_ns < self._ttl_ns:
                return key
            del self._known[sha256]
        key = await self._store.find(sha256)
        if len(self._known) >= self._max_known:
            self._known.clear()
        self._known[sha256] = key, monotonic_ns, wall_ns
        return key
