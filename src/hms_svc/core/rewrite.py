"""Changes a route makes to what passes: header lines and paths. Pure text in, text out."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hms_svc.core.config import HeaderEdits


def edit(lines: Iterable[tuple[str, str]], edits: HeaderEdits) -> list[tuple[str, str]]:
    """``lines`` with ``edits`` done in the order remove, set, add; ``set`` replaces every line of that name."""
    replaced = {name.lower() for name in edits.remove} | {name.lower() for name, _ in edits.set}
    kept = [line for line in lines if line[0].lower() not in replaced]
    return [*kept, *edits.set, *edits.add]


def literal_prefix(pattern: str) -> str:
    """The part of a route's path before its first ``{name}`` or ``*``, without a slash at its end."""
    literal: list[str] = []
    for segment in pattern.split("/")[1:]:
        if segment == "*" or segment.startswith("{"):
            break
        literal.append("/" + segment)
    return "".join(literal)


def forwarded_path(path: str, pattern: str, replacement: str) -> str:
    """``path`` with the literal prefix of the route's ``pattern`` replaced.

    ``/secure/claims/7`` under ``/secure/claims/*`` and a target ``http://claims/v1`` goes on as ``/v1/7``. Segments
    are counted, not compared as text, since ``path`` may spell the same segment with other escapes.
    """
    depth = literal_prefix(pattern).count("/")
    rest = path.split("/")[1 + depth :]
    return "/".join([replacement.rstrip("/"), *rest]) or "/"
