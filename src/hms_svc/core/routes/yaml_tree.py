"""YAML text → a tree of nodes that know where they stand. The only file that imports yaml.

Bounded in bytes, depth and nodes, aliases counted as what they stand for. What YAML 1.1 and YAML 1.2 read differently
(``NO``, ``010``, ``1:30``) is not guessed at: it becomes a node that says so to whoever wants its value.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from hms_svc.core.routes.yaml_scalars import plain_scalar

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_BYTES = 8 * 1024 * 1024
MAX_DEPTH = 32
MAX_NODES = 2_000_000


class YamlInvalid(Exception):  # noqa: N818  (named for what it means)
    """Text of which no tree can be made; positions count from 1."""

    def __init__(self, line: int, column: int, message: str) -> None:
        super().__init__(message)
        self.line = line
        self.column = column
        self.message = message


@dataclass(frozen=True, slots=True)
class Scalar:
    """A single value."""

    value: str | int | float | bool | None
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Something that is there, but whose value is in doubt; ``message`` says why."""

    message: str
    text: str
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list."""

    items: tuple[Node, ...]
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Mapping:
    """Keys and values; the keys are text, each there once."""

    entries: dict[str, Entry]
    faults: tuple[KeyFault, ...]
    """What was wrong with keys; their values are left out."""
    line: int
    column: int


class Entry(NamedTuple):
    """The value of a key, and where the key stands."""

    node: Node
    line: int
    column: int


class KeyFault(NamedTuple):
    """A key that cannot be used."""

    key: str
    message: str
    line: int
    column: int


Node = Scalar | Unreadable | Sequence | Mapping


def parse(data: bytes, *, with_libyaml: bool = True) -> Node | None:
    """The tree of ``data``, None if it holds no document. Raises `YamlInvalid`.

    ``with_libyaml=False`` takes PyYAML's own parser even where the one in C is installed.
    """
    import yaml  # here, so that whoever reads no routes does not pay for it

    text = _decode(data)
    fast = getattr(yaml, "CSafeLoader", None) if with_libyaml else None
    loader = (fast or yaml.SafeLoader)(text)
    builder = _Builder()
    steps: dict[type, Callable[[Any], None]] = {
        yaml.ScalarEvent: builder.scalar,
        yaml.AliasEvent: builder.alias,
        yaml.MappingStartEvent: builder.open_mapping,
        yaml.SequenceStartEvent: builder.open_sequence,
        yaml.MappingEndEvent: builder.close,
        yaml.SequenceEndEvent: builder.close,
        yaml.DocumentStartEvent: builder.document,
    }
    try:
        while not isinstance(event := loader.get_event(), yaml.StreamEndEvent):
            step = steps.get(type(event))
            if step is not None:
                step(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line, mark.column) if mark else (0, 0)
        raise YamlInvalid(line + 1, column + 1, _syntax(error, text, line, column)) from None
    finally:
        loader.dispose()
    return builder.root


def plain(node: Node) -> Any:
    """The value of a tree as Python has it; None for what is unreadable."""
    match node:
        case Scalar(value=value):
            return value
        case Sequence(items=items):
            return [plain(item) for item in items]
        case Mapping(entries=entries):
            return {key: plain(entry.node) for key, entry in entries.items()}
        case _:
            return None


@dataclass(slots=True, eq=False)
class _Open:
    """A list or mapping whose end has not come yet."""

    line: int
    column: int
    anchor: str | None
    tag: str | None
    nodes_before: int
    items: list[Node] = field(default_factory=list)
    entries: dict[str, Entry] | None = None
    """None: a list."""
    faults: list[KeyFault] = field(default_factory=list)
    key: Node | None = None
    """A mapping's key whose value has not come yet."""
    height: int = 1

    def take(self, node: Node) -> None:
        if self.entries is None:
            self.items.append(node)
        elif self.key is None:
            self.key = node
        else:
            key, self.key = self.key, None
            self._enter(self.entries, key, node)

    def _enter(self, entries: dict[str, Entry], key: Node, node: Node) -> None:
        name, message = "", ""
        if isinstance(key, Unreadable):
            name, message = key.text, key.message
        elif not isinstance(key, Scalar):
            message = "a key must be text"
        elif not isinstance(key.value, str):
            name = "null" if key.value is None else str(key.value).lower()
            message = "a key must be text; put it in quotes"
        elif key.value == "<<":
            name, message = key.value, "merge keys are not supported; write the keys out"
        elif key.value in entries:
            name, first = key.value, entries[key.value]
            message = f"is there twice; the first is in line {first.line}, column {first.column}"
        else:
            entries[key.value] = Entry(node, key.line, key.column)
            return
        self.faults.append(KeyFault(name, message, key.line, key.column))

    def node(self) -> Node:
        if self.tag not in {None, "!", _STANDARD + ("seq" if self.entries is None else "map")}:
            return Unreadable(_unknown_tag(self.tag), "", self.line, self.column)
        if self.entries is None:
            return Sequence(tuple(self.items), self.line, self.column)
        return Mapping(self.entries, tuple(self.faults), self.line, self.column)


class _Anchored(NamedTuple):
    node: Node
    nodes: int
    height: int


class _Builder:
    """Takes the parser's events one after the other; no recursion, so that depth costs no stack."""

    def __init__(self) -> None:
        self.root: Node | None = None
        self._documents = 0
        self._nodes = 0
        self._stack: list[_Open] = []
        self._anchors: dict[str, _Anchored] = {}

    def document(self, event: Any) -> None:
        self._documents += 1
        if self._documents > 1:
            raise YamlInvalid(*_at(event), "a second document begins here; a routes file is one document")

    def scalar(self, event: Any) -> None:
        line, column = _at(event)
        node = _scalar(event.value, event.tag, line, column, is_plain=event.implicit[0] and not event.style)
        if event.anchor is not None:
            self._anchors[event.anchor] = _Anchored(node, 1, 0)
        self._attach(node, 1, 0, (line, column))

    def alias(self, event: Any) -> None:
        line, column = _at(event)
        anchored = self._anchors.get(event.anchor)
        if any(opened.anchor == event.anchor for opened in self._stack):
            message = "an alias stands inside what it names; write the value out"
        elif anchored is None:
            message = "an alias names an anchor that is not there"
        else:
            if len(self._stack) + anchored.height > MAX_DEPTH:
                raise YamlInvalid(line, column, _TOO_DEEP)
            self._attach(anchored.node, anchored.nodes, anchored.height, (line, column))
            return
        self._attach(Unreadable(message, f"*{event.anchor}", line, column), 1, 0, (line, column))

    def open_sequence(self, event: Any) -> None:
        self._open(event, None)

    def open_mapping(self, event: Any) -> None:
        self._open(event, {})

    def _open(self, event: Any, entries: dict[str, Entry] | None) -> None:
        line, column = _at(event)
        if len(self._stack) == MAX_DEPTH:
            raise YamlInvalid(line, column, _TOO_DEEP)
        self._stack.append(_Open(line, column, event.anchor, event.tag, self._nodes, entries=entries))

    def close(self, event: Any) -> None:
        del event
        opened = self._stack.pop()
        node = opened.node()
        if opened.anchor is not None:
            self._anchors[opened.anchor] = _Anchored(node, self._nodes + 1 - opened.nodes_before, opened.height)
        self._attach(node, 1, opened.height, (opened.line, opened.column))

    def _attach(self, node: Node, nodes: int, height: int, at: tuple[int, int]) -> None:
        self._nodes += nodes
        if self._nodes > MAX_NODES:
            raise YamlInvalid(*at, f"the file has over {MAX_NODES:,} values, aliases counted in full")
        if not self._stack:
            self.root = node
            return
        parent = self._stack[-1]
        parent.height = max(parent.height, height + 1)
        parent.take(node)


_TOO_DEEP = f"lists and mappings are nested over {MAX_DEPTH} deep"
_STANDARD = "tag:yaml.org,2002:"
_KINDS: dict[str, type | tuple[type, ...]] = {"int": int, "bool": bool, "null": type(None), "float": (int, float)}


def _scalar(text: str, tag: str | None, line: int, column: int, *, is_plain: bool) -> Node:
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        return Unreadable("half a surrogate pair is no character", "", line, column)
    if is_plain or tag not in {None, "!", _STANDARD + "str"}:
        value, doubt = plain_scalar(text)
    else:
        value, doubt = text, ""
    if tag not in {None, "!", _STANDARD + "str"}:
        kind = _KINDS.get(str(tag).removeprefix(_STANDARD)) if str(tag).startswith(_STANDARD) else None
        if kind is None or not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            doubt = doubt or _unknown_tag(tag)
    return Unreadable(doubt, text, line, column) if doubt else Scalar(value, line, column)


def _at(event: Any) -> tuple[int, int]:
    mark = event.start_mark
    return mark.line + 1, mark.column + 1


def _unknown_tag(tag: str | None) -> str:
    return f"the tag {str(tag)[:80]!r} is not supported here; write the plain value"


def _syntax(error: Any, text: str, line: int, column: int) -> str:
    found = text.split("\n", line + 1)[line][column : column + 1] if line < text.count("\n") + 1 else ""
    if found == "\t":
        return "a tab cannot indent YAML; use spaces"
    if "maximum nesting depth" in str(error.problem):  # libyaml's own bound: it reads ahead of what is counted here
        return _TOO_DEEP
    parts = [str(part) for part in (error.problem, error.context) if part]
    return ("not YAML: " + ", ".join(parts))[:300]


_BYTE_ORDER_MARK = "\ufeff"
_NOT_TEXT = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")


def _decode(data: bytes) -> str:
    if len(data) > MAX_BYTES:
        raise YamlInvalid(1, 1, f"the file is over {MAX_BYTES // (1024 * 1024)} MiB")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise YamlInvalid(1, 1, "the file is UTF-16; save it as UTF-8")
    try:
        text = data.decode("utf-8").removeprefix(_BYTE_ORDER_MARK)
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8")
        raise YamlInvalid(*_end_of(before), f"the byte 0x{data[error.start]:02x} is not UTF-8") from None
    wrong = _NOT_TEXT.search(text)
    if wrong:
        code = ord(wrong.group())
        raise YamlInvalid(*_end_of(text[: wrong.start()]), f"the character U+{code:04X} cannot stand in YAML")
    return text


def _end_of(text: str) -> tuple[int, int]:
    """The position right after ``text``."""
    return text.count("\n") + 1, len(text) - (text.rfind("\n") + 1) + 1
