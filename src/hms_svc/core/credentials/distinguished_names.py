"""Distinguished names as text (RFC 4514): one spelling for each name, so that two names are equal as texts are.

The most significant part stands first: ``CN=claims-batch,O=Agency``. What `canonical` reads and `written` writes is
the same for the same name, whoever spelt it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    Attribute = tuple[str, str]
    """Object identifier and value."""

COMMON_NAME = "2.5.4.3"
TYPES: Mapping[str, str] = {
    COMMON_NAME: "CN", "2.5.4.6": "C", "0.9.2342.19200300.100.1.25": "DC", "2.5.4.7": "L", "2.5.4.10": "O",
    "2.5.4.11": "OU", "2.5.4.8": "ST", "2.5.4.9": "STREET", "0.9.2342.19200300.100.1.1": "UID",
    "1.2.840.113549.1.9.1": "emailAddress", "2.5.4.5": "serialNumber", "2.5.4.4": "surname", "2.5.4.42": "givenName",
    "2.5.4.43": "initials", "2.5.4.44": "generationQualifier", "2.5.4.12": "title", "2.5.4.65": "pseudonym",
    "2.5.4.46": "dnQualifier", "2.5.4.15": "businessCategory", "2.5.4.17": "postalCode",
    "2.5.4.97": "organizationIdentifier",
}  # fmt: skip
"""The short names of RFC 4514, section 3, and what OpenSSL calls some others. The rest goes by its number."""
_BY_TYPE = {name.lower(): oid for oid, name in TYPES.items()}
_SPECIAL = re.compile(r'[,+"\\<>;=]|\A[ #]| \Z|[\x00-\x1f\x7f]')
_PART = re.compile(
    r" *(?P<type>[A-Za-z][A-Za-z0-9-]{0,63}|[0-9]+(?:\.[0-9]+){1,63}) *="
    r' *(?P<value>(?:[^\\,+"<>;\x00-\x1f\x7f]|\\[0-9A-Fa-f]{2}|\\[ #,+"\\<>;=])*)(?P<after>[,+]|\Z)'
)
_ESCAPE = re.compile(r"((?:\\[0-9A-Fa-f]{2})+)|\\(.)")


def written(rdns: Iterable[Iterable[Attribute]]) -> str:
    """The text of a name whose parts come as a certificate has them, the most significant last."""
    parts = ["+".join(sorted(f"{TYPES.get(oid, oid)}={_escaped(value)}" for oid, value in rdn)) for rdn in rdns]
    return ",".join(reversed(parts))


def canonical(text: str) -> str:
    """The one spelling of the name that ``text`` spells. Raises `ValueError`, with what is wrong, for no name."""
    rdns: list[list[Attribute]] = [[]]
    at, after = 0, ","
    while after:
        part = _PART.match(text, at)
        if part is None:
            raise ValueError(f"what stands at character {at + 1} is no part such as CN=name")
        rdns[-1].append((_oid(part["type"]), _unescaped(part["value"])))
        at, after = part.end(), part["after"]
        if after == ",":
            rdns.append([])
    return written(reversed(rdns))


def _oid(name: str) -> str:
    if name[0].isdigit():
        return name
    try:
        return _BY_TYPE[name.lower()]
    except KeyError:
        raise ValueError(f"{name} is not one of {', '.join(TYPES.values())}; write it as a number") from None


def _escaped(value: str) -> str:
    return _SPECIAL.sub(_escape, value)


def _escape(special: re.Match[str]) -> str:
    character = special.group()
    return f"\\{character}" if character.isprintable() else f"\\{ord(character):02X}"


def _unescaped(raw: str) -> str:
    if raw.startswith("#"):
        raise ValueError("a value in hexadecimal is not read; write it as text")
    bare = raw.rstrip(" ")
    if bare.endswith("\\") and len(bare) < len(raw):  # the last space is escaped, so it belongs to the value
        bare += " "
    return _ESCAPE.sub(lambda escape: escape[2] or _decoded(escape[1]), bare)


def _decoded(pairs: str) -> str:
    try:
        return bytes.fromhex(pairs.replace("\\", "")).decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError("what is escaped by numbers is not UTF-8") from None
