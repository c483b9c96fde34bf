"""The JWK Set of one issuer as it is kept: when it is fetched again, and for how long it may be used. No I/O.

A set is kept as long as its issuer says (within bounds), renewed behind the calls that go by it, and used for a while
longer when the issuer is down. Tokens with unknown keys cause at most one fetch in `COOL_DOWN_S`, however many come.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hms_svc.core.credentials.key_faults import faults
from hms_svc.core.ports import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Keys = list[Mapping[str, Any]]

STALE_S = 3600
"""How long after it was fetched a set is used while the issuer does not answer."""
BEHIND_S = 60
"""How long after it should have been fetched a set is used while it is fetched: nobody waits who does not have to."""
COOL_DOWN_S = 30
"""Between two fetches for the sake of unknown keys, and after a failed one when there is a set to go on with."""
RETRY_S = 5
"""After a failed fetch when there is nothing to go on with."""
MAX_ISSUERS = 64
"""Whose keys are kept; those of former configurations go when there are more."""
MAX_TOLD = 10
"""Faults of one set that are told one by one."""
_S = 1_000_000_000


class KeptKeys:
    """What is known of one issuer's keys. Times are nanoseconds by the monotonic clock."""

    __slots__ = ("_fault", "_fetched_ns", "_keys", "_look_ns", "_looked_for_kid_ns", "_members", "_name", "_warn")

    def __init__(self, name: str, warn: Callable[[str], None]) -> None:
        """Of the issuer ``name``. ``warn`` is told once a set which of its members do not count, and why."""
        self._name, self._warn = name, warn
        self._keys: Keys | None = None
        self._members: Keys = []
        """The set as it came; ``_keys`` are those of it that count."""
        self._fetched_ns = 0
        self._look_ns: int | None = None
        """When to fetch again; None: at once."""
        self._looked_for_kid_ns: int | None = None
        """When an unknown key last caused a fetch."""
        self._fault = "it does not answer"

    def is_due(self, now_ns: int) -> bool:
        """Whether the set is to be fetched, whoever asks for it."""
        return self._look_ns is None or now_ns >= self._look_ns

    def can_go_on(self, now_ns: int) -> bool:
        """Whether who asks may go by the set as it is, and leave a fetch that is due to go on behind."""
        return self._is_usable(now_ns) and self._look_ns is not None and now_ns < self._look_ns + BEHIND_S * _S

    def lacks(self, kid: str) -> bool:
        """Whether there is a set, and no member of it has this ``kid``."""
        return self._keys is not None and all(key.get("kid") != kid for key in self._members)

    def may_look_for(self, kid: str, now_ns: int) -> bool:
        """Whether an unknown key is worth a fetch; then the cool-down begins."""
        cool_until = None if self._looked_for_kid_ns is None else self._looked_for_kid_ns + COOL_DOWN_S * _S
        if not self.lacks(kid) or (cool_until is not None and now_ns < cool_until):
            return False
        self._looked_for_kid_ns = now_ns
        return True

    def came(self, members: Keys, fresh_s: int, now_ns: int) -> None:
        """A set was fetched, fresh for ``fresh_s`` seconds. One that says the same leaves the keys as they are."""
        self._fetched_ns = now_ns
        self._look_ns = now_ns + fresh_s * _S
        if self._keys is not None and members == self._members:
            return
        found = faults(members)
        self._members = members
        self._keys = [key for number, key in enumerate(members) if number not in found.skipped]
        for fault in found.texts[:MAX_TOLD]:
            self._warn(f"issuer {self._name}: {fault}")
        if len(found.texts) > MAX_TOLD:
            self._warn(f"issuer {self._name}: {len(found.texts) - MAX_TOLD} more keys have faults")

    def failed(self, fault: str, now_ns: int) -> None:
        """No set came, for the reason ``fault``."""
        self._fault = fault
        self._look_ns = now_ns + (COOL_DOWN_S if self._is_usable(now_ns) else RETRY_S) * _S

    def usable(self, now_ns: int) -> Keys:
        """The issuer's keys. Raises `StoreUnavailable` when there are none that may still be used."""
        if self._keys is None or not self._is_usable(now_ns):
            raise StoreUnavailable(f"the keys of issuer {self._name} cannot be had: {self._fault}")
        return self._keys

    def _is_usable(self, now_ns: int) -> bool:
        return self._keys is not None and now_ns < self._fetched_ns + STALE_S * _S
