"""Where audit records go that the stream did not take: the function's log, each one complete and found by one word.

A record is one JSON object on one line of the log, under ``hms_svc_spilled_audit_record``; one that is longer than an
event of the log may be comes in numbered pieces, with the SHA-256 of the whole.
"""

from __future__ import annotations

import json
from hashlib import sha256
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

MEMBER = "hms_svc_spilled_audit_record"
"""The member that holds the record, or a piece of it: exactly what would have been sent, without its line break."""
SPILLED = "AuditRecordsSpilled"
"""The metric that counts records that went to the log."""
LOST = "AuditRecordsLost"
"""The metric that counts records that the log did not take either."""
MAX_EVENT = 240_000
"""Characters of a line: a log event holds 256 KiB on every path to the log, with some room for what is put around."""
_WIDEST = 12
"""Characters that one character of a record can become in JSON: a surrogate pair, both halves escaped."""
_AROUND = 1_000
"""Characters for the other members of a line."""


class Spill:
    """Writes records to the log, and counts them."""

    def __init__(
        self,
        *,
        emit: Callable[[str], object],
        count: Callable[[str, int], object],
        max_event: int = MAX_EVENT,
    ) -> None:
        """``emit`` writes one line to the log; ``count`` adds to a metric; ``max_event`` bounds a line, characters."""
        self._emit = emit
        self._count = count
        self._max_event = max_event

    def take(self, lines: Iterable[bytes], why: str) -> None:
        """Write each record, and why the stream does not have it. Never raises: what cannot be written is counted."""
        spilled = lost = 0
        for line in lines:
            try:
                for text in self._events(line, why):
                    self._emit(text)
            except Exception:  # noqa: BLE001  (there is no place left to say it, but the metric)
                lost += 1
            else:
                spilled += 1
        if spilled:
            self._count(SPILLED, spilled)
        if lost:
            self._count(LOST, lost)

    def _events(self, line: bytes, why: str) -> list[str]:
        record = line.removesuffix(b"\n").decode("utf-8", "surrogateescape")
        about = {"sha256": sha256(line).hexdigest(), "why": why[: _AROUND // 4]}
        whole = json.dumps({MEMBER: record, **about})
        if len(whole) <= self._max_event:
            return [whole]
        step = max(1, (self._max_event - _AROUND) // _WIDEST)
        pieces = [record[at : at + step] for at in range(0, len(record), step)]
        return [
            json.dumps({MEMBER: piece, "piece": number, "pieces": len(pieces), **about})
            for number, piece in enumerate(pieces, 1)
        ]
