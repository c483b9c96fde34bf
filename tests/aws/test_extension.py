from __future__ import annotations

import json
import logging
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Queue
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

import pytest
from worlds import OwnedClock

from hms_svc.aws.extension import NAME, Extension, Inline, after_answer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WAIT_S = 10.0
"""How long a test waits for another thread before it fails."""
CLOCK = OwnedClock()
DEADLINE_MS = CLOCK.ns // 1_000_000 + 900_000


class Lambda:
    """The Extensions API: hands out an event when the test puts one, and remembers what happened in which order."""

    def __init__(self) -> None:
        self.events: Queue[Any] = Queue()
        """What the next answers to ``/event/next`` are: an event, a status, or None for a broken connection."""
        self.happened: Queue[str] = Queue()
        self.registered: list[tuple[dict[str, str], Any]] = []
        self.identifiers: list[str | None] = []
        self.register_status = 200
        api = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                assert self.path == "/2020-01-01/extension/register"
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                api.registered.append((dict(self.headers), body))
                self.send_response(api.register_status)
                self.send_header("Lambda-Extension-Identifier", "extension-1")
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def do_GET(self) -> None:
                assert self.path == "/2020-01-01/extension/event/next"
                api.identifiers.append(self.headers["Lambda-Extension-Identifier"])
                api.happened.put("next")
                event = api.events.get()
                if event is None:
                    self.close_connection = True
                    return
                text = b"{}" if isinstance(event, int) else json.dumps(event).encode()
                self.send_response(event if isinstance(event, int) else 200)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.block_on_close = False
        self.thread = Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    @property
    def environment(self) -> dict[str, str]:
        return {"AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{self.server.server_address[1]}"}

    def invoke(self, **event: Any) -> None:
        self.events.put({"eventType": "INVOKE", "requestId": "r", "deadlineMs": DEADLINE_MS, **event})

    def saw(self, *expected: str) -> None:
        assert [self.happened.get(timeout=WAIT_S) for _ in expected] == list(expected)

    def saw_nothing(self) -> None:
        assert self.happened.empty()

    def flush(self) -> None:
        self.happened.put("flush")

    def close(self) -> None:
        self.events.put(500)
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def api() -> Iterator[Lambda]:
    api = Lambda()
    yield api
    api.close()
    for thread in threading.enumerate():
        if thread.name == NAME:
            thread.join(5)  # what it says when the API goes is of this test, not of the next


def started(api: Lambda, flush: Callable[[], None] | None = None) -> Extension:
    after = after_answer(api.environment, flush or api.flush, CLOCK)
    assert isinstance(after, Extension)
    return after


def test_it_registers_for_invocations_alone_and_asks_for_the_first(api: Lambda) -> None:
    started(api)
    api.saw("next")
    ((headers, body),) = api.registered
    assert headers["Lambda-Extension-Name"] == NAME
    assert body == {"events": ["INVOKE"]}
    assert api.identifiers == ["extension-1"]


def test_it_flushes_after_the_answer_and_only_then_asks_for_the_next_event(api: Lambda) -> None:
    extension = started(api)
    for _ in range(3):
        api.saw("next")
        api.invoke()
        api.saw_nothing()
        api.happened.put("answer")
        extension.invoked_done()
        api.saw("answer", "flush")
    api.saw("next")


def test_lambda_does_not_freeze_before_the_flush_has_ended(api: Lambda) -> None:
    begun, go_on = Event(), Event()

    def flush() -> None:
        begun.set()
        assert go_on.wait(WAIT_S)
        api.flush()

    extension = started(api, flush)
    api.saw("next")
    api.invoke()
    extension.invoked_done()
    assert begun.wait(WAIT_S)
    api.saw_nothing()
    go_on.set()
    api.saw("flush", "next")


def test_a_handler_that_is_faster_than_the_event_is_not_forgotten(api: Lambda) -> None:
    extension = started(api)
    api.saw("next")
    extension.invoked_done()
    api.saw_nothing()
    api.invoke()
    api.saw("flush", "next")


@pytest.mark.parametrize("deadline_ms", [CLOCK.ns // 1_000_000, 0, -5])
def test_it_waits_no_longer_than_the_invocation_has(api: Lambda, deadline_ms: int) -> None:
    started(api)
    api.saw("next")
    api.invoke(deadlineMs=deadline_ms)
    api.saw("flush", "next")


@pytest.mark.parametrize("event", [{"deadlineMs": "soon"}, {}, [], "text"])
def test_an_event_that_does_not_tell_its_deadline_is_waited_for_all_the_same(api: Lambda, event: Any) -> None:
    extension = started(api)
    api.saw("next")
    api.events.put(event)
    extension.invoked_done()
    api.saw("flush", "next")


def test_a_flush_that_fails_is_logged_by_its_kind_and_stops_nothing(
    api: Lambda, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> None:
        api.flush()
        raise RuntimeError("with a secret in it")

    extension = started(api, broken)
    for _ in range(2):
        api.saw("next")
        api.invoke()
        extension.invoked_done()
        api.saw("flush")
    api.saw("next")
    assert caplog.messages == ["what follows the answer failed: RuntimeError"] * 2


def test_a_connection_that_breaks_is_made_again(api: Lambda) -> None:
    extension = started(api)
    api.saw("next")
    extension.invoked_done()
    api.events.put(None)
    api.saw("next")
    api.invoke()
    api.saw_nothing()
    extension.invoked_done()
    api.saw("flush", "next")


@pytest.mark.parametrize("broken", [[500], [403], [None, None, None]], ids=["error", "refused", "disconnected"])
def test_when_the_api_breaks_the_handler_flushes_itself(
    api: Lambda, broken: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    extension = started(api)
    for event in broken:
        api.saw("next")
        api.events.put(event)
    extension.join()
    api.saw("flush")
    extension.invoked_done()
    api.saw("flush")
    assert [message.partition(" (")[0] for message in caplog.messages] == ["the extension has ended"]


def test_where_there_is_no_lambda_the_handler_flushes_itself(caplog: pytest.LogCaptureFixture) -> None:
    flushes: list[int] = []
    after = after_answer({}, lambda: flushes.append(1), CLOCK)
    assert isinstance(after, Inline)
    after.invoked_done()
    after.invoked_done()
    assert flushes == [1, 1]
    assert len(caplog.messages) == 1
    assert "AWS_LAMBDA_RUNTIME_API is not set" in caplog.text


@pytest.mark.parametrize("status", [403, 500, 202])
def test_a_registration_that_is_refused_leaves_it_to_the_handler(
    api: Lambda, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    api.register_status = status
    after = after_answer(api.environment, api.flush, CLOCK)
    assert isinstance(after, Inline)
    after.invoked_done()
    api.saw("flush")
    assert caplog.messages == [
        f"no extension (the Extensions API answered {status}): audit records are sent before the answer"
    ]


@pytest.mark.parametrize("address", ["127.0.0.1:1", "no port:x", "[::1"])
def test_an_api_that_is_not_there_leaves_it_to_the_handler(address: str) -> None:
    with logging_off():
        assert isinstance(after_answer({"AWS_LAMBDA_RUNTIME_API": address}, lambda: None, CLOCK), Inline)


class logging_off:  # noqa: N801  (used as a statement)
    def __enter__(self) -> None:
        logging.disable()

    def __exit__(self, *_: object) -> None:
        logging.disable(logging.NOTSET)


def test_what_the_handler_flushes_itself_never_raises(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> None:
        raise OSError("no network")

    Inline(broken).invoked_done()
    assert caplog.messages == ["what follows the answer failed: OSError"]
