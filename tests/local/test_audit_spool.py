from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from fakes_audit import chain_of
from hypothesis import given, settings
from hypothesis import strategies as st

from hms_svc.core.ports import StoreUnavailable
from hms_svc.local.audit_spool import Spool

if TYPE_CHECKING:
    from pathlib import Path


def a_spool(folder: Path, *, max_bytes: int = 1_000_000, segment_bytes: int = 1_000_000) -> Spool:
    return Spool(folder, max_bytes=max_bytes, segment_bytes=segment_bytes)


def drain(spool: Spool, *, max_lines: int = 500, max_bytes: int = 1_000_000) -> list[bytes]:
    """The batches that the spool hands out until it is empty."""
    batches = []
    while batch := spool.batch(max_lines=max_lines, max_bytes=max_bytes):
        assert batch.data.count(b"\n") == batch.lines
        batches.append(batch.data)
        spool.advance(batch)
    return batches


def put(spool: Spool, lines: list[bytes]) -> list[bytes]:
    for line in lines:
        spool.append(line)
    return lines


def test_lines_come_out_as_they_went_in(tmp_path: Path) -> None:
    spool = a_spool(tmp_path)
    lines = put(spool, chain_of(5)[0])
    assert spool.pending == 5
    assert drain(spool, max_lines=2) == [b"".join(lines[:2]), b"".join(lines[2:4]), lines[4]]
    assert spool.pending == 0
    spool.close()


def test_a_batch_holds_only_so_many_bytes_and_at_least_one_line(tmp_path: Path) -> None:
    spool = a_spool(tmp_path)
    lines = put(spool, [b"1234567\n", b"2345678\n", b"3456789\n", b"x" * 50 + b"\n", b"4\n"])
    assert drain(spool, max_bytes=20) == [lines[0] + lines[1], lines[2], lines[3], lines[4]]
    spool.close()


def test_a_batch_that_was_not_delivered_is_handed_out_again(tmp_path: Path) -> None:
    spool = a_spool(tmp_path)
    put(spool, chain_of(3)[0])
    first = spool.batch(max_lines=2, max_bytes=10_000)
    assert spool.batch(max_lines=2, max_bytes=10_000) == first
    spool.close()


def test_what_was_not_delivered_waits_for_the_next_start(tmp_path: Path) -> None:
    spool = a_spool(tmp_path)
    lines, head = chain_of(5)
    put(spool, lines)
    batch = spool.batch(max_lines=2, max_bytes=10_000)
    assert batch is not None
    spool.advance(batch)
    spool.close()
    spool = a_spool(tmp_path)
    assert (spool.pending, spool.head()) == (3, head)
    assert drain(spool) == [b"".join(lines[2:])]
    spool.close()


def test_segments_that_were_delivered_are_deleted(tmp_path: Path) -> None:
    spool = a_spool(tmp_path, segment_bytes=400)
    lines = put(spool, chain_of(9)[0])
    assert len(list(tmp_path.glob("*.ndjson"))) == 9
    assert b"".join(drain(spool)) == b"".join(lines)
    assert [path.name for path in tmp_path.glob("*.ndjson")] == ["00000009.ndjson"]
    spool.close()


def test_the_head_outlives_the_segments(tmp_path: Path) -> None:
    spool = a_spool(tmp_path)
    lines, head = chain_of(2)
    put(spool, lines)
    drain(spool)
    spool.close()
    for segment in tmp_path.glob("*.ndjson"):
        segment.unlink()
    spool = a_spool(tmp_path)
    assert (spool.head(), spool.pending) == (head, 0)
    put(spool, chain_of(1, head)[0])
    assert b"".join(drain(spool)) == chain_of(1, head)[0][0]
    spool.close()


def test_a_new_spool_has_no_head(tmp_path: Path) -> None:
    spool = a_spool(tmp_path / "deep" / "below")
    assert (spool.head(), spool.pending) == (None, 0)
    spool.close()


def test_more_than_the_bound_is_refused_until_something_was_delivered(tmp_path: Path) -> None:
    spool = a_spool(tmp_path, max_bytes=20, segment_bytes=10)
    put(spool, [b"1234567\n", b"2345678\n"])
    with pytest.raises(StoreUnavailable, match="is full: 2 lines wait for delivery"):
        spool.append(b"3456789\n")
    drain(spool, max_lines=1)
    put(spool, [b"3456789\n"])
    assert drain(spool) == [b"3456789\n"]
    spool.close()


@pytest.mark.parametrize(
    "cursor", [b"", b"{", b"[]", b"null", b'{"segment":1}', b'{"segment":1,"offset":"x","head":0}']
)
def test_without_a_good_cursor_everything_is_delivered_again(tmp_path: Path, cursor: bytes) -> None:
    spool = a_spool(tmp_path)
    lines = put(spool, chain_of(2)[0])
    drain(spool)
    spool.close()
    (tmp_path / "cursor.json").write_bytes(cursor)
    spool = a_spool(tmp_path)
    assert drain(spool) == [b"".join(lines)]
    spool.close()


def test_a_cursor_beyond_the_end_is_at_the_end(tmp_path: Path) -> None:
    spool = a_spool(tmp_path)
    put(spool, chain_of(2)[0])
    drain(spool)
    spool.close()
    (tmp_path / "00000001.ndjson").write_bytes(b"")
    spool = a_spool(tmp_path)
    assert (spool.pending, drain(put_back(spool))) == (0, [b"next\n"])
    spool.close()


def put_back(spool: Spool) -> Spool:
    spool.append(b"next\n")
    return spool


def test_a_torn_last_line_is_put_aside(tmp_path: Path) -> None:
    spool = a_spool(tmp_path)
    lines = put(spool, chain_of(2)[0])
    spool.close()
    with (tmp_path / "00000001.ndjson").open("ab") as file:
        file.write(b'{"torn')
    spool = a_spool(tmp_path)
    assert (spool.torn, spool.pending) == (6, 2)
    assert drain(spool) == [b"".join(lines)]
    assert (tmp_path / "00000001.ndjson.torn").read_bytes() == b'{"torn\n'
    spool.close()


def test_two_gateways_cannot_use_one_spool(tmp_path: Path) -> None:
    spool = a_spool(tmp_path)
    with pytest.raises(StoreUnavailable, match="is in use by another gateway"):
        a_spool(tmp_path)
    spool.close()
    a_spool(tmp_path).close()


def test_a_folder_that_cannot_be_had_is_told_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailable, match=r"audit spool .*/file cannot be opened: File exists"):
        a_spool(tmp_path / "file")
    (tmp_path / "00000001.ndjson").mkdir()
    with pytest.raises(StoreUnavailable, match="cannot be opened: Is a directory"):
        a_spool(tmp_path)


def test_a_delivery_that_cannot_be_noted_is_told_and_not_made_again_before_a_restart(tmp_path: Path) -> None:
    spool = a_spool(tmp_path)
    put(spool, [b"1\n", b"2\n"])
    batch = spool.batch(max_lines=1, max_bytes=10)
    assert batch is not None
    (tmp_path / "cursor.new").mkdir()
    with pytest.raises(StoreUnavailable, match="cannot be written: Is a directory"):
        spool.advance(batch)
    following = spool.batch(max_lines=1, max_bytes=10)
    assert following is not None
    assert (following.data, spool.pending) == (b"2\n", 1)
    spool.close()


def test_a_full_disk_is_told(tmp_path: Path) -> None:
    spool = a_spool(tmp_path, segment_bytes=1)
    put(spool, [b"1\n"])
    (tmp_path / "00000002.ndjson").mkdir()
    with pytest.raises(StoreUnavailable, match="cannot be written: Is a directory"):
        spool.append(b"2\n")
    with pytest.raises(StoreUnavailable, match="cannot be read: Is a directory"):
        spool.head()
    assert spool.pending == 1
    spool.close()


def test_a_closed_spool_refuses_and_closes_once(tmp_path: Path) -> None:
    spool = a_spool(tmp_path)
    spool.close()
    spool.close()
    with pytest.raises(StoreUnavailable, match="is closed"):
        spool.append(b"1\n")


def test_a_cursor_that_was_noted_before_a_crash_has_its_old_segments_cleared_away(tmp_path: Path) -> None:
    spool = a_spool(tmp_path, segment_bytes=1)
    put(spool, [b"1\n", b"2\n"])
    assert drain(spool) == [b"1\n", b"2\n"]
    spool.close()
    (tmp_path / "00000001.ndjson").write_bytes(b"1\n")
    spool = a_spool(tmp_path, segment_bytes=1)
    put(spool, [b"3\n"])
    assert drain(spool) == [b"3\n"]
    assert not (tmp_path / "00000001.ndjson").exists()
    spool.close()


def test_a_segment_that_is_gone_is_told(tmp_path: Path) -> None:
    spool = a_spool(tmp_path)
    put(spool, [b"1\n"])
    (tmp_path / "00000001.ndjson").unlink()
    with pytest.raises(StoreUnavailable, match="cannot be read: No such file"):
        spool.batch(max_lines=1, max_bytes=10)
    spool.close()


STEPS = st.lists(st.sampled_from(["append", "append", "append", "deliver", "lose", "restart"]), max_size=40)


@settings(max_examples=40, deadline=None)
@given(steps=STEPS, segment_bytes=st.integers(1, 40), max_lines=st.integers(1, 4))
def test_whatever_happens_every_line_arrives_in_order(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str], segment_bytes: int, max_lines: int
) -> None:
    folder = tmp_path_factory.mktemp("spool")
    spool, appended, arrived = a_spool(folder, segment_bytes=segment_bytes), 0, b""
    for step in steps:
        if step == "append":
            appended += 1
            spool.append(b"%d\n" % appended)
        elif step == "restart":
            spool.close()
            spool = a_spool(folder, segment_bytes=segment_bytes)
        elif (batch := spool.batch(max_lines=max_lines, max_bytes=20)) and step == "deliver":
            arrived += batch.data
            spool.advance(batch)
        assert spool.pending == appended - arrived.count(b"\n")
    assert arrived + b"".join(drain(spool)) == b"".join(b"%d\n" % number for number in range(1, appended + 1))
    spool.close()
