"""`/_hms/limits` of the admin interface: the buckets in this gateway's memory, to look at and to reset.

``GET ?target=…`` shows, ``DELETE ?target=…`` makes full again, what `core/limit_desk.py` finds. The record has which
buckets were reset.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from hms_svc.core.errors import Malformed, MethodNotAllowed
from hms_svc.core.limit_desk import WHO, TargetInvalid, find, look, unnamed_text
from hms_svc.core.limit_keys import key_prefix
from hms_svc.core.own import json_response
from hms_svc.core.ports import Want

if TYPE_CHECKING:
    from hms_svc.core.arrive import Arrival
    from hms_svc.core.config import Config, Route
    from hms_svc.core.entry import Entry
    from hms_svc.core.limit_desk import Found
    from hms_svc.core.model import Response
    from hms_svc.local.limits import MemoryLimits

LIMITS = "/_hms/limits"
MAX_LISTED = 50
"""Buckets that one answer lists."""


class LimitsDesk:
    """Answers for the buckets in ``store``."""

    def __init__(self, store: MemoryLimits) -> None:
        self._store = store

    async def answer(self, arrival: Arrival, config: Config, entry: Entry) -> Response:
        """Show or reset buckets. Raises `Malformed` and `MethodNotAllowed`."""
        method = arrival.request.method
        if method not in {"GET", "HEAD", "DELETE"}:
            raise MethodNotAllowed(method, ("DELETE", "GET", "HEAD"))
        target, who = _asked(arrival.request.query)
        try:
            found = find(config, target, who)
        except TargetInvalid as error:
            raise Malformed(str(error)) from None
        if method == "DELETE":
            return await self._reset(found, entry)
        return json_response(200, await self._shown(found, listed=not who))

    async def _shown(self, found: Found, *, listed: bool) -> dict[str, Any]:
        """``emptiest`` are, where nobody was named, the buckets of which most is gone."""
        answer: dict[str, Any] = await self._named(found)
        if listed:
            emptiest = [
                bucket
                for route, index in found.unnamed
                for bucket in await look(self._store, self._emptiest(route, index))
            ]
            emptiest.sort(key=lambda bucket: bucket["remaining"] / bucket["burst"])
            answer["emptiest"] = emptiest[:MAX_LISTED]
        return answer

    async def _named(self, found: Found) -> dict[str, Any]:
        return {
            "buckets": await look(self._store, found.wants),
            "unnamed": [unnamed_text(*it) for it in found.unnamed],
        }

    def _emptiest(self, route: Route, index: int) -> tuple[tuple[Route, Want], ...]:
        limit = route.limits[index]
        keys = self._store.emptiest(key_prefix(route.name, index, limit), limit, MAX_LISTED)
        return tuple((route, Want(key, limit, limit.cost)) for key in keys)

    async def _reset(self, found: Found, entry: Entry) -> Response:
        if not found.wants:
            raise Malformed("; ".join(unnamed_text(*it) for it in found.unnamed))
        answer = await self._named(found)
        for bucket, (_, want) in zip(answer["buckets"], found.wants, strict=True):
            bucket["was_in_use"] = self._store.reset(want)
        entry.detail = "reset " + ", ".join(bucket["key"] for bucket in answer["buckets"])
        return json_response(200, answer)


def _asked(query: str) -> tuple[str, dict[str, str]]:
    """The target and who calls. Raises `Malformed`."""
    try:
        fields = parse_qsl(query, max_num_fields=len(WHO) + 1, strict_parsing=True, errors="strict")
    except ValueError:
        fields = []
    asked = dict(fields)
    if not asked.get("target") or len(asked) < len(fields) or not set(asked) <= {"target", *WHO}:
        raise Malformed(f"The query is target=ROUTE or target=KEY, and who calls by {', '.join(WHO)}, each once")
    return asked.pop("target"), asked
