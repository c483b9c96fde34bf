"""What issuers said of tokens a moment ago, so that a flood of one token costs one question.

An answer holds for its issuer's ``cache``, counted from when it was asked for, and never past ``exp``; a refusal for
`REFUSED_S` at most. Accepted and refused tokens are kept apart, each bounded in number: made-up tokens displace no good
ones.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from hms_svc.core.config import Issuer
    from hms_svc.core.model import Caller

MAX_ENTRIES = 4096
"""Of each kind."""
MAX_CHARACTERS = 4_000_000
"""Of the answers that are known, for each kind; what is kept of one is some ten times its text."""
REFUSED_S = 10.0
"""How long a refused token stays refused unasked: an issuer's copies may learn of a new token one after the other."""


class Moment(NamedTuple):
    """By both clocks: one may step, the other stands still while a Lambda environment is frozen."""

    wall_ns: int
    monotonic_ns: int


class Known(NamedTuple):
    """What was found of a token: a caller, or why there is none."""

    issuer: Issuer
    asked: Moment
    caller: Caller | None
    refusal: str = ""
    expires_s: float = 0.0
    characters: int = 0
    """Of the answer: how much room its claims may take."""


class IntrospectionCache:
    """The answers, by the SHA-256 of the tokens. It never holds a token itself."""

    def __init__(self, max_entries: int = MAX_ENTRIES, max_characters: int = MAX_CHARACTERS) -> None:
        self._accepted = _Answers(max_entries, max_characters)
        self._refused = _Answers(max_entries, max_characters)

    def __len__(self) -> int:
        return len(self._accepted) + len(self._refused)

    def get(self, sha256: str, issuer: Issuer, now: Moment) -> Known | None:
        """What is known, if it still holds and the issuer is configured as it was."""
        return self._accepted.find(sha256, issuer, now) or self._refused.find(sha256, issuer, now)

    def put(self, sha256: str, known: Known) -> None:
        """Keep an answer; those that were not used for longest give way when there are too many."""
        (self._refused if known.caller is None else self._accepted).put(sha256, known)


class _Answers(OrderedDict[str, Known]):
    """Answers of one kind, the least recently used first."""

    def __init__(self, max_entries: int, max_characters: int) -> None:
        super().__init__()
        self._max = max_entries
        self._max_characters = max_characters
        self._characters = 0

    def find(self, sha256: str, issuer: Issuer, now: Moment) -> Known | None:
        known = self.get(sha256)
        if known is None:
            return None
        if known.issuer != issuer or not _holds(known, now):
            self.drop(sha256)
            return None
        self.move_to_end(sha256)
        return known

    def put(self, sha256: str, known: Known) -> None:
        self.drop(sha256)
        self[sha256] = known
        self._characters += known.characters
        while len(self) > self._max or self._characters > self._max_characters:
            _, oldest = self.popitem(last=False)
            self._characters -= oldest.characters

    def drop(self, sha256: str) -> None:
        known = self.pop(sha256, None)
        if known is not None:
            self._characters -= known.characters


def _holds(known: Known, now: Moment) -> bool:
    endpoint = known.issuer.introspection
    lasts_s = endpoint.cache_s if endpoint is not None else 0.0
    if known.caller is None:
        lasts_s = min(lasts_s, REFUSED_S)
    elif now.wall_ns >= known.expires_s * 1e9:
        return False
    age_ns = max(abs(now.wall_ns - known.asked.wall_ns), now.monotonic_ns - known.asked.monotonic_ns)
    return age_ns < lasts_s * 1e9
