"""Revocation lists in a file: the `Revocations` of one machine.

The file is read again when it, or the file of the authorities that sign it, has changed. A missing file, or one that
cannot be used, lets nobody in: no list would else be the same as an empty one.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from hms_svc.core.ports import StoreUnavailable

if TYPE_CHECKING:
    from pathlib import Path

    from hms_svc.core.credentials.crl import RevocationLists
    from hms_svc.core.model import ClientCertificate
    from hms_svc.core.ports import Clock

LOOK_EVERY_NS = 1_000_000_000
"""How long a change may go unseen."""


class CrlFile:
    """The lists in one file, verified with the authorities in another."""

    def __init__(self, path: Path, authorities: Path, clock: Clock) -> None:
        self._paths = (path, authorities)
        self._clock = clock
        self._lists: RevocationLists | None = None
        self._fault = ""
        self._signature: object = None
        self._looked_ns: int | None = None

    async def is_revoked(self, certificate: ClientCertificate) -> bool:
        """What the lists say. Raises `StoreUnavailable` when they say nothing, or cannot be used."""
        now_ns = self._clock.monotonic_ns()
        if self._looked_ns is None or now_ns - self._looked_ns >= LOOK_EVERY_NS:
            self._looked_ns = now_ns
            self._look()
        if self._lists is None:
            raise StoreUnavailable(self._fault)
        return self._lists.is_revoked(certificate, self._clock.wall_ns() // 1_000_000_000)

    def _look(self) -> None:
        """Read the files if they are others than before. What is wrong with them is kept, to be said at every call."""
        try:
            signature = tuple((stat.st_mtime_ns, stat.st_size, stat.st_ino) for stat in map(os.stat, self._paths))
            if signature == self._signature:
                return
            self._lists, self._signature = None, signature
            self._lists = self._read()
        except StoreUnavailable as error:
            self._fault = f"{self._paths[0]}: {error}"
        except OSError as error:
            self._lists, self._signature = None, None
            self._fault = f"the revocation lists {error.filename or self._paths[0]} cannot be read: {error.strerror}"

    def _read(self) -> RevocationLists:
        from hms_svc.core.credentials.crl import MAX_BYTES, read

        data, bundle = self._paths
        with data.open("rb") as file:
            return read(file.read(MAX_BYTES + 1), bundle.read_bytes())
