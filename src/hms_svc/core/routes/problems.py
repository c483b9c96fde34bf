"""What is wrong with a routes file, where, and how much of it is told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hms_svc.core.routes.yaml_tree import Mapping, Scalar, Sequence, Unreadable

if TYPE_CHECKING:
    from hms_svc.core.routes.yaml_tree import Node

MAX_PROBLEMS = 1_000
"""Problems listed of one file; more are counted."""


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing that is wrong. Sorts by position."""

    source: str
    line: int
    """From 1."""
    column: int
    """From 1, in characters."""
    key: str
    """``routes[1].rate_limit``; empty for the file as a whole."""
    message: str

    def __str__(self) -> str:
        """``routes.yml:12:3 routes[1].rate_limit: …``."""
        place = f"{self.source}:{self.line}:{self.column}"
        return f"{place} {self.key}: {self.message}" if self.key else f"{place}: {self.message}"

    def as_dict(self) -> dict[str, str | int]:
        """As JSON shows it."""
        return {
            "source": self.source,
            "line": self.line,
            "column": self.column,
            "key": self.key,
            "message": self.message,
        }


class RoutesInvalid(Exception):  # noqa: N818  (named for what it means)
    """A routes file that does not load, with every problem in it, sorted by position."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


@dataclass(slots=True, eq=False)
class Findings:
    """The problems of one file as they are found."""

    source: str
    listed: list[Problem] = field(default_factory=list)
    count: int = 0

    def add(self, line: int, column: int, key: str, message: str) -> None:
        """Note a problem."""
        self.count += 1
        if len(self.listed) < MAX_PROBLEMS:
            self.listed.append(Problem(self.source, line, column, key, message))

    def invalid(self) -> RoutesInvalid:
        """The exception that tells them all."""
        problems = sorted(set(self.listed))
        more = self.count - len(self.listed)
        if more:
            last = problems[-1]
            problems.append(Problem(self.source, last.line, last.column, "", f"{more} more problems are not listed"))
        return RoutesInvalid(tuple(problems))


def shown(text: str) -> str:
    """Text of the file as a message may echo it: escaped, at most 80 characters of it."""
    return repr(text) if len(text) <= 80 else repr(text[:80]) + "…"  # noqa: PLR2004  (one line of a terminal)


def describe(node: Node) -> str:
    """What stands at a node, for a message."""
    match node:
        case Sequence():
            return "a list"
        case Mapping():
            return "a mapping"
        case Unreadable(text=text):
            return shown(text)
        case Scalar(value=str(text)):
            return shown(text)
        case Scalar(value=None | True | False as word):
            return {None: "nothing", True: "true", False: "false"}[word]
        case Scalar(value=number):
            return f"the number {number}"
