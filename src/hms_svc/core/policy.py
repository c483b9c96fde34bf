"""What a plug-in author sees: `Policy`, `Verdict` and the request a policy is shown. Nothing else of the gateway."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hms_svc.core.config import Route
    from hms_svc.core.model import Caller, Headers


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a policy says of a request. Build one with `pass_`, `block` or `limit`."""

    allowed: bool
    status: int = 200
    reason: str = ""
    retry_after_s: int | None = None
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), hash=False)

    @classmethod
    def pass_(cls, headers: Mapping[str, str] | None = None) -> Verdict:
        """The request goes on, with ``headers`` in place of what the caller sent under these names."""
        return cls(allowed=True, headers=MappingProxyType(dict(headers or {})))

    @classmethod
    def block(cls, reason: str, status: int = 403) -> Verdict:
        """The request is refused; the caller reads ``reason``. ``status`` is 400 to 599."""
        if not 400 <= status <= 599:  # noqa: PLR2004  (client and server errors, RFC 9110, section 15)
            raise ValueError(f"a verdict that blocks has a status from 400 to 599, not {status}")
        return cls(allowed=False, status=status, reason=reason)

    @classmethod
    def limit(cls, reason: str, retry_after: int) -> Verdict:
        """The request is refused for now with 429; ``retry_after`` is in seconds."""
        if retry_after < 0:
            raise ValueError(f"retry_after is a number of seconds from 0 up, not {retry_after}")
        return cls(allowed=False, status=429, reason=reason, retry_after_s=retry_after)


@dataclass(frozen=True, slots=True, eq=False)
class PolicyRequest:
    """The request as policies see it: normalised, verified, complete, read-only."""

    method: str
    path: str
    """Normalised, percent-encoded: the one that matched and that goes on the wire."""
    params: Mapping[str, str]
    """The route's ``{name}`` segments, decoded."""
    query: Mapping[str, tuple[str, ...]]
    """Decoded parameters; each may have come several times."""
    headers: Headers
    """Without case; ``Content-Length`` is there whenever there is a body, however it was sent.

    What the caller itself says of who it is is left out: that is in `caller`.
    """
    body: bytes
    caller: Caller
    ip: str
    """The caller's address, worked out behind trusted proxies."""


class Policy:
    """A rule of the team's own, named by a route's ``policies``.

    Options from ``with:`` are the constructor's keyword arguments; one object is built when routes load and shared
    by all requests, from several threads at once.
    """

    def __init__(self, **options: Any) -> None:
        if options:
            raise TypeError(f"{type(self).__name__} takes no options, but was given {', '.join(sorted(options))}")

    def check(self, req: PolicyRequest, route: Route) -> Verdict:
        """The verdict on one request. Whatever this raises refuses the request with 500."""
        raise NotImplementedError(f"{type(self).__name__} has no check(self, req, route)")
