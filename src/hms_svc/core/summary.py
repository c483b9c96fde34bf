"""A route in a few words, for tables, `hms-svc routes` and the admin interface."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hms_svc.core.config import Enqueue, Forward, Redirect
from hms_svc.core.windows import MONTH_S, ROLLING

if TYPE_CHECKING:
    from hms_svc.core.config import Limit, Route

_UNITS = {1: "s", 60: "m", 3_600: "h", 86_400: "d", MONTH_S: "month"}


def summary(route: Route) -> dict[str, str]:
    """The columns of a route: name, methods, host, path, auth, limit, policies, to."""
    return {
        "name": route.name,
        "methods": ",".join(sorted(route.methods)) if route.methods is not None else "any",
        "host": route.host or "",
        "path": route.path,
        "auth": " or ".join(route.auth) or "none",
        "limit": ", ".join(limit_text(limit) for limit in route.limits),
        "policies": ", ".join(use.name for use in route.policies),
        "to": destination(route),
    }


def limit_text(limit: Limit) -> str:
    """As routes.yml would say it: ``30/m per_token``."""
    text = _rate(limit)
    if limit.per != "ip":
        text += f" per_{limit.per}"
    if limit.cost_header:
        text += f" cost from {limit.cost_header}"
    if limit.plans:
        text += f" by {limit.plan_claim}: {', '.join(f'{name} {_rate(own)}' for name, own in limit.plans.items())}"
    return f"{text} (shadow)" if limit.shadow else text


def _rate(limit: Limit) -> str:
    text = f"{limit.limit}/{_UNITS.get(limit.period_s, f'{limit.period_s}s')}"
    if limit.window != ROLLING:
        text += f" {limit.window}"
    return f"{text} burst {limit.burst}" if limit.burst != limit.limit else text


def destination(route: Route) -> str:
    """Where the route leads."""
    match route.action:
        case Forward(targets=targets, if_async=if_async):
            services = ", ".join(f"{target.scheme}://{target.authority}{target.path}" for target in targets)
            return f"{services} (queue {if_async.queue} if preferred)" if if_async else services
        case Redirect(status=status):
            return f"redirect {status}"
        case Enqueue(queue=queue):
            return f"queue {queue}"
