"""Who answers the requests of a server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from hms_svc.core.errors import Refusal
    from hms_svc.core.model import Request, Response


class Door(Protocol):
    """The core's Gateway is one."""

    async def handle(self, request: Request) -> Response:
        """The answer to a request."""
        ...

    async def refuse(self, request: Request, refusal: Refusal) -> Response:
        """The answer to what is no request; ``request`` holds what could be read of it."""
        ...
