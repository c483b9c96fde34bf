"""The door of AWS Lambda: one event in, one answer out, in the form of the event.

The journey is a coroutine that never suspends here, since every adapter of this folder does its work and returns; so
one step takes it to its end, without an event loop. An answer that Lambda or the load balancer would refuse is known
before the request's record is closed: the caller gets 502 with the reason, and the record says so.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from hms_svc.aws.events import reading
from hms_svc.core.errors import BadGateway, GatewayTimeout
from hms_svc.core.ports import UpstreamBroken, UpstreamTimeout

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from hms_svc.aws.events.answers import Answer
    from hms_svc.aws.events.reading import Asked
    from hms_svc.core.errors import Refusal
    from hms_svc.core.model import BodyStream, Request, Response

T = TypeVar("T")

_GROWTH = 8
"""What JSON can make of one byte at most, and more."""


class Suspended(RuntimeError):  # noqa: N818  (named for what it means)
    """A coroutine waited for something: an adapter that needs an event loop was put into the Lambda router."""

    def __init__(self) -> None:
        super().__init__("an adapter of the Lambda router waits for an event loop, and there is none here")


class Behind(Protocol):
    """Who answers. The core's Gateway is one."""

    async def handle(self, request: Request, carry: Callable[[Response], Response]) -> Response:
        """The answer to a request, as ``carry`` let it pass."""
        ...

    async def refuse(self, request: Request, refusal: Refusal) -> Response:
        """The answer to what is no request."""
        ...


class LambdaDoor:
    """What Lambda calls. One object serves one event after the other."""

    def __init__(self, gateway: Behind) -> None:
        self._gateway = gateway

    def __call__(self, event: object, context: object = None) -> Answer:  # noqa: ARG002  (Lambda's signature)
        """The answer to ``event``, in its form.

        Raises `EventNotHttp` for an event that is no HTTP request, and `Suspended` for a router put together wrongly.
        """
        asked = reading.read(event)
        if asked.refusal is not None:
            return asked.answer(drive(self._gateway.refuse(asked.request, asked.refusal)))
        return asked.answer(drive(self._gateway.handle(asked.request, _carrier(asked))))


def drive(coroutine: Coroutine[Any, Any, T]) -> T:
    """The value of a coroutine that never suspends. Raises `Suspended` for one that does."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        value: T = done.value
        return value
    coroutine.close()
    raise Suspended


def _carrier(asked: Asked) -> Callable[[Response], Response]:
    """What makes an answer whole, and refuses it when the door cannot take it."""

    def carry(response: Response) -> Response:
        body = response.body
        if not isinstance(body, bytes):
            body = _whole(body, asked.max_bytes)
            response = response._replace(body=body)
        if len(body) * _GROWTH < asked.max_bytes:
            return response
        size = len(json.dumps(asked.answer(response)))
        if size > asked.max_bytes:
            raise _too_large(asked.max_bytes, f"{size} bytes")
        return response

    return carry


def _whole(body: BodyStream, max_bytes: int) -> bytes:
    """All of a stream. Raises `BadGateway` or `GatewayTimeout` where it breaks off or does not end in time."""
    pieces: list[bytes] = []
    size = 0
    try:
        while True:
            try:
                piece = drive(_next(body))
            except StopAsyncIteration:
                return b"".join(pieces)
            pieces.append(piece)
            size += len(piece)
            if size > max_bytes:
                raise _too_large(max_bytes, f"over {size} bytes")
    except UpstreamBroken as error:
        raise BadGateway(cause=str(error)) from error
    except UpstreamTimeout as error:
        raise GatewayTimeout(cause=str(error)) from error
    finally:
        drive(body.aclose())


async def _next(body: BodyStream) -> bytes:
    return await body.__anext__()


def _too_large(most: int, size: str) -> BadGateway:
    return BadGateway(
        f"The service's answer is too large for this door, which carries {most} bytes",
        cause=f"the answer is {size} as JSON, over the {most} that the door carries",
    )
