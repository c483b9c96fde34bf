"""The fields that policies set on a request on its way to the service, and the costs that limits read of them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from hms_svc.core.forward import is_the_callers, plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hms_svc.core.config import Limit

Fields = tuple[tuple[str, str], ...]

MAX_FIELDS = 32
"""Of one verdict."""
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")
_VALUE = re.compile(r"(?:[\x21-\x7e\xa0-\xff](?:[\t\x20-\x7e\xa0-\xff]{0,8190}[\x21-\x7e\xa0-\xff])?)?")
_COST = re.compile(r"[0-9]{1,9}")


def may_set(name: str) -> bool:
    """Whether a policy may: not what the gateway alone may say, and not the caller's credential."""
    return is_the_callers(name) and plain(name) != "authorization"


def fault(fields: Mapping[Any, Any], limits: Iterable[Limit]) -> str:
    """What is wrong with the fields that a policy sets on a request; empty when nothing is. Holds no value."""
    if len(fields) > MAX_FIELDS:
        return f"set {len(fields)} fields, and at most {MAX_FIELDS} can be"
    faults = [wrong for name, value in fields.items() if (wrong := _fault_of(name, value))]
    if faults:
        return faults[0]
    if len({plain(name) for name in fields}) < len(fields):
        return "set a field twice, in two spellings of its name"
    for limit in limits:
        if limit.cost_header and cost(limit, tuple(fields.items())) is None:
            return f"set {limit.cost_header} to what is no whole number from 0 to {limit.max_cost}"
    return ""


def _fault_of(name: Any, value: Any) -> str:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        return "set a field whose name is none (RFC 9110, section 5.1)"
    if not may_set(name):
        return f"set {name}, which no policy may"
    if not isinstance(value, str) or not _VALUE.fullmatch(value):
        return f"set {name} to what no field can hold (RFC 9110, section 5.5)"
    return ""


def joined(fields: Fields, more: Mapping[str, str]) -> Fields:
    """What is set when one policy has set ``fields`` and a later one ``more``."""
    replaced = {plain(name) for name in more}
    return (*(field for field in fields if plain(field[0]) not in replaced), *more.items())


def cost(limit: Limit, fields: Fields) -> int | None:
    """What a call costs by ``limit``; None where a field says what is no cost."""
    for name, value in fields:
        if name.lower() == limit.cost_header.lower():
            tokens = int(value) if _COST.fullmatch(value) else limit.max_cost + 1
            return tokens if tokens <= limit.max_cost else None
    return limit.cost
