"""What issuers said of tokens a moment ago, so that a flood of one token costs one question.

An answer holds for its issuer's ``cache``, counted from when it was asked for, and never past ``exp``; a refusal for
`REFUSED_S` at most. Accepted and refused tokens are kept apart, each bounded in number: made-up tokens displace no good
ones.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from hms_svc.core.model import Caller, Issuer

MAX_ENTRIES = 4096
"""Of each kind."""
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


class IntrospectionCache:
    """The answers, by the SHA-256 of the tokens. It never holds a token itself."""

    def __init__(self, max_entries: int = MAX_ENTRIES) -> None:
        self._accepted: OrderedDict[str, Known] = OrderedDict()
        self._refused: OrderedDict[str, Known] = OrderedDict()
        self._max = max_entries

    def __len__(self) -> int:
        return len(self._accepted) + len(self._refused)

    def get(self, sha256: str, issuer: Issuer, now: Moment) -> Known | None:
        """What is known, if it still holds and the issuer is configured as it was."""
        for answers in (self._accepted, self._refused):
            known = answers.get(sha256)
            if known is not None:
                if known.issuer == issuer and _holds(known, now):
                    answers.move_to_end(sha256)
                    return known
                del answers[sha256]
        return None

    def put(self, sha256: str, known: Known) -> None:
        """Keep an answer; the one that was not used for longest gives way when there are too many."""
        answers = self._refused if known.caller is None else self._accepted
        answers[sha256] = known
        answers.move_to_end(sha256)
        if len(answers) > self._max:
            answers.popitem(last=False)


def _holds(known: Known, now: Moment) -> bool:
    endpoint = known.issuer.introspection
    lasts_s = endpoint.cache_s if endpoint is not None else 0.0
    if known.caller is None:
        lasts_s = min(lasts_s, REFUSED_S)
    elif now.wall_ns >= known.expires_s * 1e9:
        return False
    age_ns = max(abs(now.wall_ns - known.asked.wall_ns), now.monotonic_ns - known.asked.monotonic_ns)
    return age_ns < lasts_s * 1e9
