"""Reading a tree of YAML nodes value by value, so that one wrong value never hides another.

A reader takes a `Place` and returns what stands there, or raises `Wrong`. Whatever holds several values (a mapping, a
list) catches that, notes the problem and goes on with the next; the value in its place does not matter any more, for a
file with a problem never loads.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from hms_svc.core.routes.problems import Problem, describe, shown
from hms_svc.core.routes.yaml_tree import Mapping, Scalar, Sequence, Unreadable, plain

if TYPE_CHECKING:
    import collections.abc
    import re
    from collections.abc import Callable

    from hms_svc.core.routes.problems import Findings
    from hms_svc.core.routes.yaml_tree import Entry, Node

    Readers = collections.abc.Mapping[str, Callable[["Place"], Any]]

NEAR = 0.65
"""How alike two words are, from 0 to 1, for one to be taken for the other misspelt."""
_FEW = 8

T = TypeVar("T")
K = TypeVar("K")
U = TypeVar("U")


class Wrong(Exception):  # noqa: N818  (named for what it means)
    """A value that cannot be used; the message says what was found and what is allowed."""


@dataclass(frozen=True, slots=True)
class Place:
    """A node, and how to name it in a problem."""

    node: Node
    key: str
    line: int
    column: int
    """Of the key, where the node is a mapping's value; else of the node itself."""
    found: Findings

    @property
    def position(self) -> str:
        """``routes.yml:12:3``."""
        return f"{self.found.source}:{self.line}:{self.column}"

    def problem(self, message: str) -> Problem:
        """Something to say of this place."""
        return Problem(self.found.source, self.line, self.column, self.key, message)

    def report(self, message: str) -> None:
        """Note a problem of this place."""
        self.found.add(self.line, self.column, self.key, message)

    def read(self, reader: Callable[[Place], T], default: U) -> T | U:
        """What ``reader`` finds here; ``default`` when it is wrong, which is noted."""
        try:
            return reader(self)
        except Wrong as wrong:
            self.report(str(wrong))
            return default

    def expected(self, what: str) -> Wrong:
        """The exception for a value that is not ``what``."""
        return Wrong(f"found {describe(self.node)}, expected {what}")

    def value(self) -> str | int | float | bool | None:
        """A single value; None for a list or mapping. Raises `Wrong` for what cannot be read."""
        if isinstance(self.node, Unreadable):
            raise Wrong(self.node.message)
        return self.node.value if isinstance(self.node, Scalar) else None

    def text(self, what: str = "text") -> str:
        """Text."""
        value = self.value()
        if not isinstance(value, str):
            raise self.expected("text; put it in quotes" if what == "text" and value is not None else what)
        return value

    def matching(self, pattern: re.Pattern[str], what: str) -> re.Match[str]:
        """Text that ``pattern`` matches as a whole; ``what`` describes it."""
        match = pattern.fullmatch(self.text(what))
        if match is None:
            raise self.expected(what)
        return match

    def one_of(self, allowed: tuple[str, ...]) -> str:
        """One of the words ``allowed``."""
        what = " or ".join(allowed) if len(allowed) < 3 else "one of " + ", ".join(allowed)  # noqa: PLR2004  (a pair)
        text = self.text(what)
        if text not in allowed:
            near = difflib.get_close_matches(text[:80], allowed, n=1, cutoff=NEAR)
            raise self.expected(what + (f"; did you mean {near[0]}?" if near else ""))
        return text

    def integer(self, low: int, high: int, what: str = "a whole number") -> int:
        """A whole number from ``low`` to ``high``; like JSON Schema, 3.0 is one."""
        number = self.number(low, high, what)
        if number != int(number):
            raise self.expected(f"{what} from {low} to {high}")
        return int(number)

    def number(self, low: float, high: float, what: str = "a number") -> float:
        """A number from ``low`` to ``high``."""
        value = self.value()
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise self.expected(f"{what} from {low} to {high}")
        return value

    def boolean(self) -> bool:
        """True or false."""
        value = self.value()
        if not isinstance(value, bool):
            raise self.expected("true or false")
        return value

    def holds(self, value: object) -> bool:
        """Whether exactly this single value stands here."""
        return isinstance(self.node, Scalar) and self.node.value == value

    def is_list(self) -> bool:
        """Whether a list stands here."""
        return isinstance(self.node, Sequence)

    def is_mapping(self) -> bool:
        """Whether a mapping stands here."""
        return isinstance(self.node, Mapping)

    def has(self, key: str) -> bool:
        """Whether a mapping with this key stands here."""
        return isinstance(self.node, Mapping) and key in self.node.entries

    def each(self) -> tuple[Place, ...]:
        """The places of a list's items; none if this is no list."""
        items = self.node.items if isinstance(self.node, Sequence) else ()
        return tuple(
            Place(node, f"{self.key}[{index}]", node.line, node.column, self.found) for index, node in enumerate(items)
        )

    def items(self, reader: Callable[[Place], T], *, unique: bool = True) -> tuple[T, ...]:
        """What ``reader`` finds in each item of a list that is not empty; the wrong ones are noted and left out."""
        if isinstance(self.node, Unreadable):
            raise Wrong(self.node.message)
        if not isinstance(self.node, Sequence):
            remedy = f": [{self.node.value}]" if isinstance(self.node, Scalar) and _is_short(self.node.value) else ""
            raise self.expected(f"a list{remedy}")
        if not self.node.items:
            raise Wrong("the list is empty; name at least one, or leave the key out")
        values: list[T] = []
        seen: set[Any] = set()
        for place in self.each():
            try:
                value = reader(place)
            except Wrong as wrong:
                place.report(str(wrong))
                continue
            if unique and value in seen:
                place.report(f"{describe(place.node)} is there twice")
            elif unique:
                seen.add(value)
            values.append(value)
        return tuple(values)

    def one_or_more(self, reader: Callable[[Place], T], *, unique: bool = True) -> tuple[T, ...]:
        """A list, or the one value that stands alone."""
        return self.items(reader, unique=unique) if self.is_list() else (reader(self),)

    def fields(self, allowed: tuple[str, ...], what: str) -> Fields:
        """A mapping with known keys. Unknown ones are noted; ``what`` says whose keys these are."""
        keys = f" of {', '.join(allowed)}" if len(allowed) <= _FEW else ""
        mapping = self._mapping(f"{what}, which is a mapping{keys}")
        meant = {fault.key for fault in mapping.faults}
        for key, entry in mapping.entries.items():
            if key not in allowed:
                near = difflib.get_close_matches(key[:80], allowed, n=1, cutoff=NEAR)
                hint = f"did you mean {near[0]}?" if near else f"{what} has {', '.join(allowed)}"
                self._below(key, entry).report(f"unknown key; {hint}")
                meant.update(near)
        return Fields(self, mapping.entries, frozenset(meant))

    def below(self, key: str) -> Place:
        """The place of a key that is there."""
        if not isinstance(self.node, Mapping):
            raise self.expected(f"a mapping with {key}")
        return self._below(key, self.node.entries[key])

    def pairs(self, key_reader: Callable[[str], K], reader: Callable[[Place], T], what: str) -> tuple[tuple[K, T], ...]:
        """A mapping whose keys are names: each with what ``reader`` finds; the wrong ones are noted and left out."""
        mapping = self._mapping(what)
        if not mapping.entries and not mapping.faults:
            raise Wrong(f"found an empty mapping, expected {what}")
        read: list[tuple[K, T]] = []
        for key, entry in mapping.entries.items():
            place = self._below(key, entry)
            try:
                read.append((key_reader(key), reader(place)))
            except Wrong as wrong:
                place.report(str(wrong))
        return tuple(read)

    def plain(self) -> Any:
        """Any value, as Python has it. What is unreadable in it is noted."""
        self._report_doubts(self.node, self.key, (self.line, self.column))
        return plain(self.node)

    def _report_doubts(self, node: Node, key: str, at: tuple[int, int]) -> None:
        match node:
            case Unreadable(message=message):
                self.found.add(*at, key, message)
            case Sequence(items=items):
                for index, item in enumerate(items):
                    self._report_doubts(item, f"{key}[{index}]", (item.line, item.column))
            case Mapping(entries=entries):
                self._report_faults(node, key)
                for name, entry in entries.items():
                    self._report_doubts(entry.node, _joined(key, name), (entry.line, entry.column))
            case _:
                pass

    def _report_faults(self, mapping: Mapping, key: str) -> None:
        for fault in mapping.faults:
            self.found.add(fault.line, fault.column, _joined(key, fault.key), fault.message)

    def _mapping(self, what: str) -> Mapping:
        if isinstance(self.node, Unreadable):
            raise Wrong(self.node.message)
        if not isinstance(self.node, Mapping):
            raise self.expected(what)
        self._report_faults(self.node, self.key)
        return self.node

    def _below(self, key: str, entry: Entry) -> Place:
        return Place(entry.node, _joined(self.key, key), entry.line, entry.column, self.found)


@dataclass(frozen=True, slots=True)
class Fields:
    """A mapping with known keys, being read."""

    place: Place
    _entries: dict[str, Entry]
    _meant: frozenset[str]
    """Keys that were written wrongly, and keys that wrong ones look like: noted already, not missing."""

    @property
    def is_sound(self) -> bool:
        """Whether every key that is there is known and there once."""
        return not self._meant

    def __contains__(self, key: str) -> bool:
        return key in self._entries

    def at(self, key: str) -> Place:
        """The place of a key that is there."""
        return self.place.below(key)

    def get(self, key: str, reader: Callable[[Place], T], default: U) -> T | U:
        """What ``reader`` finds at ``key``; ``default`` when the key is not there, or its value is wrong."""
        return self.at(key).read(reader, default) if key in self else default

    def given(self, readers: Readers) -> dict[str, Any]:
        """By key, what its reader finds, for the keys that are there and right: the rest is for a default to fill."""
        values: dict[str, Any] = {}
        for key, reader in readers.items():
            if key in self:
                place = self.at(key)
                try:
                    values[key] = reader(place)
                except Wrong as wrong:
                    place.report(str(wrong))
        return values

    def need(self, key: str, reader: Callable[[Place], T], default: U, why: str) -> T | U:
        """As `get`, but a key that is not there is a problem; ``why`` tells what belongs there."""
        if key not in self and self._meant.isdisjoint((key, "<<")):
            place = self.place
            place.found.add(place.line, place.column, _joined(place.key, key), f"is missing; {why}")
        return self.get(key, reader, default)


def _is_short(value: object) -> bool:
    """Whether a value may be repeated in a remedy."""
    return isinstance(value, str) and 0 < len(value) <= 40 and value.isprintable()  # noqa: PLR2004  (half a line)


def _joined(key: str, name: str) -> str:
    name = name if name.isprintable() and len(name) <= 80 else shown(name)  # noqa: PLR2004  (one line of a terminal)
    return f"{key}.{name}" if key else name
