"""The authorities of client certificates in a file: the `Authorities` of one machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hms_svc.local.watched_files import WatchedFiles

if TYPE_CHECKING:
    from pathlib import Path

    from hms_svc.core.credentials.authorities import Bundle
    from hms_svc.core.model import ClientCertificate
    from hms_svc.core.ports import Clock


class AuthorityFile:
    """The file by which the door's TLS verifies, read again when it has changed."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._bundle = WatchedFiles("authorities", (path,), self._read, clock)

    async def have_signed(self, certificate: ClientCertificate) -> bool:
        """As the port says."""
        return bool(self._bundle.content().signers(certificate))

    def _read(self) -> Bundle:
        from hms_svc.core.credentials.authorities import read_bundle

        return read_bundle(self._path.read_bytes())
