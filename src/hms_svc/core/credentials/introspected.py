"""What an issuer says of a token that it was asked about (RFC 7662, section 2.2), and who calls by that.

An answer that says no refuses the token. One that cannot be understood is the issuer's fault and not the caller's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hms_svc.core.credentials.claims import caller_of, check
from hms_svc.core.credentials.jws import TokenInvalid
from hms_svc.core.credentials.strict_json import parse_object
from hms_svc.core.ports import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hms_svc.core.config import Issuer
    from hms_svc.core.model import Caller

_NAMES = ("sub", "username", "client_id")
_OF_ACCESS: Mapping[str, frozenset[str]] = {
    "token_type": frozenset({"bearer", "access_token"}),
    "token_use": frozenset({"access", "access_token"}),
    "typ": frozenset({"bearer", "jwt", "at+jwt"}),
}
"""What issuers say of a token for access, in small letters. They also say ``active`` of refresh tokens, which open
nothing here, as logout tokens and the like do not among JWTs."""


def caller_introspected(answer: bytes, issuer: Issuer, now_s: float, token_key: str) -> tuple[Caller, float]:
    """The caller, and until when the token is good: seconds since 1970, infinite where the issuer does not say.

    All members of the answer are the caller's claims, ``cnf`` too. Raises `TokenInvalid` when the token is refused,
    `StoreUnavailable` when the answer is none.
    """
    try:
        said = parse_object(answer)
    except ValueError as error:
        raise StoreUnavailable(f"the introspection by issuer {issuer.name} cannot be read: {error}") from None
    active = said.get("active")
    if not isinstance(active, bool):
        raise StoreUnavailable(f"the introspection by issuer {issuer.name} says neither active: true nor active: false")
    if not active:
        raise TokenInvalid("the token is not active")
    _check_kind(said)
    claims = {"iss": issuer.issuer, **said}
    expires_s = check(claims, issuer, now_s, needs_exp=False)
    return caller_of(claims, issuer, token_key, names=_NAMES), expires_s


def _check_kind(said: Mapping[str, Any]) -> None:
    for name, kinds in _OF_ACCESS.items():
        kind = said.get(name, "")
        if name in said and not (isinstance(kind, str) and kind.lower() in kinds):
            raise TokenInvalid(f"the {name} is not that of a token for access")
