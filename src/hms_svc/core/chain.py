"""The hash chain: how a record becomes a line that links to the one before, and how a reader finds what was changed.

A record is written as its canonical serialisation (RFC 8785, JCS): one record, one sequence of bytes. Its fingerprint
is the SHA-256 of that serialisation without the fingerprint itself, so it covers the link to the record before.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_BY_CODE_POINT = json.JSONEncoder(
    ensure_ascii=False, check_circular=False, allow_nan=False, separators=(",", ":"), sort_keys=True
)
_AS_IT_STANDS = json.JSONEncoder(ensure_ascii=False, check_circular=False, allow_nan=False, separators=(",", ":"))


class Head(NamedTuple):
    """The last record of a chain, which the next one links to."""

    chain_uid: str
    """Names the chain for its whole life, across restarts and files: letters, digits and ``-``."""
    sequence: int
    """Of the last record, counted from 1; 0 for a chain without records."""
    sha256: str
    """The last record's fingerprint, lower-case hexadecimal; empty for a chain without records."""
    event_uid: str = ""
    """The last record's ``metadata.uid``."""


@dataclass(frozen=True, slots=True)
class Break:
    """The first place where a chain does not hold."""

    line: int
    """Counted from 1."""
    kind: str
    """``altered``, ``missing``, ``reordered``, ``inserted`` or ``truncated``."""
    detail: str


@dataclass(frozen=True, slots=True)
class VerifyResult:
    """What `verify` found."""

    lines: int
    """Read in all."""
    good: int
    """Before the break; all of them where there is none."""
    first: int
    """Sequence of the first good record: 1 when the chain is here from its beginning, 0 when there is none."""
    head: Head | None
    """The last good record."""
    broken: Break | None

    @property
    def ok(self) -> bool:
        """Whether every line is a record in its place."""
        return self.broken is None


def canonical(value: Any) -> str:
    """The canonical serialisation of objects, arrays, strings, booleans and integers below 2^53 (RFC 8785)."""
    text = _BY_CODE_POINT.encode(value)
    # JCS sorts keys by UTF-16 code unit, Python by code point: the same for ASCII.
    return text if text.isascii() else _AS_IT_STANDS.encode(_ordered(value))


def _ordered(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _ordered(value[key]) for key in sorted(value, key=lambda key: key.encode("utf-16-be"))}
    if isinstance(value, list):
        return [_ordered(item) for item in value]
    return value


def seal(before: str, after: str, event_uid: str, head: Head) -> tuple[bytes, Head]:
    """The line of a record as the successor of ``head``, and the chain's new head.

    ``before`` and ``after`` are the record's canonical serialisation, parted where ``attestation_list`` belongs.
    """
    sequence = head.sequence + 1
    opening = f'{before}"attestation_list":[{{"chain_uid":"{head.chain_uid}",'
    closing = f'"uid":"{sequence}"}}],{after}'
    if head.sequence:
        link = f'"prev_event":{{{_fingerprint(head.sha256)},"uid":{_AS_IT_STANDS.encode(head.event_uid)}}},'
        closing = link + closing
    value = sha256((opening + closing).encode()).hexdigest()
    line = f"{opening}{_fingerprint(value)},{closing}\n".encode()
    return line, Head(head.chain_uid, sequence, value, event_uid)


def _fingerprint(value: str) -> str:
    return f'"fingerprint":{{"algorithm":"SHA-256","algorithm_id":3,"value":"{value}"}}'


@dataclass(frozen=True, slots=True)
class _Link:
    """A line that is good in itself: what it says of its place."""

    head: Head
    previous: str
    """The fingerprint of the record before; empty in a chain's first record."""

    def follows(self, head: Head) -> bool:
        return (
            self.head.chain_uid == head.chain_uid
            and self.head.sequence == head.sequence + 1
            and self.previous == head.sha256
        )


def _link(line: bytes) -> _Link | None:
    """What ``line`` says of its place, or None when it is not what was sealed."""
    try:
        record = json.loads(line)
        attestation = record["attestation_list"][0]
        if f"{canonical(record)}\n".encode() != line:
            return None
        fingerprint = canonical({"fingerprint": attestation.pop("fingerprint")})
        value = sha256(canonical(record).encode()).hexdigest()
        if fingerprint != f"{{{_fingerprint(value)}}}":
            return None
        previous = attestation["prev_event"]["fingerprint"]["value"] if "prev_event" in attestation else ""
        head = Head(attestation["chain_uid"], int(attestation["uid"]), value, record["metadata"]["uid"])
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None
    return _Link(head, previous) if (head.sequence == 1) == (not previous) and head.sequence > 0 else None


def head_of(line: bytes) -> Head | None:
    """The place of the record in ``line``, a whole line with its newline; None when it is altered or no record."""
    link = _link(line)
    return link.head if link else None


def latest(heads: Iterable[Head | None]) -> Head | None:
    """The head that is farthest along, of those that several sinks remember; None when none remembers any.

    One sink may have missed records that another took. Going on from the farthest uses no sequence twice.
    """
    return max((head for head in heads if head), key=lambda head: head.sequence, default=None)


def verify(lines: Iterable[bytes], *, after: Head | None = None, until: Head | None = None) -> VerifyResult:
    """Check ``lines``, each with its newline, as one chain from the first to the last.

    ``after`` is the record that must come before the first line; without it, where the chain begins is taken on
    trust. ``until`` is a record that the chain must have reached, known from elsewhere: what was cut off at the end
    leaves no trace in the lines themselves.
    """
    rest = iter(lines)
    good = first = 0
    head = after
    for line in rest:
        link = _link(line)
        if link is None or (head is not None and not link.follows(head)):
            follows, resumes = _look_ahead(head, rest)
            kind, detail = (
                _unlinked(link, head, first, resumes=resumes) if link and head else _unread(line, resumes=resumes)
            )
            broken = Break(good + 1, kind, detail)
            return VerifyResult(good + 1 + follows, good, first, head if good else None, broken)
        head = link.head
        first = first or head.sequence
        good += 1
        if until and head.sequence == until.sequence and head != until:
            broken = Break(good, "altered", f"record {head.sequence} is not the one known from elsewhere")
            return VerifyResult(good + _look_ahead(None, rest)[0], good, first, head, broken)
    reached = head.sequence if head else 0
    short = None
    if until and reached < until.sequence:
        detail = f"the chain ends with record {reached}; record {until.sequence} is known from elsewhere"
        short = Break(good + 1, "missing", detail)
    return VerifyResult(good, good, first, head if good else None, short)


def _look_ahead(head: Head | None, rest: Iterator[bytes]) -> tuple[int, bool]:
    """How many lines are left, and whether one of them is the successor of ``head``."""
    count, resumes = 0, False
    for line in rest:
        count += 1
        if head is not None and not resumes:
            link = _link(line)
            resumes = link is not None and link.follows(head)
    return count, resumes


def _unread(line: bytes, *, resumes: bool) -> tuple[str, str]:
    """What is wrong with a line that is not what was sealed."""
    if not line.endswith(b"\n"):
        return "truncated", "the last line is not complete"
    if resumes:
        return "inserted", "the line is no record; the chain goes on after it"
    return "altered", "the line is not what was sealed"


def _unlinked(link: _Link, head: Head, first: int, *, resumes: bool) -> tuple[str, str]:
    """What is wrong with a line that is good in itself and does not follow ``head``."""
    here, expected = link.head, head.sequence + 1
    if here.chain_uid != head.chain_uid:
        return "inserted", f"the record belongs to another chain, {here.chain_uid}"
    if here.sequence == expected:
        return "altered", "this record or the one before was sealed anew: their hashes do not link"
    if here.sequence > expected and not resumes:
        gap = f"record {expected}" if here.sequence == expected + 1 else f"records {expected} to {here.sequence - 1}"
        return "missing", f"{gap} before this line"
    if here.sequence > expected or here.sequence < first:
        return "reordered", f"record {here.sequence} stands next to record {head.sequence}"
    return "inserted", f"record {here.sequence} is there a second time"
