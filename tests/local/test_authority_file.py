"""The authorities of client certificates in a file, while it changes under the gateway."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pytest
from authority import Authority, certificate_pem
from worlds import OwnedClock, drive

from hms_svc.core.credentials.x509 import from_pem
from hms_svc.core.ports import StoreUnavailable
from hms_svc.local.authority_file import AuthorityFile

if TYPE_CHECKING:
    from pathlib import Path

NOW_NS = int(dt.datetime.now(dt.UTC).timestamp() * 1e9)


def test_the_authorities_are_those_of_the_file_as_it_is_now(tmp_path: Path) -> None:
    agency, other, clock = Authority(tmp_path, "Agency CA"), Authority(tmp_path, "Other"), OwnedClock(NOW_NS)
    certificate = from_pem(certificate_pem(other.issue("batch")))
    authorities = AuthorityFile(agency.file, clock)
    assert not drive(authorities.have_signed(certificate))
    agency.file.write_bytes(agency.pem + other.pem)
    clock.advance(1)
    assert drive(authorities.have_signed(certificate))


@pytest.mark.parametrize("content", [None, b"", b"no certificates"])
def test_without_a_file_that_can_be_read_it_cannot_be_told(tmp_path: Path, content: bytes | None) -> None:
    agency, clock = Authority(tmp_path, "Agency CA"), OwnedClock(NOW_NS)
    certificate = from_pem(certificate_pem(agency.issue("batch")))
    authorities = AuthorityFile(agency.file, clock)
    assert drive(authorities.have_signed(certificate))
    if content is None:
        agency.file.unlink()
    else:
        agency.file.write_bytes(content)
    clock.advance(1)
    with pytest.raises(StoreUnavailable, match=r"the authorities .*cannot be read"):
        drive(authorities.have_signed(certificate))
