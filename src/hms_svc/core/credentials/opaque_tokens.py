"""Who calls, by a token that only its issuer understands: it is asked (RFC 7662), and its answer believed for a while.

A token is shown to one issuer only, the one with ``introspection``, and only if it may be that issuer's.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from hms_svc.core.credentials.api_keys import PREFIX
from hms_svc.core.credentials.introspected import caller_introspected
from hms_svc.core.credentials.introspection_cache import IntrospectionCache, Known, Moment
from hms_svc.core.credentials.jws import TokenInvalid, issuer_claimed
from hms_svc.core.credentials.presented import KEY_DIGITS

if TYPE_CHECKING:
    from hms_svc.core.config import Issuer
    from hms_svc.core.model import Caller
    from hms_svc.core.ports import Clock, Introspection


def issuer_to_ask(token: str, issuers: tuple[Issuer, ...]) -> Issuer | None:
    """The issuer that ``token`` may be shown to; None for a JWT that names another one, and for our own API keys."""
    for issuer in issuers:
        if issuer.introspection is not None:
            may_be_its_own = issuer_claimed(token) in (None, issuer.issuer) and not token.startswith(PREFIX)
            return issuer if may_be_its_own else None
    return None


class OpaqueTokens:
    """Asks about tokens; what was answered a moment ago is known again without asking."""

    def __init__(self, clock: Clock, introspection: Introspection) -> None:
        self._clock = clock
        self._introspection = introspection
        self._answers = IntrospectionCache()

    async def identify(self, token: str, issuer: Issuer) -> Caller:
        """The caller. Raises `TokenInvalid`, and `StoreUnavailable` when the issuer has to be asked and cannot say."""
        sha256 = hashlib.sha256(token.encode("ascii")).hexdigest()
        asked = self._now()
        known = self._answers.get(sha256, issuer, asked)
        if known is None:
            answer = await self._introspection.introspect(issuer, token)
            known = self._answers.get(sha256, issuer, asked)  # from a call that waited for the same answer
            if known is None:
                known = self._read(answer, issuer, asked, sha256)
                self._answers.put(sha256, known)
        if known.caller is None:
            raise TokenInvalid(known.refusal)
        return known.caller

    def _read(self, answer: bytes, issuer: Issuer, asked: Moment, sha256: str) -> Known:
        try:
            caller, expires_s = caller_introspected(answer, issuer, self._clock.wall_ns() / 1e9, sha256[:KEY_DIGITS])
        except TokenInvalid as refusal:
            return Known(issuer, asked, None, str(refusal))
        return Known(issuer, asked, caller, expires_s=expires_s, characters=len(answer))

    def _now(self) -> Moment:
        return Moment(self._clock.wall_ns(), self._clock.monotonic_ns())
