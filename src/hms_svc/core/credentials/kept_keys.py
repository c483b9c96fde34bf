"""The JWK Set of one issuer as it is kept: when it is fetched again, and for how long it may be used. No I/O.

A set is kept as long as its issuer says (within bounds), renewed behind the calls that go by it, and used for a while
longer when the issuer is down. Tokens with unknown keys cause at most one fetch in `COOL_DOWN_S`, however many come,
and tokens whose signature no key made at most another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

from hms_svc.core.credentials.key_faults import faults
from hms_svc.core.ports import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hms_svc.core.config import Issuer
    from hms_svc.core.moment import Moment

    Keys = list[Mapping[str, Any]]

STALE_S = 3600
"""How long after it should have been fetched a set is used while the issuer does not answer."""
BEHIND_S = 60
"""How long after it should have been fetched a set is used while it is fetched: nobody waits who does not have to."""
COOL_DOWN_S = 30
"""Between two fetches for the sake of unknown keys, between two for wrong signatures, and after a failed one when there
is a set to go on with."""
RETRY_S = 5
"""After a failed fetch when there is nothing to go on with."""
MAX_TOLD = 10
"""Faults of one set that are told one by one."""
_S = 1_000_000_000

T = TypeVar("T")


class KeptKeys:
    """What is known of one issuer's keys."""

    __slots__ = (
        "_fault",
        "_fetched",
        "_fresh_s",
        "_keys",
        "_looked",
        "_looked_for_kid",
        "_looked_in_doubt",
        "_members",
        "_name",
        "_pause_s",
        "_warn",
    )

    def __init__(self, name: str, warn: Callable[[str], None]) -> None:
        """Of the issuer ``name``. ``warn`` is told once a set which of its members do not count, and why."""
        self._name, self._warn = name, warn
        self._keys: Keys | None = None
        self._members: Keys = []
        """The set as it came; ``_keys`` are those of it that count."""
        self._fetched: Moment | None = None
        self._fresh_s = 0
        """For how long after that the set needs no other."""
        self._looked: Moment | None = None
        self._pause_s = 0
        """How long after that, successful or not, to fetch again."""
        self._looked_for_kid: Moment | None = None
        """When an unknown key last caused a fetch."""
        self._looked_in_doubt: Moment | None = None
        """When a signature that no key had made last caused a fetch."""
        self._fault = "it does not answer"

    def is_due(self, now: Moment) -> bool:
        """Whether the set is to be fetched, whoever asks for it."""
        return _passed(self._looked, now, self._pause_s)

    def can_go_on(self, now: Moment) -> bool:
        """Whether who asks may go by the set as it is, and leave a fetch that is due to go on behind."""
        return self._is_usable(now) and not _passed(self._looked, now, self._pause_s + BEHIND_S)

    def lacks(self, kid: str) -> bool:
        """Whether there is a set, and no member of it has this ``kid``."""
        return self._keys is not None and all(key.get("kid") != kid for key in self._members)

    def may_look_for(self, kid: str, now: Moment) -> bool:
        """Whether an unknown key is worth a fetch; then the cool-down begins."""
        if not self.lacks(kid) or not _passed(self._looked_for_kid, now, COOL_DOWN_S):
            return False
        self._looked_for_kid = now
        return True

    def is_the_set(self, keys: Keys | None) -> bool:
        """Whether ``keys`` are still the ones that are kept."""
        return keys is not None and keys is self._keys

    def may_look_in_doubt(self, keys: Keys | None, now: Moment) -> bool:
        """Whether it is worth a fetch that none of ``keys`` made a signature; then a cool-down of its own begins."""
        if not self.is_the_set(keys) or not _passed(self._looked_in_doubt, now, COOL_DOWN_S):
            return False
        self._looked_in_doubt = now
        return True

    def came(self, members: Keys, fresh_s: int, now: Moment) -> None:
        """A set was fetched, fresh for ``fresh_s`` seconds. One that says the same leaves the keys as they are."""
        self._fetched = self._looked = now
        self._fresh_s = self._pause_s = fresh_s
        if self._keys is not None and members == self._members:
            return
        found = faults(members)
        self._members = members
        self._keys = [key for number, key in enumerate(members) if number not in found.skipped]
        for fault in found.texts[:MAX_TOLD]:
            self._warn(f"issuer {self._name}: {fault}")
        if len(found.texts) > MAX_TOLD:
            self._warn(f"issuer {self._name}: {len(found.texts) - MAX_TOLD} more keys have faults")

    def failed(self, fault: str, now: Moment) -> None:
        """No set came, for the reason ``fault``."""
        self._fault = fault
        self._looked, self._pause_s = now, COOL_DOWN_S if self._is_usable(now) else RETRY_S

    def usable(self, now: Moment) -> Keys:
        """The issuer's keys. Raises `StoreUnavailable` when there are none that may still be used."""
        if self._keys is None or not self._is_usable(now):
            raise StoreUnavailable(f"the keys of issuer {self._name} cannot be had: {self._fault}")
        return self._keys

    def _is_usable(self, now: Moment) -> bool:
        return not _passed(self._fetched, now, self._fresh_s + STALE_S)


class OfIssuers(Generic[T]):
    """Something of each issuer's keys, made when it is first asked for; the least recently asked for go.

    Issuers are told apart by where their keys are: other settings may change, and what is known of the keys stays.
    """

    def __init__(self, make: Callable[[Issuer], T], most: int) -> None:
        """``most`` are kept."""
        self._make, self._most = make, most
        self._kept: dict[tuple[str, str, str | None], T] = {}

    def of(self, issuer: Issuer) -> T:
        """What there is of this issuer."""
        place = (issuer.name, issuer.issuer, issuer.jwks_uri)
        kept = self._kept.pop(place, None)
        if kept is None:
            kept = self._make(issuer)
            if len(self._kept) >= self._most:
                del self._kept[next(iter(self._kept))]
        self._kept[place] = kept
        return kept


def _passed(earlier: Moment | None, now: Moment, seconds: int) -> bool:
    """Whether so much time has passed since then; of what never was, it has."""
    return earlier is None or now.since(earlier) >= seconds * _S
