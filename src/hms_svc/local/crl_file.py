"""Revocation lists in a file: the `Revocations` of one machine.

The file is read again when it, or the file of the authorities that sign it, has changed. A missing file, or one that
cannot be used, lets nobody in: no list would else be the same as an empty one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hms_svc.local.watched_files import WatchedFiles

if TYPE_CHECKING:
    from pathlib import Path

    from hms_svc.core.credentials.crl import RevocationLists
    from hms_svc.core.model import ClientCertificate
    from hms_svc.core.ports import Clock


class CrlFile:
    """The lists in one file, verified with the authorities in another."""

    def __init__(self, path: Path, authorities: Path, clock: Clock) -> None:
        self._path, self._authorities = path, authorities
        self._clock = clock
        self._lists = WatchedFiles("revocation lists", (path, authorities), self._read, clock)

    async def is_revoked(self, certificate: ClientCertificate) -> bool:
        """What the lists say. Raises `StoreUnavailable` when they say nothing, or cannot be used."""
        return self._lists.content().is_revoked(certificate, self._clock.wall_ns() // 1_000_000_000)

    def _read(self) -> RevocationLists:
        from hms_svc.core.credentials.crl import MAX_BYTES, read

        with self._path.open("rb") as file:
            return read(file.read(MAX_BYTES + 1), self._authorities.read_bytes())
