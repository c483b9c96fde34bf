"""Revocation lists in a file, while it changes under the gateway."""

from __future__ import annotations

import datetime as dt
import os
from typing import TYPE_CHECKING

import pytest
from authority import Authority, certificate_pem
from worlds import OwnedClock, drive

from hms_svc.core.credentials.x509 import from_pem
from hms_svc.core.ports import StoreUnavailable
from hms_svc.local.crl_file import CrlFile

if TYPE_CHECKING:
    from pathlib import Path


class Desk:
    """A file of lists, an authority, one certificate, and a clock that begins now."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder)
        self.certificate = from_pem(certificate_pem(self.authority.issue("batch", serial=7)))
        self.file = folder / "lists.pem"
        self.clock = OwnedClock(int(dt.datetime.now(dt.UTC).timestamp() * 1e9))
        self.lists = CrlFile(self.file, self.authority.file, self.clock)

    def put(self, data: bytes) -> None:
        """A new file in the old one's place."""
        beside = self.file.with_suffix(".new")
        beside.write_bytes(data)
        beside.replace(self.file)
        self.clock.advance(1)

    def is_revoked(self) -> bool:
        return bool(drive(self.lists.is_revoked(self.certificate)))

    def fault(self) -> str:
        with pytest.raises(StoreUnavailable) as error:
            self.is_revoked()
        return str(error.value)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_a_change_is_seen_within_a_second(desk: Desk) -> None:
    desk.put(desk.authority.crl())
    assert not desk.is_revoked()
    desk.put(desk.authority.crl(7))
    assert desk.is_revoked()
    desk.put(desk.authority.crl())
    assert not desk.is_revoked()


def test_the_file_is_looked_at_once_a_second_at_most(desk: Desk) -> None:
    desk.put(desk.authority.crl())
    assert not desk.is_revoked()
    desk.file.unlink()
    desk.clock.advance(0.9)
    assert not desk.is_revoked()
    desk.clock.advance(0.2)
    assert desk.fault() == f"the revocation lists {desk.file} cannot be read: No such file or directory"


def test_a_file_that_cannot_be_used_lets_nobody_in_until_it_is_exchanged(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "evil").mkdir()
    desk.put(desk.authority.crl())
    assert not desk.is_revoked()
    desk.put(Authority(tmp_path / "evil").crl())
    told = "the revocation list of CN=Test CA,O=Agency is not signed by an authority of the bundle"
    assert desk.fault() == f"{desk.file}: {told}"
    assert desk.fault() == f"{desk.file}: {told}"
    desk.put(b"not a list")
    assert desk.fault().startswith(f"{desk.file}: a revocation list cannot be read")
    desk.put(desk.authority.crl(7))
    assert desk.is_revoked()


def test_a_list_that_runs_out_while_the_gateway_runs_lets_nobody_in(desk: Desk) -> None:
    desk.put(desk.authority.crl())
    assert not desk.is_revoked()
    desk.clock.advance(2 * 86_400)
    assert "out of date" in desk.fault()


def test_other_authorities_are_seen_too(desk: Desk, tmp_path: Path) -> None:
    other = Authority(tmp_path, "Other")
    desk.put(desk.authority.crl() + other.crl())
    assert "CN=Other,O=Agency is not signed" in desk.fault()
    desk.authority.file.write_bytes(desk.authority.pem + other.pem)
    desk.clock.advance(1)
    assert not desk.is_revoked()


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_may_not_be_read_lets_nobody_in(desk: Desk) -> None:
    desk.put(desk.authority.crl())
    desk.file.chmod(0)
    assert desk.fault() == f"the revocation lists {desk.file} cannot be read: Permission denied"


def test_a_folder_in_its_place_lets_nobody_in(desk: Desk) -> None:
    desk.file.mkdir()
    assert desk.fault() == f"the revocation lists {desk.file} cannot be read: Is a directory"
