"""The key ``rate_limit`` of a route: one limit or several, each a text such as ``30/m`` or a mapping."""

from __future__ import annotations

import re
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from hms_svc.core.config import Limit
from hms_svc.core.limit_keys import policy_name
from hms_svc.core.policy_fields import may_set
from hms_svc.core.routes.places import Wrong
from hms_svc.core.routes.problems import shown
from hms_svc.core.routes.texts import PERIODS, line, rate, token
from hms_svc.core.windows import CALENDAR, ROLLING, WINDOWS_S

if TYPE_CHECKING:
    from collections.abc import Callable

    from hms_svc.core.routes.places import Fields, Place, Readers

MAX_LIMITS = 8
"""On one route: each is asked for each call."""
MAX_PLANS = 32
"""Of one limit: each is compared with the claim."""
MAX_COUNT = 999_999_999
"""Of a limit, a burst or a cost."""
_PER = ("ip", "token", "caller", "route")
_TEXT = re.compile(r"([1-9][0-9]{0,8})/([smhd]|month)(?: per_(ip|token|caller|route))?")
_WHAT = "a rate such as 30/m (s, m, h, d or month), followed by per_ip, per_token, per_caller or per_route if need be"
_WHICH_WINDOW = "a calendar window is an hour, a day or a month: write /h, /d or /month"
_PLAN = re.compile(r"[^\x00-\x20\x7f](?:[^\x00-\x1f\x7f]{0,98}[^\x00-\x20\x7f])?")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def limits(place: Place) -> tuple[Limit, ...]:
    """The limits of a route, in the order of the file."""
    if not place.is_list():
        return (_limit(place),)
    if len(place.each()) > MAX_LIMITS:
        raise Wrong(f"has {len(place.each())} limits; a route has at most {MAX_LIMITS}")
    before = place.found.count
    read = place.items(lambda at: (at, _limit(at)), unique=False)
    if place.found.count == before:
        _refuse_repetition(read)
    return tuple(limit for _, limit in read)


def _refuse_repetition(read: tuple[tuple[Place, Limit], ...]) -> None:
    """Note limits that count the same calls in the same way, and names that two limits have."""
    counted: dict[Limit, str] = {}
    named: dict[str, str] = {}
    for index, (at, limit) in enumerate(read):
        here = at.key.rpartition(".")[2]
        counts = replace(limit, name="", shadow=False, on_error="local", legacy_headers=False)
        name = policy_name(index, limit.name)
        if counts in counted:
            at.report(f"counts the same as {counted[counts]}; one of them is enough")
        elif name in named:
            at.report(f"{name} is the name of {named[name]} too")
        counted.setdefault(counts, here)
        named.setdefault(name, here)


def _limit(place: Place) -> Limit:
    if not place.is_mapping():
        match = place.matching(_TEXT, _WHAT)
        count = int(match[1])
        return Limit(count, PERIODS[match[2]], count, match[3] or "ip")
    fields = place.fields((*_SIZE, *_READERS, "cost", "plans"), "a limit")
    count, period_s, burst = _size(fields)
    limit = Limit(count, period_s, burst, **fields.given(_READERS), **fields.get("cost", _cost, dict[str, Any]()))
    if limit.window == CALENDAR:
        _check_window(fields, period_s)
    if "plans" in fields:
        fields.need("plan_claim", line(200), "", "write the claim that names a caller's plan")
        limit = replace(limit, plans=MappingProxyType(dict(fields.get("plans", _plans_of(limit), ()))))
    elif "plan_claim" in fields:
        fields.at("plan_claim").report("chooses among plans, and there are none; give it plans")
    smallest = min([burst, *(plan.burst for plan in limit.plans.values())])
    if max(limit.cost, limit.max_cost) > smallest:
        refused = "such a call would always be" if limit.cost_header else "every call would be"
        fields.at("cost").report(f"a call costs more than the bucket of {smallest} ever holds: {refused} refused")
    return _with_most(limit, limit.max_cost or smallest) if limit.cost_header else limit


def _with_most(limit: Limit, most: int) -> Limit:
    plans = {name: replace(plan, max_cost=most) for name, plan in limit.plans.items()}
    return replace(limit, max_cost=most, plans=MappingProxyType(plans))


def _cost(place: Place) -> dict[str, Any]:
    """What a call costs, or where a policy says it."""
    if not place.is_mapping():
        return {"cost": _count(place)}
    fields = place.fields(("header", "default", "max"), "cost")
    header = fields.need("header", _cost_header, "", "name the field in which a policy says what a call costs")
    most = fields.get("max", _count, 0)
    default = fields.get("default", lambda at: at.integer(0, MAX_COUNT), 1)
    if most and default > most:
        raise Wrong(f"costs {default} by default, and at most {most}")
    return {"cost": default, "cost_header": header, "max_cost": most}


def _cost_header(place: Place) -> str:
    name = token(place)
    if not may_set(name):
        raise Wrong(f"{shown(name)} is a field that no policy may set")
    return name


def _size(fields: Fields) -> tuple[int, int, int]:
    """How many calls, in how many seconds, and how many at once."""
    count, period_s = fields.need("limit", rate, (1, 1), "write a rate such as 30/m")
    return count, period_s, fields.get("burst", _count, count)


def _check_window(fields: Fields, period_s: int) -> None:
    """Note what does not go with ``window: calendar``."""
    if "limit" in fields and period_s not in WINDOWS_S:
        fields.at("limit").report(_WHICH_WINDOW)
    if "burst" in fields:
        fields.at("burst").report("a calendar window holds the whole limit when it begins, and no more; leave it out")


def _plans_of(limit: Limit) -> Callable[[Place], tuple[tuple[str, Limit], ...]]:
    """A reader of the plans beside ``limit``: each has a size of its own, and is like it in all else."""

    def size(place: Place) -> tuple[int, int, int]:
        if place.is_mapping():
            fields = place.fields(_SIZE, "a plan")
            count, period_s, burst = _size(fields)
            if limit.window == CALENDAR:
                _check_window(fields, period_s)
            return count, period_s, burst
        count, period_s = rate(place)
        if limit.window == CALENDAR and period_s not in WINDOWS_S:
            raise Wrong(_WHICH_WINDOW)
        return count, period_s, count

    def plans(place: Place) -> tuple[tuple[str, Limit], ...]:
        sizes = place.pairs(_plan_name, size, "a mapping of plans to their limits, such as {gold: 1000/s}")
        if len(sizes) > MAX_PLANS:
            raise Wrong(f"has {len(sizes)} plans; a limit has at most {MAX_PLANS}")
        own = replace(limit, plan_claim="")
        return tuple(
            (name, replace(own, limit=count, period_s=period_s, burst=burst, plan=name))
            for name, (count, period_s, burst) in sizes
        )

    return plans


def _plan_name(text: str) -> str:
    if not _PLAN.fullmatch(text):
        raise Wrong(f"{shown(text)} is no plan: one line of text, at most 100 characters, no space at its ends")
    return text


def _count(place: Place) -> int:
    return place.integer(1, MAX_COUNT)


def _flag(place: Place) -> bool:
    return place.boolean()


def _name(place: Place) -> str:
    return place.matching(_NAME, "a name of letters, digits, ., _ and -, at most 64").group()


_SIZE = ("limit", "burst")
_READERS: Readers = {
    "plan_claim": line(200),
    "window": lambda place: place.one_of((ROLLING, CALENDAR)),
    "per": lambda place: place.one_of(_PER),
    "ipv6_prefix": lambda place: place.integer(48, 128),
    "name": _name,
    "shadow": _flag,
    "on_error": lambda place: place.one_of(("local", "allow", "deny")),
    "legacy_headers": _flag,
}
