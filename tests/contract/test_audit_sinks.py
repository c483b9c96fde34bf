"""What every `AuditSink` promises, over all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, cast

import pytest
from fakes_audit import NEW, MemorySink, a_log, an_entry, chain_of

from hms_svc.aws.firehose_audit import FirehoseAudit
from hms_svc.aws.spill import Spill
from hms_svc.core.chain import Head, verify
from hms_svc.core.ports import StoreUnavailable
from hms_svc.local.audit_file import AuditFile
from hms_svc.local.audit_ops import OpsSink

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hms_svc.core.ports import AuditSink


class SinkOnDisk(Protocol):
    def append(self, line: bytes) -> None: ...

    def settle(self) -> None: ...

    def close(self) -> None: ...

    def head(self) -> Head | None: ...


def open_file(folder: Path) -> SinkOnDisk:
    return AuditFile(folder / "audit.jsonl", max_bytes=2_000)


def open_ops(folder: Path) -> SinkOnDisk:
    return OpsSink("http://127.0.0.1:9/", folder)


class TakesAll:
    """A Firehose client whose stream takes everything."""

    def put_record_batch(self, **_: Any) -> dict[str, Any]:
        return {"FailedPutCount": 0, "RequestResponses": []}


def open_firehose(_: Path) -> AuditSink:
    spill = Spill(emit=pytest.fail, count=lambda _name, _n: None)
    return FirehoseAudit("audit", lambda: cast("Any", TakesAll()), spill=spill, pause=lambda _: None)


def lines_on_disk(folder: Path) -> list[bytes]:
    files = sorted(folder.glob("audit.0*.jsonl")) + sorted(folder.glob("audit.jsonl")) + sorted(folder.glob("*.ndjson"))
    return [line for path in files for line in path.read_bytes().splitlines(keepends=True)]


ON_DISK = pytest.mark.parametrize("open_sink", [open_file, open_ops])


@pytest.fixture(params=["memory", "file", "ops", "firehose"])
def sink(request: pytest.FixtureRequest, tmp_path: Path) -> AuditSink:
    makers: dict[str, Callable[[Path], AuditSink]] = {
        "memory": lambda _: MemorySink(),
        "file": open_file,
        "ops": open_ops,
        "firehose": open_firehose,
    }
    return makers[request.param](tmp_path)


def test_a_record_is_taken_or_refused_and_nothing_in_between(sink: AuditSink) -> None:
    log = a_log(sink)
    for _ in range(3):
        log.close(an_entry(), ended_ns=2_000_000)
    assert (log.lost, log.head.sequence) == (0, 3)
    sink.close()
    log.close(an_entry(), ended_ns=2_000_000)
    assert (log.lost, log.head.sequence) == (1, 3)


def test_a_record_that_was_taken_settles(sink: AuditSink) -> None:
    log = a_log(sink)
    log.close(an_entry(), ended_ns=2_000_000)
    log.begin(an_entry())
    sink.settle()
    assert (log.lost, log.head.sequence) == (0, 2)


def test_a_closed_sink_refuses_with_store_unavailable(sink: AuditSink) -> None:
    sink.close()
    with pytest.raises(StoreUnavailable):
        sink.append(chain_of(1)[0][0])


def test_a_sink_may_be_closed_twice(sink: AuditSink) -> None:
    sink.close()
    sink.close()


@ON_DISK
def test_what_was_taken_is_on_disk_in_order_and_unchanged(
    open_sink: Callable[[Path], SinkOnDisk], tmp_path: Path
) -> None:
    sink = open_sink(tmp_path)
    lines, _ = chain_of(9)
    for line in lines:
        sink.append(line)
    assert lines_on_disk(tmp_path) == lines
    sink.close()
    assert lines_on_disk(tmp_path) == lines


@ON_DISK
def test_the_chain_goes_on_after_a_restart(open_sink: Callable[[Path], SinkOnDisk], tmp_path: Path) -> None:
    head: Head | None = None
    for _ in range(3):
        sink = open_sink(tmp_path)
        assert sink.head() == head
        log = a_log(sink, head=head or NEW)
        log.close(an_entry(), ended_ns=2_000_000)
        head = log.head
        sink.close()
    assert verify(lines_on_disk(tmp_path), after=NEW, until=head).good == 3
