"""What changes from one configuration to the next, route by route."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from hms_svc.core.config import PolicyUse, Route

if TYPE_CHECKING:
    from hms_svc.core.config import Config


@dataclass(frozen=True, slots=True)
class Change:
    """One route, or one shared setting, that is not as it was."""

    kind: str
    """``added``, ``removed`` or ``changed``."""
    name: str
    fields: tuple[str, ...] = ()
    """Of a changed route: which parts differ."""

    def __str__(self) -> str:
        sign = {"added": "+", "removed": "-", "changed": "~"}[self.kind]
        return f"{sign} {self.name}" + (f" ({', '.join(self.fields)})" if self.fields else "")


def changes(old: Config, new: Config) -> tuple[Change, ...]:
    """Every difference, sorted by route name; shared settings last. The order in the file makes none."""
    before = {route.name: route for route in old.routes}
    after = {route.name: route for route in new.routes}
    found = [Change("removed", name) for name in before.keys() - after.keys()]
    found += [Change("added", name) for name in after.keys() - before.keys()]
    for name in before.keys() & after.keys():
        differing = _differing(before[name], after[name])
        if differing:
            found.append(Change("changed", name, differing))
    shared = [
        Change("changed", setting)
        for setting in ("issuers", "api_key_header", "trusted_proxies", "client_certificates")
        if getattr(old, setting) != getattr(new, setting)
    ]
    return (*sorted(found, key=lambda change: change.name), *shared)


def _differing(old: Route, new: Route) -> tuple[str, ...]:
    names = [field.name for field in fields(Route)]
    return tuple(name for name in names if _comparable(getattr(old, name)) != _comparable(getattr(new, name)))


def _comparable(value: Any) -> Any:
    """Policies are built anew at each load: what the file says of them is compared, not the objects."""
    if isinstance(value, tuple) and value and isinstance(value[0], PolicyUse):
        return [(use.name, use.options) for use in value]
    return value
