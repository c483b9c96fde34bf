"""Every way a request is refused: status, problem type, title, what the caller reads. One family, one file.

``detail`` is for the caller and tells nothing of the inside; ``cause`` is for the audit record only. What an adapter
could not do is no refusal yet: it raises one of the exceptions in `ports`, and the step that called it decides.
"""

from __future__ import annotations

import json
from typing import ClassVar

from hms_svc.core.model import Headers, Response


class Refusal(Exception):  # noqa: N818  (a refusal is an answer, not a fault)
    """A request that goes no further. Rendered as problem details (RFC 9457)."""

    status: ClassVar[int] = 500
    kind: ClassVar[str] = "internal-error"
    title: ClassVar[str] = "Internal error"
    default_detail: ClassVar[str] = ""

    def __init__(self, detail: str = "", *, cause: str = "", headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(detail or self.default_detail)
        self.detail = detail or self.default_detail
        self.cause = cause
        self.headers = headers

    def answer(self, request_id: str) -> Response:
        """The refusal as an ``application/problem+json`` response."""
        problem = {
            "type": f"urn:problem:hms-svc:{self.kind}",
            "title": self.title,
            "status": self.response_status,
            "detail": self.detail,
            "request_id": request_id,
        }
        lines = (("Content-Type", "application/problem+json"), ("Cache-Control", "no-store"), *self.headers)
        return Response(self.response_status, Headers(lines), json.dumps(problem).encode())

    @property
    def response_status(self) -> int:
        """The status of the answer; a policy may choose its own."""
        return self.status


class Malformed(Refusal):
    """The request or its path is not well formed; ``detail`` says what."""

    status, kind, title = 400, "malformed-request", "Malformed request"


class NoSuchPath(Refusal):
    """No route serves this path, or none is loaded."""

    status, kind, title = 404, "no-such-path", "Not found"
    default_detail = "No such path"


class MethodNotAllowed(Refusal):
    """The path is served, not with this method (RFC 9110, section 15.5.6)."""

    status, kind, title = 405, "method-not-allowed", "Method not allowed"

    def __init__(self, method: str, allow: tuple[str, ...]) -> None:
        super().__init__(f"{method} is not allowed here", headers=(("Allow", ", ".join(allow)),))


class BadCredentials(Refusal):
    """No credential, or not a good one. The caller is not told which; ``cause`` is."""

    status, kind, title = 401, "bad-credentials", "Unauthorized"
    default_detail = "Bad credentials"

    def __init__(self, *, cause: str, challenges: tuple[str, ...]) -> None:
        super().__init__(cause=cause, headers=tuple(("WWW-Authenticate", challenge) for challenge in challenges))


class Forbidden(Refusal):
    """The caller is known and lacks a scope or claim, which ``detail`` names."""

    status, kind, title = 403, "forbidden", "Forbidden"


class TooManyCalls(Refusal):
    """Over the limit (RFC 6585, section 4)."""

    status, kind, title = 429, "too-many-calls", "Too many requests"
    default_detail = "Too many calls"


class PolicyBlocked(Refusal):
    """A policy said no, with its own reason and status."""

    status, kind, title = 403, "blocked-by-policy", "Blocked by policy"

    def __init__(self, reason: str, *, status: int = 403, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(reason, headers=headers)
        self._status = status

    @property
    def response_status(self) -> int:
        """The status the policy chose."""
        return self._status


class BodyTooLarge(Refusal):
    """The body is over the route's ``max_body``."""

    status, kind, title = 413, "body-too-large", "Content too large"

    def __init__(self, limit: int) -> None:
        super().__init__(f"The body is over the limit of {limit} bytes")
        self.limit = limit


class RequestTimeout(Refusal):
    """The body did not come in time (RFC 9110, section 15.5.9)."""

    status, kind, title = 408, "request-timeout", "Request timeout"
    default_detail = "The request did not arrive in time"


class BadGateway(Refusal):
    """The service behind could not be reached, or what it answered is not HTTP."""

    status, kind, title = 502, "bad-gateway", "Bad gateway"
    default_detail = "The service behind this path cannot be reached or gave no usable answer"


class GatewayTimeout(Refusal):
    """The service behind did not answer within the route's ``timeout``."""

    status, kind, title = 504, "gateway-timeout", "Gateway timeout"
    default_detail = "The service behind this path did not answer in time"


class Unavailable(Refusal):
    """Something the gateway needs is down and the route says not to go on without."""

    status, kind, title = 503, "unavailable", "Service unavailable"
    default_detail = "Temporarily unavailable"

    def __init__(self, *, cause: str, retry_after_s: int = 5) -> None:
        super().__init__(cause=cause, headers=(("Retry-After", str(retry_after_s)),))


class InternalError(Refusal):
    """A bug of the gateway or of a policy. The caller learns nothing; the record has the cause."""

    status, kind, title = 500, "internal-error", "Internal error"
    default_detail = "The gateway failed to handle this request"


class UriTooLong(Refusal):
    """The request line is longer than the door reads (RFC 9110, section 15.5.15)."""

    status, kind, title = 414, "uri-too-long", "URI too long"

    def __init__(self, limit: int) -> None:
        super().__init__(f"The request line is over {limit} bytes")


class FieldsTooLarge(Refusal):
    """More or longer header fields than the door reads (RFC 6585, section 5); ``detail`` names the bound."""

    status, kind, title = 431, "fields-too-large", "Request header fields too large"


class NotImplementedHere(Refusal):
    """A part of HTTP that a gateway has no use for; ``detail`` names it (RFC 9110, section 15.6.2)."""

    status, kind, title = 501, "not-implemented", "Not implemented"


class VersionNotSupported(Refusal):
    """A version of HTTP that the door does not speak (RFC 9110, section 15.6.6)."""

    status, kind, title = 505, "version-not-supported", "HTTP version not supported"
    default_detail = "HTTP/1.1 and HTTP/1.0 are spoken here"
