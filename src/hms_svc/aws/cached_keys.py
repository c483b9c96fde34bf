"""A short memory in front of a `KeyStore`: one look-up a key and environment, then none for a settable time.

What the store said holds for that time and no longer, be it a key or that there is none; so a revoked key stops within
it, whether the store is up or down. Known keys and unknown hashes are kept apart, each bounded in number: a flood of
made-up keys displaces no real one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from hms_svc.core.moment import Moment, moment

if TYPE_CHECKING:
    from hms_svc.core.ports import ApiKey, Clock, KeyStore

MAX_ENTRIES = 10_000
"""Of each kind; some 8 MB of keys."""
_SECOND_NS = 1_000_000_000


class _Kept(NamedTuple):
    """What the store said, and when it was asked."""

    key: ApiKey | None
    asked: Moment


class CachedKeys:
    """A `KeyStore` over another one."""

    def __init__(self, store: KeyStore, clock: Clock, *, ttl_s: float, max_entries: int = MAX_ENTRIES) -> None:
        """``ttl_s`` is how long an answer holds, in seconds from when it was asked for; 0: not at all."""
        self._store = store
        self._clock = clock
        self._ttl_ns = round(ttl_s * _SECOND_NS)
        self._max_entries = max_entries
        self._known: dict[str, _Kept] = {}
        self._unknown: dict[str, _Kept] = {}
        """Both in the order of age, so the one to go is the first."""

    def __len__(self) -> int:
        """How many answers are kept."""
        return len(self._known) + len(self._unknown)

    async def find(self, sha256: str) -> ApiKey | None:
        """The key with this hash, or None. Raises `StoreUnavailable` when the store must be asked and cannot say."""
        now = moment(self._clock)
        kept = self._known.get(sha256) or self._unknown.get(sha256)
        if kept is not None:
            if now.since(kept.asked) < self._ttl_ns:
                return kept.key
            self._known.pop(sha256, None)
            self._unknown.pop(sha256, None)
        key = await self._store.find(sha256)
        answers = self._unknown if key is None else self._known
        answers[sha256] = _Kept(key, now)
        if len(answers) > self._max_entries:
            del answers[next(iter(answers))]
        return key
