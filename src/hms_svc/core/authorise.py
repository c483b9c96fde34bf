"""The step after authentication: a caller who is known must also have what the route requires.

All the scopes, all the claims, and where the route lists alternatives (``any_of``) at least one of those.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hms_svc.core.credentials.scopes import is_scope
from hms_svc.core.errors import Forbidden

if TYPE_CHECKING:
    from hms_svc.core.config import Requirements, Route
    from hms_svc.core.model import Caller


def authorise(route: Route, caller: Caller) -> None:
    """Let ``caller`` pass, or raise `Forbidden` that names what is missing: scopes and claim names, never values.

    A caller with a token also reads it in ``WWW-Authenticate`` (``insufficient_scope``, RFC 6750, section 3.1).
    """
    require = route.require
    _check(require, caller)
    if require.any_of and not any(_holds(one, caller) for one in require.any_of):
        wanted = ", or ".join(_named(one) for one in require.any_of)
        raise Forbidden(f"What is missing is {wanted}", headers=_challenge(caller, frozenset()))


def _check(require: Requirements, caller: Caller) -> None:
    missing = require.scopes - caller.scopes if require.scopes else frozenset()
    if missing:
        names = ", ".join(sorted(missing))
        detail = f"The scope{'' if len(missing) == 1 else 's'} {names} {'is' if len(missing) == 1 else 'are'} missing"
        raise Forbidden(detail, headers=_challenge(caller, require.scopes))
    for name, allowed in require.claims.items():
        if name not in caller.claims:
            raise Forbidden(f"The claim {name} is missing", headers=_challenge(caller, frozenset()))
        if not _holds_one(caller.claims[name], allowed):
            raise Forbidden(f"The claim {name} does not allow this", headers=_challenge(caller, frozenset()))


def _holds(require: Requirements, caller: Caller) -> bool:
    try:
        _check(require, caller)
    except Forbidden:
        return False
    return True


def _named(require: Requirements) -> str:
    return " and ".join([*sorted(require.scopes), *(f"the claim {name}" for name in require.claims)])


def _holds_one(value: Any, allowed: tuple[Any, ...]) -> bool:
    """Whether a claim has, or as a list holds, an allowed value. The number 1 is not true here."""
    held = value if isinstance(value, list | tuple) else (value,)
    return any(one == other and isinstance(one, bool) is isinstance(other, bool) for one in held for other in allowed)


def _challenge(caller: Caller, scopes: frozenset[str]) -> tuple[tuple[str, str], ...]:
    if caller.via != "oauth":
        return ()
    needed = " ".join(sorted(scopes)) if all(map(is_scope, scopes)) else ""
    scope = f', scope="{needed}"' if needed else ""
    return (("WWW-Authenticate", f'Bearer realm="hms-svc", error="insufficient_scope"{scope}'),)
