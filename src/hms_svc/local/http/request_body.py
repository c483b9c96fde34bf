"""The body of a request while its connection receives it: read when the journey asks, and not a byte further ahead."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hms_svc.core.errors import BodyTooLarge, Malformed, RequestTimeout
from hms_svc.local.http.framing import BodyReader, Chunked, Counted

if TYPE_CHECKING:
    from hms_svc.core.model import Body
    from hms_svc.local.http.incoming import Incoming


class RequestBody:
    """A body that is being received."""

    __slots__ = ("_asked", "_incoming", "_reader", "awaits_invitation", "broken")

    def __init__(self, incoming: Incoming, length: int | None, *, awaits_invitation: bool) -> None:
        self._incoming = incoming
        self._reader: BodyReader = Chunked() if length is None else Counted(length)
        self._asked = False
        self.awaits_invitation = awaits_invitation
        """Whether the client holds the body back until it is told to go on."""
        self.broken = False
        """Whether its end cannot be found any more: it is late, ended early, or its framing makes no sense."""

    @property
    def done(self) -> bool:
        """Whether all of it has been read."""
        return self._reader.done

    def can_be_skipped(self, most: int) -> bool:
        """Whether what is still to come is worth reading over, so that the connection stays: ``most`` bytes are."""
        left = self._reader.left
        return not self.broken and not self.awaits_invitation and (left is None or left <= most)

    async def read(self, limit: int) -> bytes:
        """The whole body. Raises `BodyTooLarge`, `RequestTimeout`, or `Malformed` for one that is not framed well."""
        if self._asked:
            raise RuntimeError("a request's body can be read once")
        self._asked = True
        left = self._reader.left
        if left is not None and left > limit:
            raise BodyTooLarge(limit)
        if self.awaits_invitation:
            self.awaits_invitation = False
            if not self._incoming.buffer:
                self._incoming.invite()
        pieces: list[bytes] = []
        size = 0
        while True:
            piece = self.take()
            if piece:
                pieces.append(piece)
                size += len(piece)
                if size > limit:
                    raise BodyTooLarge(limit)
            if self._reader.done:
                return pieces[0] if len(pieces) == 1 else b"".join(pieces)
            await self._more()

    async def _more(self) -> None:
        """Wait for more. What has ended or is late makes the connection unfit for another request."""
        try:
            if await self._incoming.more():
                return
        except RequestTimeout:
            self.broken = True
            raise
        self.broken = True
        raise Malformed("The request ended before its body did")

    def take(self) -> bytes:
        """What has come of it, removed from the input. Raises `Malformed`."""
        try:
            return self._reader.take(self._incoming.buffer)
        except Malformed:
            self.broken = True
            raise


class _NoBody:
    """The body of a request that has none."""

    async def read(self, limit: int) -> bytes:  # noqa: ARG002  (the port's signature)
        """Nothing."""
        return b""


NO_BODY: Body = _NoBody()
