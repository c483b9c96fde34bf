"""When API keys were last used: noted by the hour, after the answer, and never at a caller's expense.

People ask whether a key is still in use before they revoke it; an hour is near enough for that, and one write an hour
and key is all that an environment makes. A note that could not be made is a line in the log.
"""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING

from hms_svc.core.ports import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from hms_svc.core.ports import ApiKey, KeyUseStore

EVERY_S = 3_600
PAUSE_S = 60
"""How long nothing is noted after the store was down."""
MAX_ENTRIES = 10_000
"""Keys whose last note is remembered; some 2 MB."""
MAX_SAID = 3
"""Keys that a line in the log names."""
_log = logging.getLogger(__name__)


class KeyUses:
    """Notes uses in ``store``, by work that is handed to ``later``."""

    def __init__(self, store: KeyUseStore, later: Callable[[Callable[[], None]], object]) -> None:
        """``later`` does the work when no caller waits for it, on another thread if it likes."""
        self._store = store
        self._later = later
        self._noted: dict[str, int] = {}
        self._waiting: dict[str, tuple[ApiKey, int]] = {}
        """By key id: what is written in one go, with what else came until then."""
        self._failed_s = -PAUSE_S

    def note(self, key: ApiKey, now_s: int) -> None:
        """``key`` was accepted at ``now_s``, seconds since 1970. Never raises, never waits."""
        hour_s = now_s - now_s % EVERY_S
        if max(self._noted.get(key.id, 0), key.last_used_s or 0) >= hour_s or abs(now_s - self._failed_s) < PAUSE_S:
            return
        if len(self._noted) >= MAX_ENTRIES:
            self._noted.clear()
        self._noted[key.id] = hour_s
        self._waiting[key.id] = (key, hour_s)
        try:
            self._later(lambda: self._write(now_s))
        except RuntimeError as error:  # there is no thread to be had
            self._failed([self._waiting.pop(key.id, (key, hour_s))], now_s, error)

    def _write(self, now_s: int) -> None:
        """Write all that waits; nothing is left to those who were asked to write it too."""
        uses: list[tuple[ApiKey, int]] = []
        with contextlib.suppress(KeyError):  # how an empty one says so, if another thread took the last
            while True:
                uses.append(self._waiting.popitem()[1])
        if not uses:
            return
        try:
            self._store.note_uses(uses)
        except StoreUnavailable as error:
            self._failed(uses, now_s, error)

    def _failed(self, uses: list[tuple[ApiKey, int]], now_s: int, error: Exception) -> None:
        for key, _ in uses:
            self._noted.pop(key.id, None)
        self._failed_s = now_s
        ids = ", ".join(key.id for key, _ in uses[:MAX_SAID])
        more = f" and {len(uses) - MAX_SAID} more" if len(uses) > MAX_SAID else ""
        _log.warning("the use of API key %s%s is not noted: %s", ids, more, error)
