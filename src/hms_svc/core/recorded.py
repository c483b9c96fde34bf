"""Counting and hashing an answer while it passes, so that its record can be closed when its last byte has gone."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from hms_svc.core.entry import Entry
    from hms_svc.core.model import BodyStream, Response


def recorded(response: Response, entry: Entry, close: Callable[[Entry], None]) -> Response:
    """``response``, with ``close(entry)`` called once its body is known: now, or when its stream ends or breaks."""
    entry.status = response.status
    body = response.body
    if isinstance(body, bytes):
        entry.response_bytes = len(body)
        entry.response_sha256 = hashlib.sha256(body).hexdigest()
        close(entry)
        return response
    return response._replace(body=_Recorded(body, entry, close))


class _Recorded:
    """A body stream that closes the record at its end, however it ends."""

    def __init__(self, stream: BodyStream, entry: Entry, close: Callable[[Entry], None]) -> None:
        self._stream = stream
        self._entry = entry
        self._close = close
        self._hash = hashlib.sha256()
        self._open = True

    def __aiter__(self) -> _Recorded:
        return self

    async def __anext__(self) -> bytes:
        try:
            piece = await self._stream.__anext__()
        except StopAsyncIteration:
            self._finish("")
            raise
        except BaseException as error:
            self._finish(f"the answer broke off: {type(error).__name__}")
            raise
        self._entry.response_bytes += len(piece)
        self._hash.update(piece)
        return piece

    async def aclose(self) -> None:
        """Give up the rest: the caller has gone."""
        self._finish("the caller left before the answer's end")
        await self._stream.aclose()

    def _finish(self, broke: str) -> None:
        if not self._open:
            return
        self._open = False
        entry = self._entry
        if broke:
            entry.incomplete = True
            entry.cause = broke
        entry.response_sha256 = self._hash.hexdigest()
        self._close(entry)
