"""The audit record as a Firehose stream: kept in memory during the request, sent after the answer, never dropped.

What the stream does not take within a few tries goes to the log instead (`spill`), so a record that was appended is
either in the stream or in the log. A call of which it is not known how it ended is made again: at least once.
"""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

from hms_svc.core.ports import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from mypy_boto3_firehose import FirehoseClient

    from hms_svc.aws.spill import Spill

MAX_CALL_RECORDS = 500
MAX_CALL_BYTES = 4_194_304
"""Of one PutRecordBatch."""
MAX_RECORD_BYTES = 1_024_000
"""Of one Firehose record. As many lines as fit travel in one: it is billed by steps of 5 KiB."""
MAX_BUFFER_BYTES = 4_000_000
"""Of lines in memory; at this size `FirehoseAudit.append` sends them itself."""
TRIES = 3
"""Calls in one flush that may fail, in all or in part, before the rest goes to the log."""
PAUSES_S = (0.05, 0.2)
"""Before the second and the third try."""
CONNECT_S, ANSWER_S = 1.0, 2.0
_THROTTLED = frozenset({"ServiceUnavailableException", "ThrottlingException", "Throttling", "RequestLimitExceeded"})
_SERVER_ERROR = 500


def firehose_client() -> FirehoseClient:
    """A client that tries once: the tries are counted by `FirehoseAudit`, which knows what was taken.

    With its timeouts a flush over a stream that is down ends within 3 x (1 + 2) + 0.25 s, name resolution aside.
    """
    import boto3
    from botocore.config import Config

    config = Config(
        connect_timeout=CONNECT_S, read_timeout=ANSWER_S, retries={"total_max_attempts": 1, "mode": "standard"}
    )
    return boto3.client("firehose", config=config)


class _Packed(NamedTuple):
    """A Firehose record: lines, one after the other."""

    lines: tuple[bytes, ...]
    data: bytes


class _Refused(NamedTuple):
    """The records of a call that were not taken, in order, and why."""

    records: list[_Packed]
    why: str
    is_final: bool = False
    """Whether another try would be refused as well."""


class FirehoseAudit:
    """An `AuditSink` over a stream. `append` keeps, `flush` sends; both may be called from several threads."""

    def __init__(
        self,
        stream: str,
        client: Callable[[], FirehoseClient],
        *,
        spill: Spill,
        pause: Callable[[float], object],
        max_buffer_bytes: int = MAX_BUFFER_BYTES,
    ) -> None:
        """``client`` makes the client, at the first flush or at `connect`; ``pause`` waits so many seconds."""
        self._stream = stream
        self._make_client = client
        self._client: FirehoseClient | None = None
        self._spill = spill
        self._pause = pause
        self._max_buffer_bytes = max_buffer_bytes
        self._keeping = Lock()
        self._sending = Lock()
        self._lines: list[bytes] = []
        self._bytes = 0
        self._newest = b""
        self._newest_why = ""
        """Why the line that was appended last is in the log; empty while it is not."""
        self._is_closed = False

    def connect(self) -> None:
        """Make the client now: before a snapshot is taken, or while nobody waits."""
        if self._client is None:
            self._client = self._make_client()

    def append(self, line: bytes) -> None:
        """Keep one record, complete with its newline, until the next flush; a full buffer is sent at once.

        Raises `StoreUnavailable` when the sink is closed.
        """
        with self._keeping:
            if self._is_closed:
                raise StoreUnavailable("the audit stream is closed")
            self._lines.append(line)
            self._bytes += len(line)
            self._newest, self._newest_why = line, ""
            is_full = self._bytes >= self._max_buffer_bytes
        if is_full:
            self.flush()

    def settle(self) -> None:
        """Send what is kept. Raises `StoreUnavailable` when the record appended last is in the log instead."""
        self.flush()
        if self._newest_why:
            raise StoreUnavailable(f"the audit stream {self._stream} did not take it: {self._newest_why}")

    def flush(self) -> None:
        """Send what is kept, in order. What the stream does not take is in the log when this returns."""
        with self._sending:
            with self._keeping:
                lines, self._lines, self._bytes = self._lines, [], 0
            self._send(list(_packed(lines)))

    def close(self) -> None:
        """Send what is kept and take no more. Safe to call twice."""
        with self._keeping:
            self._is_closed = True
        self.flush()

    def _send(self, waiting: list[_Packed]) -> None:
        """Call after call until all is taken or given up.

        No try is made for what follows records that are given up: a stream that is down would hold up the request for
        each call anew.
        """
        failures = 0
        while waiting:
            if len(waiting[0].data) > MAX_RECORD_BYTES:
                self._give_up(waiting[:1], f"over {MAX_RECORD_BYTES} bytes")
                waiting = waiting[1:]
                continue
            call = _first_call(waiting)
            refused = self._put(call)
            waiting = refused.records + waiting[len(call) :]
            if not refused.records:
                continue
            failures += 1
            if refused.is_final or failures == TRIES:
                self._give_up(waiting, refused.why)
                return
            self._pause(PAUSES_S[failures - 1])

    def _give_up(self, records: Sequence[_Packed], why: str) -> None:
        lines = [line for record in records for line in record.lines]
        self._spill.take(lines, why)
        with self._keeping:
            if any(line is self._newest for line in lines):
                self._newest_why = why

    def _put(self, call: list[_Packed]) -> _Refused:
        """One PutRecordBatch."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            self.connect()
            assert self._client is not None  # noqa: S101  (what connect is for)
            answer = self._client.put_record_batch(
                DeliveryStreamName=self._stream, Records=[{"Data": record.data} for record in call]
            )
            if not answer["FailedPutCount"]:
                return _Refused([], "")
            said = answer["RequestResponses"]
            codes = [response.get("ErrorCode") for response in said]
            if len(codes) != len(call):
                return _Refused(call, f"{len(call)} records were sent and {len(codes)} answered for")
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", "ClientError"))
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", _SERVER_ERROR)
            return _Refused(call, code, is_final=status < _SERVER_ERROR and code not in _THROTTLED)
        except BotoCoreError as error:
            return _Refused(call, type(error).__name__)
        except Exception as error:  # noqa: BLE001  (records are in our hands: a bug may cost the call, not them)
            return _Refused(call, type(error).__name__, is_final=True)
        refused = [record for record, code in zip(call, codes, strict=True) if code]
        return _Refused(refused, next((code for code in codes if code), ""))


def _packed(lines: Iterable[bytes]) -> Iterator[_Packed]:
    """The lines, in order, as few Firehose records as hold them. A line that is too long stands alone."""
    together: list[bytes] = []
    size = 0
    for line in lines:
        if together and size + len(line) > MAX_RECORD_BYTES:
            yield _Packed(tuple(together), b"".join(together))
            together, size = [], 0
        together.append(line)
        size += len(line)
    if together:
        yield _Packed(tuple(together), b"".join(together))


def _first_call(waiting: Sequence[_Packed]) -> list[_Packed]:
    """As many of the first records as one call may hold, none of them too long."""
    call: list[_Packed] = []
    size = 0
    for record in waiting[:MAX_CALL_RECORDS]:
        size += len(record.data)
        if size > MAX_CALL_BYTES or len(record.data) > MAX_RECORD_BYTES:
            break
        call.append(record)
    return call
