from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

import pytest
from fakes_audit import NEW, chain_of, read, sequences
from hypothesis import given
from hypothesis import strategies as st

from hms_svc.core.chain import Head, canonical, head_of, latest, seal, verify

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
KEYS = TEXT | st.sampled_from(["\U0001f600", "\ufb33", "\u20ac", "\r", "\x00", "1", "</script>"])
RECORDS = st.dictionaries(
    KEYS,
    st.recursive(
        TEXT | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
        max_leaves=12,
    ),
    max_size=6,
)


def jcs(value: Any) -> str:
    """RFC 8785, section 3.2, written down a second time and slowly."""
    if isinstance(value, dict):
        keys = sorted(value, key=lambda key: [int.from_bytes(pair) for pair in utf16(key)])
        return "{" + ",".join(f"{jcs(key)}:{jcs(value[key])}" for key in keys) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(jcs, value)) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    short = {"\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r", '"': '\\"', "\\": "\\\\"}
    return '"' + "".join(short.get(c) or (f"\\u{ord(c):04x}" if c < " " else c) for c in value) + '"'


def utf16(text: str) -> list[bytes]:
    units = text.encode("utf-16-be")
    return [units[at : at + 2] for at in range(0, len(units), 2)]


@given(RECORDS)
def test_the_serialisation_is_the_canonical_one_of_rfc_8785(record: dict[str, Any]) -> None:
    assert canonical(record) == jcs(record)


def test_keys_are_in_the_order_of_their_utf_16_code_units() -> None:
    record = {"\u20ac": 1, "\r": 2, "\ufb33": 3, "1": 4, "\U0001f600": 5, "\x80": 6, "\xf6": 7}
    assert list(json.loads(canonical(record))) == ["\r", "1", "\x80", "\xf6", "\u20ac", "\U0001f600", "\ufb33"]


def test_a_number_that_is_no_integer_of_json_is_refused() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical({"n": float("nan")})


def test_the_first_record_of_a_chain_has_no_previous_one() -> None:
    [line], head = chain_of(1)
    attestation = read(line)["attestation_list"][0]
    assert attestation == {
        "chain_uid": NEW.chain_uid,
        "fingerprint": {"algorithm": "SHA-256", "algorithm_id": 3, "value": head.sha256},
        "uid": "1",
    }


def test_every_other_record_names_the_one_before_and_its_fingerprint() -> None:
    lines, _ = chain_of(2)
    first, second = (read(line)["attestation_list"][0] for line in lines)
    assert second["prev_event"] == {"fingerprint": first["fingerprint"], "uid": "request-1"}


def test_the_fingerprint_is_of_the_canonical_record_without_it() -> None:
    record = read(chain_of(2)[0][1])
    value = record["attestation_list"][0].pop("fingerprint")["value"]
    assert value == sha256(jcs(record).encode()).hexdigest()


def test_a_line_is_one_line_and_canonical_with_its_fingerprint() -> None:
    line = chain_of(1)[0][0]
    assert line.count(b"\n") == 1
    assert jcs(read(line)).encode() + b"\n" == line


def test_the_head_is_read_back_from_a_line() -> None:
    lines, head = chain_of(3)
    assert head_of(lines[-1]) == head


def test_of_several_sinks_the_one_that_took_most_says_where_the_chain_goes_on() -> None:
    behind, ahead = Head("chain", 6, "a" * 64), Head("chain", 7, "b" * 64)
    assert latest([behind, None, ahead]) == latest([ahead, behind]) == ahead
    assert latest([None, None]) is None


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"{}\n",
        b"[]\n",
        b"null\n",
        b'{"attestation_list":[]}\n',
        b'{"attestation_list":[{}],"metadata":{"uid":"a"}}\n',
        b'{"attestation_list":[{"fingerprint":"x"}]}\n',
        b'{"a":"\\ud800"}\n',
        b"\xff\n",
        b"[" * 100_000 + b"\n",
    ],
)
def test_what_is_no_record_has_no_head(line: bytes) -> None:
    assert head_of(line) is None


def test_a_chain_of_any_length_verifies() -> None:
    for length in (0, 1, 2, 7):
        lines, head = chain_of(length)
        result = verify(lines)
        assert (result.ok, result.lines, result.good) == (True, length, length)
        assert result.head == (head if length else None)


def test_a_part_of_a_chain_verifies_and_says_where_it_begins() -> None:
    lines, _ = chain_of(5)
    result = verify(lines[2:])
    assert (result.ok, result.first, result.good) == (True, 3, 3)


def test_a_part_that_must_follow_a_known_record_is_held_to_it() -> None:
    early, middle = chain_of(2)
    late, _ = chain_of(2, middle)
    assert verify(late, after=middle).ok
    assert verify(late[1:], after=middle).broken is not None
    assert verify(early, after=middle).broken is not None


CASES = {
    "altered": lambda lines: [*lines[:2], lines[2].replace(b"request-3", b"request-8"), *lines[3:]],
    "missing": lambda lines: [*lines[:2], *lines[3:]],
    "reordered": lambda lines: [*lines[:2], lines[3], lines[2], *lines[4:]],
    "inserted": lambda lines: [*lines[:2], b'{"activity_id":2}\n', *lines[2:]],
    "truncated": lambda lines: [*lines[:2], lines[2][:-9]],
}


@pytest.mark.parametrize("kind", CASES)
def test_the_first_break_is_named_with_its_line(kind: str) -> None:
    lines = CASES[kind](chain_of(6)[0])
    result = verify(iter(lines))
    assert result.broken is not None
    assert (result.broken.kind, result.broken.line) == (kind, 3)
    assert (result.ok, result.good, result.lines) == (False, 2, len(lines))


def test_a_break_is_told_in_a_sentence() -> None:
    lines, head = chain_of(7)
    other, _ = chain_of(1, Head("another", 0, ""))
    forged, _ = seal('{"activity_id":4,', '"metadata":{"uid":"x"}}', "x", chain_of(2)[1])

    def told(lines: list[bytes], until: Head | None = None) -> str:
        broken = verify(lines, until=until).broken
        return f"{broken.line}: {broken.kind}: {broken.detail}" if broken else ""

    assert told([*lines[:2], *lines[3:]]) == "3: missing: record 3 before this line"
    assert told([*lines[:2], *lines[5:]]) == "3: missing: records 3 to 5 before this line"
    assert told([*lines[:3], lines[1]]) == "4: inserted: record 2 is there a second time"
    assert told([*lines[:3], *other]) == "4: inserted: the record belongs to another chain, another"
    assert told([lines[3], lines[2]]) == "2: reordered: record 3 stands next to record 4"
    assert told([*lines[:2], forged, *lines[3:]]) == (
        "4: altered: this record or the one before was sealed anew: their hashes do not link"
    )
    assert told(lines[:4], until=head) == "5: missing: the chain ends with record 4; record 7 is known from elsewhere"


def test_an_end_that_was_cut_off_is_found_with_a_record_known_from_elsewhere() -> None:
    lines, head = chain_of(4)
    assert verify(lines[:3]).ok
    assert not verify(lines[:3], until=head).ok
    assert verify(lines, until=head).ok
    assert verify([*lines, *chain_of(2, head)[0]], until=head).ok


def test_a_chain_that_was_made_anew_is_found_with_a_record_known_from_elsewhere() -> None:
    lines, _ = chain_of(4, size=1)
    _, head = chain_of(4)
    result = verify(lines, until=Head(head.chain_uid, 2, "0" * 64, "request-2"))
    assert result.broken is not None
    assert (result.broken.kind, result.broken.line, result.lines) == ("altered", 2, 4)


LINES, _ = chain_of(5)
WHOLE = b"".join(LINES)


@given(at=st.integers(0, len(WHOLE) - 1), byte=st.integers(0, 255))
def test_any_changed_byte_is_found(at: int, byte: int) -> None:
    changed = WHOLE[:at] + bytes([byte]) + WHOLE[at + 1 :]
    assert verify(changed.splitlines(keepends=True)).ok == (changed == WHOLE)


@given(at=st.integers(0, len(WHOLE) - 1), byte=st.integers(0, 255))
def test_any_byte_added_or_taken_away_is_found(at: int, byte: int) -> None:
    assert not verify((WHOLE[:at] + WHOLE[at + 1 :]).splitlines(keepends=True)).ok
    assert not verify((WHOLE[:at] + bytes([byte]) + WHOLE[at:]).splitlines(keepends=True)).ok


@given(st.permutations(range(5)))
def test_any_other_order_is_found(order: list[int]) -> None:
    assert verify([LINES[number] for number in order]).ok == (order == sorted(order))


@given(st.sets(st.integers(1, 5), min_size=1))
def test_any_line_that_is_missing_is_found_unless_only_the_ends_are_cut(left: set[int]) -> None:
    kept = [LINES[number - 1] for number in sorted(left)]
    is_whole = sorted(left) == list(range(min(left), max(left) + 1))
    assert verify(kept).ok == is_whole
    assert verify(kept, after=NEW, until=chain_of(5)[1]).ok == (left == {1, 2, 3, 4, 5})


@given(where=st.integers(0, 5), what=st.sampled_from([*LINES, b"\n", b"{}\n", b"not json\n"]))
def test_any_line_put_in_is_found(where: int, what: bytes) -> None:
    assert not verify([*LINES[:where], what, *LINES[where:]]).ok


@pytest.mark.parametrize("edit", [(b"SHA-256", b"SHA-512"), (b'_id":3', b'_id":3.0'), (b'_id":3', b'_id":3,"note":1')])
def test_what_the_fingerprint_says_of_itself_is_held_too(edit: tuple[bytes, bytes]) -> None:
    assert head_of(LINES[0].replace(*edit)) is None


def test_sequences_count_from_one() -> None:
    assert sequences(LINES) == [1, 2, 3, 4, 5]
