from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import pytest
from worlds import drive

from hms_svc.core.ports import StoreUnavailable
from hms_svc.local.secrets import MAX_BYTES, Secrets
from hms_svc.local.secrets_on_a_thread import OnAThread

if TYPE_CHECKING:
    from pathlib import Path


class Named:
    """A source that tells what it is asked."""

    async def read(self, reference: str, *, again: bool = False) -> str:
        return f"{reference} {again}"

    def get(self, name: str, *, again: bool = False) -> str:
        return f"{name} {again}"


def read(reference: str, *, again: bool = False) -> str:
    secret: str = drive(Secrets(Named()).read(reference, again=again))
    return secret


def fault_of(path: Path) -> str:
    with pytest.raises(StoreUnavailable) as failed:
        read(f"file:{path}")
    assert "hunter2" not in str(failed.value)
    return str(failed.value)


@pytest.mark.parametrize("content", [b"hunter2", b"hunter2\n", b"hunter2\r\n"])
def test_a_file_is_read_without_the_line_break_at_its_end(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "secret").write_bytes(content)
    assert read(f"file:{tmp_path / 'secret'}") == "hunter2"


def test_a_file_that_was_changed_counts_at_once(tmp_path: Path) -> None:
    for content in ("one", "two"):
        (tmp_path / "secret").write_text(content)
        assert read(f"file:{tmp_path / 'secret'}") == content


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "is empty, or not one line of text"),
        (b"\n", "is empty, or not one line of text"),
        (b"hunter2\nhunter2\n", "is empty, or not one line of text"),
        (b"hunter2\0", "is empty, or not one line of text"),
        (b"hunter2\xff", "is not UTF-8 text"),
        (b"h" * (MAX_BYTES + 1), f"is larger than {MAX_BYTES} bytes"),
    ],
    ids=lambda value: value if isinstance(value, str) else value[:8].decode("latin-1"),
)
def test_a_file_that_holds_no_secret_is_named_and_not_shown(tmp_path: Path, content: bytes, why: str) -> None:
    (tmp_path / "secret").write_bytes(content)
    fault = fault_of(tmp_path / "secret")
    assert why in fault
    assert str(tmp_path / "secret") in fault


def test_a_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    assert fault_of(tmp_path / "none").endswith("cannot be read: No such file or directory")
    assert fault_of(tmp_path).endswith("cannot be read: Is a directory")
    (tmp_path / "link").symlink_to(tmp_path / "link")
    assert os.strerror(40) in fault_of(tmp_path / "link")


def test_a_parameter_is_read_by_whoever_reads_parameters() -> None:
    assert read("ssm:/hms-svc/secrets/legacy") == "/hms-svc/secrets/legacy False"
    assert read("ssm:/hms-svc/secrets/legacy", again=True) == "/hms-svc/secrets/legacy True"


def test_one_that_blocks_is_read_beside_the_loop() -> None:
    assert asyncio.run(OnAThread(Named()).read("/a", again=True)) == "/a True"
