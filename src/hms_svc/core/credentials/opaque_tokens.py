"""Who calls, by a token that only its issuer understands: it is asked (RFC 7662), and its answer believed for a while.

A token is shown to one issuer only, the one with ``introspection``, and only if it may be that issuer's.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from hms_svc.core.credentials.api_keys import SHAPE
from hms_svc.core.credentials.introspected import caller_introspected
from hms_svc.core.credentials.introspection_cache import IntrospectionCache, Known
from hms_svc.core.credentials.jws import TokenInvalid, is_jose, issuer_claimed
from hms_svc.core.credentials.presented import KEY_DIGITS
from hms_svc.core.moment import moment

if TYPE_CHECKING:
    from hms_svc.core.config import Issuer
    from hms_svc.core.model import Caller
    from hms_svc.core.moment import Moment
    from hms_svc.core.ports import Clock, Introspection


def issuer_to_ask(token: str, issuers: tuple[Issuer, ...]) -> Issuer | None:
    """The issuer that ``token`` may be shown to; None for our own API keys, and for a JWT unless it names that issuer.

    A JWT that cannot be read may be anybody's, and so may an encrypted one.
    """
    for issuer in issuers:
        if issuer.introspection is not None:
            named = issuer_claimed(token)
            may_be_its_own = named == issuer.issuer or (named is None and not is_jose(token))
            return issuer if may_be_its_own and not SHAPE.search(token) else None
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
        asked = moment(self._clock)
        known = self._answers.get(sha256, issuer, asked)
        if known is None:
            answer = await self._introspection.introspect(issuer, token)
            known = self._answers.get(sha256, issuer, asked)  # from a call that waited for the same answer
            if known is None:
                known = self._read(answer, issuer, asked, _token_key(token))
                self._answers.put(sha256, known)
        if known.caller is None:
            raise TokenInvalid(known.refusal)
        return known.caller

    def _read(self, answer: bytes, issuer: Issuer, asked: Moment, token_key: str) -> Known:
        try:
            caller, expires_s = caller_introspected(answer, issuer, self._clock.wall_ns() / 1e9, token_key)
        except TokenInvalid as refusal:
            return Known(issuer, asked, None, str(refusal))
        return Known(issuer, asked, caller, expires_s=expires_s, characters=len(answer))


def _token_key(token: str) -> str:
    """What a token is counted by. Of a signed one, what was signed: an elliptic signature has a twin."""
    counted = token.rpartition(".")[0] if is_jose(token) else token
    return hashlib.sha256(counted.encode("ascii")).hexdigest()[:KEY_DIGITS]
