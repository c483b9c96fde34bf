"""What the audit record of one request will say, collected as the journey goes: the one value that is written to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from hms_svc.core.model import NOBODY, Caller

if TYPE_CHECKING:
    from hms_svc.core.config import Route
    from hms_svc.core.model import Request


class LimitVerdict(NamedTuple):
    """What one rate limit said."""

    per: str
    policy: str
    """As in ``RateLimit-Policy``: ``"default";q=30;w=60``."""
    allowed: bool
    remaining: int
    shadow: bool = False
    error: str = ""
    """Why the store could not decide, where it could not."""
    on_error: str = ""
    """What decided in its stead: ``local``, ``allow`` or ``deny``."""


@dataclass(frozen=True, slots=True)
class PolicyVerdict:
    """What one policy said."""

    name: str
    allowed: bool
    reason: str = ""
    error: str = ""
    """The exception's type and message, or that it overstayed; for the record only."""


@dataclass(slots=True, eq=False)
class Entry:
    """The facts of one request. Steps fill in what they learn; whatever is missing at the end was not reached."""

    request: Request
    request_id: str
    started_wall_ns: int
    started_ns: int
    """By the monotonic clock, for latencies."""
    trace_id: str = ""
    span_id: str = ""
    config_sha256: str = ""
    ip: str = ""
    scheme: str = "http"
    host: str = ""
    path: str = ""
    """Normalised; empty when the request was refused before that."""
    route: Route | None = None
    caller: Caller = NOBODY
    limits: list[LimitVerdict] = field(default_factory=list)
    policies: list[PolicyVerdict] = field(default_factory=list)
    request_bytes: int | None = None
    request_sha256: str = ""
    upstream: str = ""
    """``host:port`` of the service that was called."""
    upstream_status: int | None = None
    upstream_ns: int | None = None
    """From sending to the answer's header section."""
    attempts: int = 0
    job_id: str = ""
    admin: str = ""
    """What an admin request did, ``reload`` say."""
    status: int | None = None
    """Of the answer; None when the caller had gone before there was one."""
    refusal: str = ""
    """The problem type's last part, ``no-such-path``; empty when the request was served."""
    detail: str = ""
    cause: str = ""
    """What the caller is not told."""
    response_bytes: int = 0
    response_sha256: str = ""
    incomplete: bool = False
    """Whether the answer broke off: the caller left, or the service behind did."""
