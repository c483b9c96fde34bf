from __future__ import annotations

import resource
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from fakes_audit import NEW, chain_of, sequences, small_record
from hypothesis import given, settings
from hypothesis import strategies as st

from hms_svc.core.chain import verify
from hms_svc.core.ports import StoreUnavailable
from hms_svc.local.audit_file import AuditFile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hms_svc.core.chain import Head


def lines_of(folder: Path) -> list[bytes]:
    """Every line of the record, oldest file first. Between a rotation and the next line there is no newest file."""
    files = [*sorted(folder.glob("audit.0*.jsonl")), *folder.glob("audit.jsonl")]
    return [line for path in files for line in path.read_bytes().splitlines(keepends=True)]


def fill(sink: AuditFile, count: int, head: Head = NEW, *, size: int = 0) -> Head:
    lines, head = chain_of(count, head, size=size)
    for line in lines:
        sink.append(line)
    return head


def test_a_line_is_in_the_file_when_append_returns(tmp_path: Path) -> None:
    sink = AuditFile(tmp_path / "audit.jsonl")
    fill(sink, 1)
    assert lines_of(tmp_path) == chain_of(1)[0]
    sink.close()


def test_a_new_file_has_no_head(tmp_path: Path) -> None:
    sink = AuditFile(tmp_path / "deep" / "below" / "audit.jsonl")
    assert sink.head() is None
    sink.close()


def test_the_record_is_for_nobody_else_to_read(tmp_path: Path) -> None:
    AuditFile(tmp_path / "audit.jsonl").close()
    assert (tmp_path / "audit.jsonl").stat().st_mode & 0o077 == 0


def test_the_chain_goes_on_across_rotation_and_restart(tmp_path: Path) -> None:
    head: Head | None = NEW
    for _ in range(3):
        sink = AuditFile(tmp_path / "audit.jsonl", max_bytes=1_000)
        fill(sink, 4, sink.head() or NEW)
        head = sink.head()
        sink.close()
    assert len(list(tmp_path.glob("audit.0*.jsonl"))) >= 3
    assert all(path.stat().st_size <= 1_000 for path in tmp_path.glob("audit*.jsonl"))
    assert verify(lines_of(tmp_path), after=NEW, until=head).ok
    assert sequences(lines_of(tmp_path)) == list(range(1, 13))


def test_full_files_have_names_that_sort(tmp_path: Path) -> None:
    sink = AuditFile(tmp_path / "audit.jsonl", max_bytes=1)
    fill(sink, 3)
    sink.close()
    assert sorted(path.name for path in tmp_path.glob("*.jsonl")) == [
        "audit.00000001.jsonl",
        "audit.00000002.jsonl",
        "audit.jsonl",
    ]


def test_only_so_many_full_files_are_kept_when_told(tmp_path: Path) -> None:
    sink = AuditFile(tmp_path / "audit.jsonl", max_bytes=1, keep=2)
    fill(sink, 6)
    sink.close()
    assert sorted(path.name for path in tmp_path.glob("audit.0*")) == ["audit.00000004.jsonl", "audit.00000005.jsonl"]
    assert verify(lines_of(tmp_path)).first == 4


def test_the_head_is_found_in_the_newest_file_that_has_a_record(tmp_path: Path) -> None:
    sink = AuditFile(tmp_path / "audit.jsonl", max_bytes=1)
    head = fill(sink, 2)
    sink.close()
    (tmp_path / "audit.jsonl").rename(tmp_path / "audit.00000002.jsonl")
    sink = AuditFile(tmp_path / "audit.jsonl")
    assert sink.head() == head
    sink.close()


def test_a_torn_last_line_is_put_aside_and_the_chain_goes_on_before_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sink = AuditFile(tmp_path / "audit.jsonl")
    head = fill(sink, 2)
    sink.close()
    with (tmp_path / "audit.jsonl").open("ab") as file:
        file.write(b'{"torn":')
    sink = AuditFile(tmp_path / "audit.jsonl")
    assert (sink.head(), sink.torn) == (head, 8)
    fill(sink, 1, head)
    sink.close()
    assert (tmp_path / "audit.jsonl.torn").read_bytes() == b'{"torn":\n'
    assert verify(lines_of(tmp_path)).good == 3
    assert "incomplete line of 8 bytes" in caplog.text


def test_a_file_that_is_nothing_but_a_torn_line_is_repaired(tmp_path: Path) -> None:
    (tmp_path / "audit.jsonl").write_bytes(b"x" * 200_000)
    sink = AuditFile(tmp_path / "audit.jsonl")
    assert (sink.torn, sink.head(), lines_of(tmp_path)) == (200_000, None, [])
    sink.close()


def test_a_last_line_that_was_altered_is_left_for_verify_and_the_chain_goes_on_before_it(tmp_path: Path) -> None:
    lines, _ = chain_of(3)
    (tmp_path / "audit.jsonl").write_bytes(b"".join(lines[:2]) + b"\0\0\0\n")
    sink = AuditFile(tmp_path / "audit.jsonl")
    assert sink.head() == chain_of(2)[1]
    sink.append(lines[2])
    sink.close()
    broken = verify(lines_of(tmp_path)).broken
    assert broken is not None
    assert (broken.kind, broken.line) == ("inserted", 3)


def test_a_head_far_from_the_end_is_found(tmp_path: Path) -> None:
    lines, head = chain_of(3, size=100_000)
    (tmp_path / "audit.jsonl").write_bytes(b"".join(lines) + b"no record\n" * 20_000)
    sink = AuditFile(tmp_path / "audit.jsonl")
    assert sink.head() == head
    sink.close()


def test_two_gateways_cannot_write_one_file(tmp_path: Path) -> None:
    first = AuditFile(tmp_path / "audit.jsonl")
    with pytest.raises(StoreUnavailable, match=r"audit\.jsonl is in use by another gateway$"):
        AuditFile(tmp_path / "audit.jsonl")
    first.close()
    AuditFile(tmp_path / "audit.jsonl").close()


def test_a_record_that_cannot_be_read_is_told_in_a_sentence(tmp_path: Path) -> None:
    sink = AuditFile(tmp_path / "audit.jsonl")
    (tmp_path / "audit.00000001.jsonl").mkdir()
    with pytest.raises(StoreUnavailable, match="cannot be read: Is a directory"):
        sink.head()
    sink.close()


def test_a_file_that_cannot_be_had_is_told_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailable, match=r"audit file .*/file/audit.jsonl cannot be opened: "):
        AuditFile(tmp_path / "file" / "audit.jsonl")
    (tmp_path / "audit.jsonl").mkdir()
    with pytest.raises(StoreUnavailable, match="cannot be opened: Is a directory"):
        AuditFile(tmp_path / "audit.jsonl")


@pytest.mark.parametrize("wrong", [{"max_bytes": 0}, {"keep": -1}])
def test_sizes_that_make_no_sense_are_refused(tmp_path: Path, wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="max_bytes is 1 or more"):
        AuditFile(tmp_path / "audit.jsonl", **wrong)


@contextmanager
def no_file_larger_than(size: int) -> Iterator[None]:
    """A full disk, as a process sees it. Held only for the one call: the test's own output may go to a file too."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_full_disk_refuses_the_record_and_leaves_no_part_of_it(tmp_path: Path) -> None:
    sink = AuditFile(tmp_path / "audit.jsonl")
    head = fill(sink, 2)
    too_much, _ = small_record(3, head, size=4_000)
    with (
        no_file_larger_than(4_000),
        pytest.raises(StoreUnavailable, match=r"audit file .*audit.jsonl cannot be written: File too large"),
    ):
        sink.append(too_much)
    head = fill(sink, 1, head)
    sink.close()
    assert verify(lines_of(tmp_path), until=head).good == 3


def test_a_full_file_that_cannot_be_renamed_is_written_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    sink = AuditFile(tmp_path / "audit.jsonl", max_bytes=1_000)
    head = fill(sink, 2)
    (tmp_path / "audit.jsonl").unlink()
    head = fill(sink, 2, head)
    sink.close()
    assert "is full and cannot be renamed: No such file" in caplog.text


def test_closing_twice_is_closing_once_and_nothing_is_taken_afterwards(tmp_path: Path) -> None:
    sink = AuditFile(tmp_path / "audit.jsonl")
    sink.close()
    sink.close()
    with pytest.raises(StoreUnavailable, match="is closed"):
        fill(sink, 1)


STEPS = st.lists(st.sampled_from(["append", "append", "append", "restart", "tear"]), max_size=30)


@settings(max_examples=40, deadline=None)
@given(steps=STEPS, max_bytes=st.integers(1, 2_000))
def test_any_order_of_records_rotations_restarts_and_torn_ends_verifies(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str], max_bytes: int
) -> None:
    folder = tmp_path_factory.mktemp("audit")
    sink, head, count = AuditFile(folder / "audit.jsonl", max_bytes=max_bytes), NEW, 0
    for step in steps:
        if step == "append":
            head = fill(sink, 1, head)
            count += 1
            continue
        sink.close()
        if step == "tear":
            with (folder / "audit.jsonl").open("ab") as file:
                file.write(b'{"activity_id":2,"attes')
        sink = AuditFile(folder / "audit.jsonl", max_bytes=max_bytes)
        head = sink.head() or NEW
    sink.close()
    result = verify(lines_of(folder), after=NEW)
    assert (result.ok, result.good, result.head or NEW) == (True, count, head)


WRITER = """
import sys
from pathlib import Path
from fakes_audit import NEW, small_record
from hms_svc.local.audit_file import AuditFile

sink = AuditFile(Path(sys.argv[1]), max_bytes=20_000)
head, number = sink.head() or NEW, 0
while True:
    number += 1
    line, head = small_record(number, head)
    sink.append(line)
    print(head.sequence, flush=True)
"""


def test_a_gateway_that_is_killed_loses_nothing_that_was_appended(tmp_path: Path) -> None:
    acknowledged = 0
    for _ in range(3):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path / "audit.jsonl")],
            stdout=subprocess.PIPE,
            env={"PYTHONPATH": ":".join(filter(None, sys.path))},
        )
        assert writer.stdout is not None
        for _ in range(200):
            acknowledged = int(writer.stdout.readline())
        writer.kill()
        rest = writer.stdout.read().split(b"\n")
        acknowledged = max([acknowledged, *(int(text) for text in rest[:-1] if text)])
        writer.stdout.close()
        writer.wait()
    result = verify(lines_of(tmp_path), after=NEW)
    assert result.ok
    assert result.good >= acknowledged >= 600
