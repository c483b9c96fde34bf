"""A signed token taken apart (RFC 7515, compact serialisation), every part bounded and with one reading only.

Nothing here is verified yet. What the header says of keys (``jwk``, ``jku``, ``x5u``, ``x5c``) is never looked at.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

from hms_svc.core.credentials.bearer import MAX_TOKEN
from hms_svc.core.credentials.presented import CredentialInvalid
from hms_svc.core.credentials.strict_json import parse_object

MAX_KID = 256


class TokenInvalid(CredentialInvalid):
    """A token that is refused. The message is for the record and holds of the token no more than ``kid`` or ``iss``."""


@dataclass(frozen=True, slots=True, repr=False)
class Jws:
    """The parts of a token that is well formed; whether it is genuine is not known yet."""

    algorithm: str
    kid: str | None
    typ: str | None
    """In lower case and without ``application/``, which may be left out (RFC 7515, section 4.1.9)."""
    payload: bytes
    signing_input: bytes
    signature: bytes

    def claims(self) -> dict[str, Any]:
        """The payload as a JSON object. Raises `TokenInvalid`."""
        try:
            return parse_object(self.payload)
        except ValueError as error:
            raise TokenInvalid(f"the payload cannot be read: {error}") from None


def parse(token: str) -> Jws:
    """``token`` taken apart. Raises `TokenInvalid`."""
    if len(token) > MAX_TOKEN:
        raise TokenInvalid(f"the token is longer than {MAX_TOKEN} characters")
    parts = token.split(".")
    if len(parts) != 3:  # noqa: PLR2004  (header, payload, signature)
        raise TokenInvalid(f"it is no signed token: it has {len(parts)} part{'' if len(parts) == 1 else 's'}, not 3")
    raw_header, payload, signature = (_decode(part) for part in parts)
    try:
        header = parse_object(raw_header)
    except ValueError as error:
        raise TokenInvalid(f"the header cannot be read: {error}") from None
    algorithm, kid = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str):
        raise TokenInvalid("the header names no algorithm")
    if kid is not None and not (isinstance(kid, str) and len(kid) <= MAX_KID):
        raise TokenInvalid("the kid is no short text")
    _check_extensions(header)
    return Jws(algorithm, kid, _typ(header), payload, f"{parts[0]}.{parts[1]}".encode("ascii"), signature)


def is_jose(token: str) -> bool:
    """Whether a token begins as signed and encrypted ones do, with a JSON object and a dot: it says whose it is.

    Whatever stands around it: a dot too many makes no secret of it.
    """
    first, dot, _ = token.strip(".").partition(".")
    if not dot:
        return False
    first = first[:64]
    try:
        begins = base64.urlsafe_b64decode(first + "=" * (-len(first) % 4))
    except ValueError:
        return False
    return begins.lstrip(b" \t\r\n\xef\xbb\xbf").startswith(b"{")


def issuer_claimed(token: str) -> str | None:
    """The ``iss`` of a token that is a JWT in form, whatever its header and signature are; None for any other token."""
    parts = token.split(".")
    if len(parts) != 3:  # noqa: PLR2004  (header, payload, signature)
        return None
    try:
        named = parse_object(_decode(parts[1])).get("iss")
    except (TokenInvalid, ValueError):
        return None
    return named if isinstance(named, str) else None


def shown(text: str) -> str:
    """A ``kid`` or ``iss`` as the record shows it: quoted, at most 80 characters."""
    return repr(text[:80])


def _check_extensions(header: dict[str, Any]) -> None:
    """Refuse what would change how the token is to be read (RFC 7515, section 4.1.11; RFC 8725, section 3.11)."""
    for name in ("crit", "enc", "zip", "b64"):
        if name in header:
            raise TokenInvalid(f"the header has {name}, which is not supported")
    if "cty" in header:
        raise TokenInvalid("the header has cty: nested tokens are not supported")


def _typ(header: dict[str, Any]) -> str | None:
    typ = header.get("typ")
    if typ is None and "typ" not in header:
        return None
    if not isinstance(typ, str):
        raise TokenInvalid("the typ is no text")
    return typ.lower().removeprefix("application/")


def _decode(part: str) -> bytes:
    """Base64url without padding, in its one canonical form (RFC 7515, section 2)."""
    try:
        text = part.encode("ascii")
        data = base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))
    except ValueError:
        raise TokenInvalid("a part of the token is not base64url") from None
    if not data or base64.urlsafe_b64encode(data).rstrip(b"=") != text:
        raise TokenInvalid("a part of the token is empty or not canonical base64url")
    return data
