"""What a genuine token must say before its bearer is believed (RFC 7519, section 4.1; RFC 8725), and who that is."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from hms_svc.core.credentials.jws import TokenInvalid, shown
from hms_svc.core.credentials.scopes import is_scope
from hms_svc.core.credentials.strict_json import frozen_object
from hms_svc.core.model import Caller

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hms_svc.core.config import Issuer

TYPES = ("jwt", "at+jwt")
"""The ``typ`` of tokens for access (RFC 7519, section 5.1; RFC 9068); logout tokens, DPoP proofs and the like have
others (RFC 8725, section 3.11)."""
MAX_NAME = 255
"""Characters of ``sub`` and ``client_id`` (OpenID Connect Core, section 2), and of a ``jti`` as the record shows it."""
MAX_MOMENT = 253_402_300_799
"""The last second of the year 9999. Nothing further from 1970 is a moment, be it milliseconds or a slip."""


def check_type(typ: str | None, issuer: Issuer) -> None:
    """Raises `TokenInvalid` when the header's ``typ`` is not that of a token for access, or not the one asked for."""
    if typ is None and not issuer.typ:
        return
    if typ not in (issuer.typ or TYPES):
        raise TokenInvalid("the typ is not that of a token for access")


def check(claims: Mapping[str, Any], issuer: Issuer, now_s: float, *, needs_exp: bool = True) -> float:
    """Until when the token may be believed without leeway, in seconds since 1970. Raises `TokenInvalid`.

    Infinite for one without ``exp``, where that may be.
    """
    if claims.get("iss") != issuer.issuer:
        raise TokenInvalid("the iss is another issuer's")
    _check_audience(claims, issuer)
    expires = _moment(claims, "exp")
    if expires is None:
        if needs_exp:
            raise TokenInvalid("the token has no exp")
        expires = math.inf
    if now_s >= expires + issuer.leeway_s:
        raise TokenInvalid(f"token expired {int(now_s - expires)} s ago")
    not_before, issued = _moment(claims, "nbf"), _moment(claims, "iat")
    if not_before is not None and now_s + issuer.leeway_s < not_before:
        raise TokenInvalid(f"token is valid only in {int(not_before - now_s)} s")
    if issued is not None and now_s + issuer.leeway_s < issued:
        raise TokenInvalid(f"token was issued {int(issued - now_s)} s in the future")
    _check_lifetime(issued, expires, issuer)
    return expires


def caller_of(
    claims: Mapping[str, Any], issuer: Issuer, token_key: str, *, names: tuple[str, ...] = ("sub", "client_id")
) -> Caller:
    """Who the token speaks of: the first of the claims ``names`` that is there.

    Raises `TokenInvalid` when it names nobody, or in a form that cannot be passed on.
    """
    name = next((_text(claims, claim) for claim in names if claim in claims), "")
    if not name:
        raise TokenInvalid(f"the token has neither {' nor '.join(names)}")
    return Caller(
        name=name,
        via="oauth",
        credential_id=_shown_id(claims.get("jti", "")),
        issuer=issuer.issuer,
        scopes=_scopes(claims),
        claims=frozen_object(claims),
        token_key=token_key,
    )


def issuer_named_by(claims: Mapping[str, Any], issuers: tuple[Issuer, ...]) -> Issuer:
    """The configured issuer that the token says it is from; whether that is so, its key decides."""
    named = claims.get("iss")
    if not isinstance(named, str):
        raise TokenInvalid("the token has no iss")
    for issuer in issuers:
        if issuer.issuer == named:
            return issuer
    raise TokenInvalid(f"unknown issuer {shown(named)}")


def _check_audience(claims: Mapping[str, Any], issuer: Issuer) -> None:
    name = issuer.audience_claim
    audience = claims.get(name)
    if audience is None:
        raise TokenInvalid(f"the token has no {name}")
    held = audience if isinstance(audience, list) else [audience]
    if not all(isinstance(one, str) for one in held):
        raise TokenInvalid(f"the {name} is neither text nor a list of texts")
    if not any(one in issuer.audience for one in held):
        raise TokenInvalid(f"the {name} is for others")


def _check_lifetime(issued: float | None, expires: float, issuer: Issuer) -> None:
    if issuer.max_lifetime_s is None:
        return
    if issued is None:
        raise TokenInvalid("the token has no iat, so how long it lives is not known")
    if expires - issued > issuer.max_lifetime_s:
        raise TokenInvalid(f"the token lives longer than {issuer.max_lifetime_s:g} s")


def _moment(claims: Mapping[str, Any], name: str) -> float | None:
    if name not in claims:
        return None
    value = claims[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_MOMENT:
        raise TokenInvalid(f"the {name} is no moment")
    return float(value)


def _text(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name, "")
    if name in claims and not (isinstance(value, str) and 0 < len(value) <= MAX_NAME and value.isprintable()):
        raise TokenInvalid(f"the {name} is no text of 1 to {MAX_NAME} printable characters")
    return str(value)


def _shown_id(jti: object) -> str:
    """A token's ``jti`` as the record shows it, in so far as that can be: nothing else goes by it."""
    if not isinstance(jti, str):
        raise TokenInvalid("the jti is no text")
    return "".join(character for character in jti[:MAX_NAME] if character.isprintable())


def _scopes(claims: Mapping[str, Any]) -> frozenset[str]:
    """From ``scope`` (RFC 8693, section 4.2), else from ``scp``, which some issuers write; a text, or a list.

    Only a space parts scopes (RFC 6749, section 3.3): one with a tab in it is none, not two.
    """
    name = "scope" if "scope" in claims else "scp"
    value = claims.get(name, "")
    scopes = [word for word in value.split(" ") if word] if isinstance(value, str) else value
    if not isinstance(scopes, list):
        raise TokenInvalid(f"the {name} is no text of scopes")
    if not all(isinstance(scope, str) and is_scope(scope) for scope in scopes):
        raise TokenInvalid(f"the {name} holds what is no scope")
    return frozenset(scopes)
