"""When API keys were last used: noted by the hour, after the answer, and never at a caller's expense.

People ask whether a key is still in use before they revoke it; an hour is near enough for that, and one write an hour
and key is all that an environment makes. A note that could not be made is a line in the log.
"""

from __future__ import annotations

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
_log = logging.getLogger(__name__)


class KeyUses:
    """Notes uses in ``store``, by work that is handed to ``later``."""

    def __init__(self, store: KeyUseStore, later: Callable[[Callable[[], None]], object]) -> None:
        """``later`` does the work when no caller waits for it, on another thread if it likes."""
        self._store = store
        self._later = later
        self._noted: dict[str, int] = {}
        self._failed_s = -PAUSE_S

    def note(self, key: ApiKey, now_s: int) -> None:
        """``key`` was accepted at ``now_s``, seconds since 1970. Never raises, never waits."""
        hour_s = now_s - now_s % EVERY_S
        if max(self._noted.get(key.id, 0), key.last_used_s or 0) >= hour_s or abs(now_s - self._failed_s) < PAUSE_S:
            return
        if len(self._noted) >= MAX_ENTRIES:
            self._noted.clear()
        self._noted[key.id] = hour_s
        try:
            self._later(lambda: self._write(key, hour_s, now_s))
        except RuntimeError as error:  # there is no thread to be had
            self._failed(key, now_s, error)

    def _write(self, key: ApiKey, hour_s: int, now_s: int) -> None:
        try:
            self._store.note_use(key, hour_s)
        except StoreUnavailable as error:
            self._failed(key, now_s, error)

    def _failed(self, key: ApiKey, now_s: int, error: Exception) -> None:
        self._noted.pop(key.id, None)
        self._failed_s = now_s
        _log.warning("the use of API key %s is not noted: %s", key.id, error)
