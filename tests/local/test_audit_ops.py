from __future__ import annotations

import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from fakes_audit import NEW, chain_of, sequences
from ops_endpoint import OpsEndpoint, Pauses, basic

from hms_svc.core.chain import verify
from hms_svc.core.ports import StoreUnavailable
from hms_svc.local.audit_ops import LAST_RETRY_S, LINGER_S, MAX_LINES, OpsSink

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def endpoint() -> Iterator[OpsEndpoint]:
    with OpsEndpoint() as endpoint:
        yield endpoint


@pytest.fixture
def pauses() -> Iterator[Pauses]:
    pauses = Pauses()
    yield pauses
    pauses.stop()


def a_sink(endpoint: OpsEndpoint, folder: Path, pauses: Pauses | None = None, **options: Any) -> OpsSink:
    return OpsSink(options.pop("url", endpoint.url), folder, wait=pauses, jitter=lambda: 1.0, **options)


def put(sink: OpsSink, lines: list[bytes]) -> list[bytes]:
    for line in lines:
        sink.append(line)
    return lines


def test_records_are_posted_as_json_lines_in_order(endpoint: OpsEndpoint, tmp_path: Path) -> None:
    sink = a_sink(endpoint, tmp_path)
    lines = put(sink, chain_of(3)[0])
    sink.start()
    assert endpoint.wait_for_lines(3) == lines
    sink.close()
    [post] = endpoint.received
    assert (post.path, post.headers["Content-Type"]) == ("/ingest", "application/x-ndjson")
    assert sink.pending == 0


def test_a_batch_has_at_most_500_records(endpoint: OpsEndpoint, tmp_path: Path) -> None:
    sink = a_sink(endpoint, tmp_path)
    lines = put(sink, chain_of(2 * MAX_LINES + 1)[0])
    sink.start()
    sink.close()
    assert [len(post.lines) for post in endpoint.received] == [MAX_LINES, MAX_LINES, 1]
    assert endpoint.lines() == lines


def test_a_batch_has_at_most_a_megabyte(endpoint: OpsEndpoint, tmp_path: Path) -> None:
    sink = a_sink(endpoint, tmp_path)
    put(sink, chain_of(7, size=300_000)[0])
    sink.start()
    sink.close()
    assert [len(post.lines) for post in endpoint.received] == [3, 3, 1]


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_any_2xx_accepts_the_batch(endpoint: OpsEndpoint, tmp_path: Path, status: int) -> None:
    endpoint.answers = [(status, {})]
    sink = a_sink(endpoint, tmp_path)
    put(sink, chain_of(1)[0])
    sink.start()
    sink.close()
    assert (sink.pending, len(endpoint.received)) == (0, 1)


@pytest.mark.parametrize("status", [301, 307, 400, 401, 404, 413, 429, 500, 503])
def test_anything_else_is_tried_again_and_no_redirect_is_followed(
    endpoint: OpsEndpoint, tmp_path: Path, pauses: Pauses, status: int
) -> None:
    endpoint.answers = [(status, {"Location": "/elsewhere"})] * 2
    sink = a_sink(endpoint, tmp_path, pauses)
    lines = put(sink, chain_of(1)[0])
    sink.start()
    assert endpoint.wait_for_lines(1) == lines
    pauses.stop()
    sink.close()
    assert [(post.path, post.accepted) for post in endpoint.received] == [
        ("/ingest", False),
        ("/ingest", False),
        ("/ingest", True),
    ]


def test_tries_come_later_and_later_up_to_half_a_minute(endpoint: OpsEndpoint, tmp_path: Path, pauses: Pauses) -> None:
    endpoint.answers = [(503, {})] * 8
    sink = a_sink(endpoint, tmp_path, pauses)
    put(sink, chain_of(1)[0])
    sink.start()
    endpoint.wait_for_lines(1)
    seconds = pauses.wait_for(10)
    assert seconds[:10] == [0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, LAST_RETRY_S, LAST_RETRY_S, LINGER_S]
    pauses.stop()
    sink.close()


def test_many_gateways_do_not_try_again_all_at_once(endpoint: OpsEndpoint, tmp_path: Path, pauses: Pauses) -> None:
    endpoint.answers = [(503, {})] * 2
    sink = OpsSink(endpoint.url, tmp_path, wait=pauses, jitter=lambda: 0.5)
    put(sink, chain_of(1)[0])
    sink.start()
    assert pauses.wait_for(3)[:3] == [0.0, 0.375, 0.75]
    pauses.stop()
    sink.close()


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [
        ("17", 17.0),
        ("0", 0.5),
        ("Thu, 01 Jan 1970 00:01:00 GMT", 50.0),
        ("Thu, 01 Jan 1970 00:00:01 GMT", 0.5),
        ("999999999999", 300.0),
        ("soon", 0.5),
        ("-3", 0.5),
    ],
)
def test_retry_after_is_honoured_within_bounds(
    endpoint: OpsEndpoint, tmp_path: Path, pauses: Pauses, retry_after: str, seconds: float
) -> None:
    endpoint.answers = [(503, {"Retry-After": retry_after})]
    sink = a_sink(endpoint, tmp_path, pauses, wall_s=lambda: 10.0)
    put(sink, chain_of(1)[0])
    sink.start()
    assert pauses.wait_for(2)[:2] == [0.0, seconds]
    pauses.stop()
    sink.close()


def test_batches_that_are_too_large_for_the_endpoint_become_smaller(
    endpoint: OpsEndpoint, tmp_path: Path, pauses: Pauses
) -> None:
    endpoint.answers = [(413, {}), (413, {})]
    sink = a_sink(endpoint, tmp_path, pauses)
    lines = put(sink, chain_of(8)[0])
    sink.start()
    assert endpoint.wait_for_lines(8) == lines
    assert [len(post.lines) for post in endpoint.received] == [8, 4, 2, 2, 2, 2]
    pauses.stop()
    sink.close()


def test_nothing_is_lost_or_out_of_order_over_an_outage(tmp_path: Path, pauses: Pauses) -> None:
    with OpsEndpoint() as endpoint:
        sink = a_sink(endpoint, tmp_path, pauses)
        sink.start()
        before, head = chain_of(3)
        put(sink, before)
        endpoint.wait_for_lines(3)
        endpoint.down()
        during, head = chain_of(4, head)
        put(sink, during)
        pauses.wait_for(len(pauses.seconds) + 3)
        assert sink.pending == 4
        endpoint.up()
        after, head = chain_of(2, head)
        put(sink, after)
        assert endpoint.wait_for_lines(9) == [*before, *during, *after]
        pauses.stop()
        sink.close()
    assert verify(endpoint.lines(), after=NEW, until=head).ok


def test_a_connection_that_breaks_is_tried_again(endpoint: OpsEndpoint, tmp_path: Path, pauses: Pauses) -> None:
    endpoint.drops = 2
    sink = a_sink(endpoint, tmp_path, pauses)
    lines = put(sink, chain_of(1)[0])
    sink.start()
    assert endpoint.wait_for_lines(1) == lines
    assert len(endpoint.received) == 3
    pauses.stop()
    sink.close()


def test_what_an_endpoint_that_is_down_did_not_take_is_delivered_by_the_next_gateway(tmp_path: Path) -> None:
    endpoint = OpsEndpoint()
    endpoint.up()
    endpoint.down()
    sink = a_sink(endpoint, tmp_path)
    lines, head = chain_of(3)
    put(sink, lines)
    sink.start()
    sink.close()
    assert sink.pending == 3
    with endpoint:
        sink = a_sink(endpoint, tmp_path)
        assert (sink.pending, sink.head()) == (3, head)
        sink.start()
        assert endpoint.wait_for_lines(3) == lines
        sink.close()


def test_the_chain_goes_on_after_everything_was_delivered(endpoint: OpsEndpoint, tmp_path: Path) -> None:
    sink = a_sink(endpoint, tmp_path)
    lines, head = chain_of(2)
    put(sink, lines)
    sink.start()
    sink.close()
    sink = a_sink(endpoint, tmp_path)
    assert (sink.pending, sink.head()) == (0, head)
    sink.close()


def test_a_spool_that_breaks_does_not_end_the_delivery(
    endpoint: OpsEndpoint, tmp_path: Path, pauses: Pauses, caplog: pytest.LogCaptureFixture
) -> None:
    sink = a_sink(endpoint, tmp_path, pauses)
    lines = put(sink, chain_of(1)[0])
    segment = tmp_path / "00000001.ndjson"
    segment.rename(tmp_path / "aside")
    sink.start()
    pauses.wait_for(3)
    (tmp_path / "aside").rename(segment)
    assert endpoint.wait_for_lines(1) == lines
    assert "did not take audit records (StoreUnavailable)" in caplog.text
    pauses.stop()
    sink.close()


def test_an_incomplete_line_of_the_spool_is_put_aside_and_logged(
    endpoint: OpsEndpoint, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "00000001.ndjson").write_bytes(b'1\n{"torn')
    sink = a_sink(endpoint, tmp_path)
    assert sink.pending == 1
    sink.close()
    assert "incomplete line of 6 bytes" in caplog.text


def test_a_spool_that_is_full_refuses(endpoint: OpsEndpoint, tmp_path: Path) -> None:
    sink = a_sink(endpoint, tmp_path, max_bytes=1_000)
    with pytest.raises(StoreUnavailable, match="is full: 2 lines wait for delivery"):
        put(sink, chain_of(3, size=100)[0])
    sink.close()


def test_a_close_that_nothing_answers_is_given_up_in_time(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        sink = OpsSink(f"http://127.0.0.1:{silent.getsockname()[1]}/", tmp_path, flush_s=0.05)
        put(sink, chain_of(1)[0])
        sink.start()
        sink.close()
        assert sink.pending == 1
        with pytest.raises(StoreUnavailable, match="is closed"):
            sink.append(b"late\n")


def test_a_sink_that_was_closed_does_not_start(endpoint: OpsEndpoint, tmp_path: Path) -> None:
    sink = a_sink(endpoint, tmp_path)
    sink.close()
    sink.start()
    sink.close()
    assert endpoint.received == []


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ops.example",
        "ftp://ops:s3cr3t@ops.example/",
        "http:///s3cr3t",
        "http://[s3cr3t",
        "http://a:s3cr3t/",
        "http://",
    ],
)
def test_what_is_no_endpoint_is_refused_and_not_repeated(tmp_path: Path, url: str) -> None:
    with pytest.raises(ValueError, match="is a URL that begins with http:// or https:// and a host") as refused:
        OpsSink(url, tmp_path)
    assert "s3cr3t" not in str(refused.value)


def test_user_and_password_in_the_url_become_basic_authentication(endpoint: OpsEndpoint, tmp_path: Path) -> None:
    sink = a_sink(endpoint, tmp_path, url=endpoint.url.replace("//", "//ops:s3cr3t@"))
    put(sink, chain_of(1)[0])
    sink.start()
    sink.close()
    assert endpoint.received[0].headers["Authorization"] == basic("ops", "s3cr3t")


def test_a_token_becomes_a_bearer_token(endpoint: OpsEndpoint, tmp_path: Path) -> None:
    sink = a_sink(endpoint, tmp_path, token="s3cr3t")
    put(sink, chain_of(1)[0])
    sink.start()
    sink.close()
    assert endpoint.received[0].headers["Authorization"] == "Bearer s3cr3t"


def test_proxies_and_netrc_of_the_environment_are_not_used(
    endpoint: OpsEndpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login eve password mallory\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9/")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9/")
    sink = a_sink(endpoint, tmp_path / "spool")
    put(sink, chain_of(1)[0])
    sink.start()
    sink.close()
    assert "Authorization" not in endpoint.received[0].headers
    assert endpoint.received[0].accepted


def test_an_outage_is_logged_once_at_its_start_and_its_end_and_without_a_credential(
    tmp_path: Path, pauses: Pauses, caplog: pytest.LogCaptureFixture
) -> None:
    with OpsEndpoint(answers=[(503, {})] * 5) as endpoint:
        url = endpoint.url.replace("//", "//ops:s3cr3t@") + "?key=s3cr3t"
        sink = a_sink(endpoint, tmp_path, pauses, url=url, token="s3cr3t")
        put(sink, chain_of(2)[0])
        sink.start()
        endpoint.wait_for_lines(2)
        pauses.wait_for(7)
        pauses.stop()
        sink.close()
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("hms_svc")]
    assert ours == [
        "127.0.0.1 did not take audit records (503); 2 wait on disk",
        "127.0.0.1 takes audit records again; 0 wait",
    ]
    assert "s3cr3t" not in " ".join(ours) + repr(sink)


WRITER = """
import sys
from pathlib import Path
from fakes_audit import NEW, small_record
from hms_svc.local.audit_ops import OpsSink

sink = OpsSink(sys.argv[1], Path(sys.argv[2]))
sink.start()
head, number = sink.head() or NEW, 0
while True:
    number += 1
    line, head = small_record(number, head)
    sink.append(line)
    print(head.sequence, flush=True)
    if number == int(sys.argv[3]):
        sys.stdin.read()
"""


@pytest.mark.parametrize("is_up", [True, False])
def test_a_gateway_that_is_killed_loses_nothing_and_the_next_delivers_the_rest(tmp_path: Path, *, is_up: bool) -> None:
    endpoint = OpsEndpoint()
    endpoint.up()
    if not is_up:
        endpoint.down()
    acknowledged = 0
    for life in (1, 2):
        pause_after = 300 if is_up else 0  # killed while it delivers, or in the middle of appending
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, endpoint.url, str(tmp_path), str(pause_after)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={"PYTHONPATH": ":".join(filter(None, sys.path))},
        )
        assert writer.stdin is not None
        assert writer.stdout is not None
        while acknowledged < 300 * life:
            acknowledged = int(writer.stdout.readline())
        if is_up:
            endpoint.wait_for_posts(life)
        writer.kill()
        acknowledged = max([acknowledged, *map(int, writer.stdout.read().split(b"\n")[:-1])])
        writer.stdin.close()
        writer.stdout.close()
        writer.wait()
    if not is_up:
        endpoint.up()
    sink = a_sink(endpoint, tmp_path)
    head = sink.head()
    assert head is not None
    assert head.sequence >= acknowledged >= 600
    sink.start()
    sink.close()
    assert sink.pending == 0
    arrived = list(dict.fromkeys(endpoint.lines()))
    assert verify(arrived, after=NEW, until=head).ok
    assert sequences(arrived) == list(range(1, head.sequence + 1))
    endpoint.down()
