"""Where a request came from, for doors that say it in headers they set themselves and not in the event's context."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hms_svc.core.model import Headers


def appended_address(headers: Headers) -> str:
    """The last address in ``X-Forwarded-For``, which the door has appended; empty when there is none.

    A port, which ALB writes where it is told to, is left out.
    """
    last = headers.get("x-forwarded-for", "").rpartition(",")[2].strip()
    if last.startswith("["):
        last = last[1:].partition("]")[0]
    elif last.count(":") == 1:
        last = last.partition(":")[0]
    try:
        return str(ip_address(last))
    except ValueError:
        return ""


def scheme(headers: Headers) -> str:
    """``http`` where the door says so, else ``https``."""
    return "http" if headers.get("x-forwarded-proto", "").strip().lower() == "http" else "https"
