"""What issuers said of tokens a moment ago, so that a flood of one token costs one question.

An answer holds for its issuer's ``cache``, counted from when it was asked for, and never past ``exp``; a refusal for
`REFUSED_S` at most. Accepted and refused tokens are kept apart, each bounded in number: made-up tokens displace no good
ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from hms_svc.core.credentials.recent import MAX_CHARACTERS, MAX_ENTRIES, Recent

if TYPE_CHECKING:
    from hms_svc.core.config import Issuer
    from hms_svc.core.model import Caller
    from hms_svc.core.moment import Moment

REFUSED_S = 10.0
"""How long a refused token stays refused unasked: an issuer's copies may learn of a new token one after the other."""


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


class _Answers(Recent[Known]):
    """Answers of one kind."""

    def find(self, sha256: str, issuer: Issuer, now: Moment) -> Known | None:
        known = self.peek(sha256)
        if known is None:
            return None
        if known.issuer != issuer or not _holds(known, now):
            self.drop(sha256)
            return None
        self.used(sha256)
        return known


def _holds(known: Known, now: Moment) -> bool:
    endpoint = known.issuer.introspection
    lasts_s = endpoint.cache_s if endpoint is not None else 0.0
    if known.caller is None:
        lasts_s = min(lasts_s, REFUSED_S)
    elif now.wall_ns >= known.expires_s * 1e9:
        return False
    return now.since(known.asked) < lasts_s * 1e9
