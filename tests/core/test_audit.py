from __future__ import annotations

import logging

import pytest
from fakes_audit import NEW, MemorySink, a_log, a_request, a_served_entry, an_entry, read, sequences

from hms_svc.core.chain import verify
from hms_svc.core.model import Headers
from hms_svc.core.ports import StoreUnavailable


def test_each_request_is_one_line_of_one_chain() -> None:
    sink = MemorySink()
    log = a_log(sink)
    for _ in range(3):
        log.close(an_entry(status=404, refusal="no-such-path"), ended_ns=2_000_000)
    assert verify(sink.lines, after=NEW, until=log.head).ok
    assert sequences(sink.lines) == [1, 2, 3]


def test_the_chain_goes_on_from_the_head_that_is_given() -> None:
    first, second = MemorySink(), MemorySink()
    before = a_log(first)
    before.close(an_entry(), ended_ns=2_000_000)
    a_log(second, head=before.head).close(an_entry(), ended_ns=2_000_000)
    assert verify([*first.lines, *second.lines]).good == 2


def test_a_required_route_has_a_line_before_and_a_line_after_with_the_same_request_id() -> None:
    sink = MemorySink()
    log = a_log(sink)
    log.begin(a_served_entry(status=None))
    log.close(a_served_entry(), ended_ns=2_000_000)
    opening, closing = map(read, sink.lines)
    assert [record["status"] for record in (opening, closing)] == ["Unknown", "Success"]
    assert (
        opening["metadata"]["correlation_uid"] == closing["metadata"]["correlation_uid"] == a_served_entry().request_id
    )
    assert opening["metadata"]["uid"] != closing["metadata"]["uid"]


def test_all_sinks_get_the_same_lines() -> None:
    sinks = MemorySink(), MemorySink()
    log = a_log(*sinks)
    log.begin(a_served_entry())
    log.close(a_served_entry(), ended_ns=2_000_000)
    assert sinks[0].lines == sinks[1].lines
    assert len(sinks[0].lines) == 2


def test_a_record_that_must_be_taken_and_is_not_is_told() -> None:
    taking, refusing = MemorySink(), MemorySink()
    refusing.refuses = StoreUnavailable("the disk is full")
    log = a_log(taking, refusing)
    with pytest.raises(StoreUnavailable, match="an audit sink did not take the record: the disk is full"):
        log.begin(a_served_entry())
    assert log.lost == 1


def test_a_required_record_that_is_taken_but_not_where_it_belongs_is_told_and_stays_in_the_chain() -> None:
    sink = MemorySink()
    log = a_log(sink)
    sink.unsettled = StoreUnavailable("the stream is down")
    with pytest.raises(StoreUnavailable, match="the stream is down"):
        log.begin(a_served_entry())
    log.close(a_served_entry(status=503), ended_ns=2_000_000)
    assert verify(sink.lines, after=NEW, until=log.head).good == 2
    assert log.lost == 0


def test_only_what_is_required_waits_for_the_sink() -> None:
    sink = MemorySink()
    sink.unsettled = StoreUnavailable("the stream is down")
    log = a_log(sink)
    log.close(a_served_entry(), ended_ns=2_000_000)
    assert (log.lost, len(sink.lines)) == (0, 1)


def test_without_a_sink_nothing_that_must_be_recorded_goes_on() -> None:
    log = a_log()
    with pytest.raises(StoreUnavailable, match="no audit sink is configured"):
        log.begin(a_served_entry())
    log.close(a_served_entry(), ended_ns=2_000_000)
    assert log.lost == 0


@pytest.mark.parametrize("error", [StoreUnavailable("full"), OSError("broken"), RuntimeError("bug")])
def test_closing_a_record_never_raises_and_counts_what_is_lost(error: Exception) -> None:
    sink = MemorySink()
    sink.refuses = error
    log = a_log(sink)
    log.close(an_entry(), ended_ns=2_000_000)
    log.close(an_entry(), ended_ns=2_000_000)
    assert log.lost == 2
    assert log.head == NEW


def test_closing_survives_an_entry_that_cannot_be_told() -> None:
    sink = MemorySink()
    log = a_log(sink)
    log.close(an_entry(started_wall_ns="yesterday"), ended_ns=2_000_000)
    assert (log.lost, sink.lines) == (1, [])


def test_the_next_record_says_how_many_were_lost_and_the_chain_has_no_gap() -> None:
    sink = MemorySink()
    log = a_log(sink)
    log.close(an_entry(), ended_ns=2_000_000)
    sink.refuses = StoreUnavailable("full")
    log.close(an_entry(), ended_ns=2_000_000)
    sink.refuses = None
    log.close(an_entry(), ended_ns=2_000_000)
    assert verify(sink.lines).ok
    assert [read(line)["unmapped"]["hms"].get("lost") for line in sink.lines] == [None, 1]


def test_a_sink_that_missed_a_record_has_a_gap_where_another_has_the_record() -> None:
    steady, shaky = MemorySink(), MemorySink()
    log = a_log(steady, shaky)
    log.close(an_entry(), ended_ns=2_000_000)
    shaky.refuses = StoreUnavailable("full")
    log.close(an_entry(), ended_ns=2_000_000)
    shaky.refuses = None
    log.close(an_entry(), ended_ns=2_000_000)
    assert verify(steady.lines).ok
    broken = verify(shaky.lines).broken
    assert broken is not None
    assert broken.detail == "record 2 before this line"


def test_losses_are_logged_now_and_then_and_without_what_the_record_holds(caplog: pytest.LogCaptureFixture) -> None:
    sink = MemorySink()
    sink.refuses = StoreUnavailable("audit file /var/audit.jsonl cannot be written: No space left on device")
    log = a_log(sink)
    entry = an_entry(a_request(headers=Headers([("User-Agent", "a-very-private-agent")])))
    with caplog.at_level(logging.DEBUG):
        for second in range(25):
            log.close(entry, ended_ns=second * 1_000_000_000)
    assert [record.getMessage().split(":")[0] for record in caplog.records] == [
        "1 audit records lost so far",
        "11 audit records lost so far",
        "21 audit records lost so far",
    ]
    assert "No space left" in caplog.text
    assert "private" not in caplog.text


def test_a_sinks_bug_is_logged_by_its_kind_alone(caplog: pytest.LogCaptureFixture) -> None:
    sink = MemorySink()
    sink.refuses = RuntimeError("with a secret in it")
    a_log(sink).close(an_entry(), ended_ns=2_000_000)
    assert caplog.messages == ["1 audit records lost so far: RuntimeError"]
