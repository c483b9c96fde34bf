"""A routes file as SSM can hold it: plain, or compressed in one parameter or several. No AWS here, only the format.

The main parameter holds the YAML itself, or two lines (`FIRST_LINE` and a JSON object) and, where the table fits in
one parameter when it is compressed, a third with the table. Else the table stands in the parts, cut in order.
Compressed is bzip2 in Ascii85: of what Python has, it needs the fewest parts (docs/reload.md has the figures), and
Ascii85 has no braces, which SSM refuses when two of them meet.
"""

from __future__ import annotations

import base64
import bz2
import hashlib
import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

STANDARD_BYTES, ADVANCED_BYTES = 4_096, 8_192
"""The largest value of a parameter, by tier."""
MAX_PARTS = 1_000
MAX_BYTES = 64_000_000
"""The largest table, not compressed; what claims to be more is refused before it is unpacked."""
_MARK = "#hms-svc manifest"
FIRST_LINE = f"{_MARK} 1"
_CODING = "bzip2+ascii85"
_GENERATION = re.compile(r"[0-9a-f]{16}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_LINES = 3


class PackInvalid(Exception):  # noqa: N818  (named for what it means)
    """A table that cannot be packed, or a value that cannot be unpacked; the message is one clause that says why."""


class Manifest(NamedTuple):
    """What the main parameter says of a packed table."""

    generation: str
    """16 hexadecimal digits: below which name the parts stand; empty when there are none."""
    parts: int
    sha256: str
    """Of the whole table, not compressed."""
    bytes: int
    """Of the whole table, not compressed."""


class Packed(NamedTuple):
    """The values to store."""

    main: str
    parts: tuple[str, ...] = ()


def pack(data: bytes, *, generation: str, limit: int = STANDARD_BYTES) -> Packed:
    """``data`` in values of at most ``limit`` bytes each: as it is if that fits. Raises `PackInvalid`."""
    if len(data) > MAX_BYTES:
        raise PackInvalid(f"it has {len(data):,} bytes; {MAX_BYTES:,} is the most")
    if len(data) <= limit and _can_stand_plain(data):
        return Packed(data.decode())
    text = base64.a85encode(bz2.compress(data)).decode("ascii")
    sha256 = hashlib.sha256(data).hexdigest()
    whole = f"{_head(Manifest('', 0, sha256, len(data)))}\n{text}"
    if len(whole) <= limit:
        return Packed(whole)
    parts = tuple(text[start : start + limit] for start in range(0, len(text), limit))
    if len(parts) > MAX_PARTS:
        raise PackInvalid(f"it would need {len(parts):,} parameters; {MAX_PARTS:,} is the most")
    return Packed(_head(Manifest(generation, len(parts), sha256, len(data))), parts)


def manifest(main: str) -> Manifest | None:
    """What the main parameter's value says of a packed table; None: it is the table. Raises `PackInvalid`."""
    if not main.startswith(_MARK):
        return None
    first, _, rest = main.partition("\n")
    if first != FIRST_LINE:
        raise PackInvalid(f"its first line is not {FIRST_LINE!r}: it was written by another version of hms-svc")
    try:
        document = json.loads(rest.partition("\n")[0])
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict) or document.pop("coding", None) != _CODING:
        raise PackInvalid("its manifest cannot be understood")
    try:
        return _checked(**document)
    except TypeError:
        raise PackInvalid("its manifest does not have the members of one") from None


def unpack(main: str, parts: Sequence[str] = ()) -> bytes:
    """The table in a main parameter's value and the parts that its manifest counts. Raises `PackInvalid`."""
    found = manifest(main)
    if found is None:
        return main.encode()
    if len(parts) != found.parts:
        raise PackInvalid(f"it has {len(parts)} parts where its manifest says {found.parts}")
    lines = main.split("\n", _LINES - 1)
    text = "".join(parts) if found.parts else lines[-1] if len(lines) == _LINES else ""
    try:
        # Stops one byte after what the manifest promised, so nothing small unpacks to something huge.
        unpacking = bz2.BZ2Decompressor()
        data = unpacking.decompress(base64.a85decode(text), max_length=found.bytes + 1)
    except (ValueError, OSError, EOFError):
        raise PackInvalid("what it holds cannot be decompressed") from None
    if len(data) != found.bytes or hashlib.sha256(data).hexdigest() != found.sha256:
        raise PackInvalid("what it holds is not what its manifest says (SHA-256)")
    return data


def _can_stand_plain(data: bytes) -> bool:
    """SSM takes it as a value, and a reader will not take it for a manifest."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return False
    return bool(text) and "{{" not in text and "\0" not in text and not text.startswith(_MARK)


def _head(of: Manifest) -> str:
    return f"{FIRST_LINE}\n{json.dumps({**of._asdict(), 'coding': _CODING}, separators=(',', ':'))}"


def _checked(*, generation: Any, parts: Any, sha256: Any, bytes: Any) -> Manifest:  # noqa: A002  (the member's name)
    good = (
        all(type(number) is int and number >= 0 for number in (parts, bytes))
        and isinstance(sha256, str)
        and _SHA256.fullmatch(sha256)
        and isinstance(generation, str)
        and (_GENERATION.fullmatch(generation) if parts else not generation)
    )
    if not good:
        raise PackInvalid("its manifest has a member of the wrong kind")
    if bytes > MAX_BYTES or parts > MAX_PARTS:
        raise PackInvalid(f"its manifest is beyond the bounds of {MAX_BYTES:,} bytes and {MAX_PARTS:,} parts")
    return Manifest(generation, parts, sha256, bytes)
