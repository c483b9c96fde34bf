"""`/_hms/limits` of the admin interface: the buckets in this gateway's memory, to look at and to reset.

``GET ?target=…`` shows, ``DELETE ?target=…`` makes full again, what `core/limit_desk.py` finds; with ``plan=…`` only
what holds for who is on that plan. The record has which buckets were reset.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from hms_svc.core.errors import Malformed, MethodNotAllowed
from hms_svc.core.limit_desk import WHO, TargetInvalid, find, look, reset_each, unnamed_text, views
from hms_svc.core.limit_keys import key_prefix, limit_of
from hms_svc.core.own import json_response
from hms_svc.core.ports import Want
from hms_svc.core.windows import ROLLING

if TYPE_CHECKING:
    from hms_svc.core.arrive import Arrival
    from hms_svc.core.config import Config, Limit, Route
    from hms_svc.core.entry import Entry
    from hms_svc.core.limit_desk import Found
    from hms_svc.core.model import Response
    from hms_svc.local.limits import MemoryLimits

LIMITS = "/_hms/limits"
MAX_LISTED = 50
"""Lines that one answer lists."""


class LimitsDesk:
    """Answers for the buckets in ``store``."""

    def __init__(self, store: MemoryLimits) -> None:
        self._store = store

    async def answer(self, arrival: Arrival, config: Config, entry: Entry) -> Response:
        """Show or reset buckets. Raises `Malformed` and `MethodNotAllowed`."""
        method = arrival.request.method
        if method not in {"GET", "HEAD", "DELETE"}:
            raise MethodNotAllowed(method, ("DELETE", "GET", "HEAD"))
        target, plan, who = _asked(arrival.request.query)
        try:
            found = find(config, target, who, plan)
        except TargetInvalid as error:
            raise Malformed(str(error)) from None
        if method == "DELETE":
            return await self._reset(found, entry)
        answer = await self._named(found)
        if not who:
            answer["emptiest"] = await self._listed(found, plan)
        return json_response(200, answer)

    async def _listed(self, found: Found, plan: str) -> list[dict[str, Any]]:
        """Where nobody was named, the buckets of which most is gone."""
        emptiest = [
            bucket
            for route, index in found.unnamed
            for bucket in await look(self._store, self._emptiest(route, index, plan))
        ]
        emptiest.sort(key=lambda bucket: bucket["remaining"] / bucket["burst"])
        return emptiest[:MAX_LISTED]

    async def _named(self, found: Found) -> dict[str, Any]:
        return {
            "buckets": await look(self._store, found.wants),
            "unnamed": [unnamed_text(*it) for it in found.unnamed],
        }

    def _emptiest(self, route: Route, index: int, plan: str) -> tuple[tuple[Route, Want], ...]:
        limit = route.limits[index]
        prefix, shown = key_prefix(route.name, index, limit), views(limit, plan)
        if limit.window != ROLLING:  # where a bucket is not one plan's
            windows = {own.period_s: own for own in shown}
            found = {it: self._store.emptiest(prefix, own, MAX_LISTED) for it, own in windows.items()}
            return tuple((route, Want(key, own, own.cost)) for own in shown for key in found[own.period_s])

        def own(key: str) -> Limit | None:
            kept_by = limit_of(key.removeprefix(prefix), limit)
            return kept_by if kept_by in shown else None

        keys = self._store.emptiest(prefix, limit, MAX_LISTED, own)
        return tuple((route, Want(key, kept_by, kept_by.cost)) for key in keys if (kept_by := own(key)))

    async def _reset(self, found: Found, entry: Entry) -> Response:
        if not found.wants:
            raise Malformed("; ".join(unnamed_text(*it) for it in found.unnamed))
        answer = await self._named(found)
        for bucket, was_in_use in zip(answer["buckets"], reset_each(found.wants, self._store.reset), strict=True):
            bucket["was_in_use"] = was_in_use
        entry.detail = "reset " + ", ".join(dict.fromkeys(bucket["key"] for bucket in answer["buckets"]))
        return json_response(200, answer)


def _asked(query: str) -> tuple[str, str, dict[str, str]]:
    """The target, the plan and who calls. Raises `Malformed`."""
    try:
        fields = parse_qsl(query, max_num_fields=len(WHO) + 2, strict_parsing=True, errors="strict")
    except ValueError:
        fields = []
    asked = dict(fields)
    if not asked.get("target") or len(asked) < len(fields) or not set(asked) <= {"target", "plan", *WHO}:
        who = ", ".join(WHO)
        raise Malformed(f"The query is target=ROUTE or target=KEY, who calls by {who}, and plan=NAME, each once")
    return asked.pop("target"), asked.pop("plan", ""), asked
