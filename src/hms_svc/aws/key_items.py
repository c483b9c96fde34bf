"""An API key as an item of the DynamoDB table, and back."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from hms_svc.core.credentials.claims import MAX_MOMENT
from hms_svc.core.ports import ApiKey

if TYPE_CHECKING:
    from collections.abc import Mapping

NO_KEY = (AttributeError, KeyError, TypeError, ValueError)
"""What `from_item` raises for what `as_item` did not make."""
_MOMENTS = ("created_s", "expires_s", "revoked_s", "last_used_s")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def place(sha256: str) -> dict[str, Any]:
    """The key of an item, as DynamoDB uses the word."""
    return {"sha256": {"S": sha256}}


def as_item(key: ApiKey) -> dict[str, Any]:
    """What is kept of a key."""
    item: dict[str, Any] = {name: {"S": getattr(key, name)} for name in ("sha256", "id", "owner", "name")}
    item["scopes"] = {"L": [{"S": scope} for scope in sorted(key.scopes)]}
    if key.plan:
        item["plan"] = {"S": key.plan}
    for name in _MOMENTS:
        moment = getattr(key, name)
        if moment is not None:
            item[name] = {"N": str(moment)}
    return item


def from_item(item: Mapping[str, Any]) -> ApiKey:
    """The key that an item is. Raises one of `NO_KEY` for what `as_item` did not make."""
    texts: dict[str, Any] = {name: item[name]["S"] for name in ("sha256", "id", "owner", "name")}
    scopes = frozenset(scope["S"] for scope in item["scopes"]["L"])
    moments: dict[str, Any] = {name: int(item[name]["N"]) for name in _MOMENTS if name in item}
    if (
        not texts["id"]
        or not texts["owner"]
        or not _SHA256.fullmatch(texts["sha256"])
        or "created_s" not in moments
        or not all(0 <= moment <= MAX_MOMENT for moment in moments.values())
    ):
        raise ValueError
    plan = item["plan"]["S"] if "plan" in item else ""
    return ApiKey(**texts, scopes=scopes, plan=plan, **moments)
