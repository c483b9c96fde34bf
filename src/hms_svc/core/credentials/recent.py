"""What was found of tokens a moment ago, bounded in number and in room: the least recently used give way."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, Protocol, TypeVar

MAX_ENTRIES = 4096
MAX_CHARACTERS = 4_000_000
"""Of all that is known; what is kept of a token is some ten times its text."""


class Sized(Protocol):
    """What can be kept."""

    @property
    def characters(self) -> int:
        """How much room it takes."""
        ...


Entry = TypeVar("Entry", bound=Sized)


class Recent(Generic[Entry]):
    """Entries by the SHA-256 of the token's text; never the token itself."""

    def __init__(self, max_entries: int = MAX_ENTRIES, max_characters: int = MAX_CHARACTERS) -> None:
        self._entries: OrderedDict[str, Entry] = OrderedDict()
        self._max = max_entries
        self._max_characters = max_characters
        self._characters = 0

    def __len__(self) -> int:
        return len(self._entries)

    def peek(self, sha256: str) -> Entry | None:
        """The entry, which does not count as a use."""
        return self._entries.get(sha256)

    def used(self, sha256: str) -> None:
        """Put the entry last in the order in which they go."""
        self._entries.move_to_end(sha256)

    def put(self, sha256: str, entry: Entry) -> None:
        """Keep ``entry``; those that were not used for longest give way when there are too many."""
        self.drop(sha256)
        self._entries[sha256] = entry
        self._characters += entry.characters
        while len(self._entries) > self._max or self._characters > self._max_characters:
            _, oldest = self._entries.popitem(last=False)
            self._characters -= oldest.characters

    def drop(self, sha256: str) -> None:
        """Forget the entry, if there is one."""
        entry = self._entries.pop(sha256, None)
        if entry is not None:
            self._characters -= entry.characters
