"""The JWK Set of one issuer as it is kept: when it is fetched again, and for how long it may be used. No I/O.

A set is kept as long as its issuer says (within bounds), and used for a while longer when the issuer is down. Tokens
with unknown keys cause at most one fetch in `COOL_DOWN_S`, however many come.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hms_svc.core.ports import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

    Keys = list[Mapping[str, Any]]

STALE_S = 3600
"""How long after it was fetched a set is used while the issuer does not answer."""
COOL_DOWN_S = 30
"""Between two fetches for the sake of unknown keys, and after a failed one when there is a set to go on with."""
RETRY_S = 5
"""After a failed fetch when there is nothing to go on with."""
MAX_ISSUERS = 64
"""Whose keys are kept; those of former configurations go when there are more."""
_S = 1_000_000_000


class KeptKeys:
    """What is known of one issuer's keys. Times are nanoseconds by the monotonic clock."""

    __slots__ = ("_fault", "_fetched_ns", "_look_ns", "_looked_for_kid_ns", "keys")

    def __init__(self) -> None:
        self.keys: Keys | None = None
        self._fetched_ns = 0
        self._look_ns: int | None = None
        """When to fetch again; None: at once."""
        self._looked_for_kid_ns: int | None = None
        """When an unknown key last caused a fetch."""
        self._fault = "it does not answer"

    def is_due(self, now_ns: int) -> bool:
        """Whether the set is to be fetched, whoever asks for it."""
        return self._look_ns is None or now_ns >= self._look_ns

    def may_look_for(self, kid: str, now_ns: int, *, under_way: bool = False) -> bool:
        """Whether an unknown key is worth a fetch, or waiting for the one under way; then the cool-down begins."""
        if self.keys is None or any(key.get("kid") == kid for key in self.keys):
            return False
        if self._looked_for_kid_ns is not None and now_ns < self._looked_for_kid_ns + COOL_DOWN_S * _S:
            return under_way
        self._looked_for_kid_ns = now_ns
        return True

    def came(self, keys: Keys, fresh_s: int, now_ns: int) -> None:
        """A set was fetched; it is fresh for ``fresh_s`` seconds. One that says the same stays the same object."""
        if keys != self.keys:
            self.keys = keys
        self._fetched_ns = now_ns
        self._look_ns = now_ns + fresh_s * _S

    def failed(self, fault: str, now_ns: int) -> None:
        """No set came, for the reason ``fault``."""
        self._fault = fault
        self._look_ns = now_ns + (RETRY_S if self.keys is None else COOL_DOWN_S) * _S

    def usable(self, name: str, now_ns: int) -> Keys:
        """The keys of the issuer ``name``. Raises `StoreUnavailable` when there are none that may still be used."""
        if self.keys is None or now_ns >= self._fetched_ns + STALE_S * _S:
            raise StoreUnavailable(f"the keys of issuer {name} cannot be had: {self._fault}")
        return self.keys
