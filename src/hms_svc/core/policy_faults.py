"""What a plug-in's exception says, on one line of bounded length, whatever the exception may do."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

LONGEST = 500
"""Characters of text that is taken from a plug-in; the rest is cut off."""


def described(error: BaseException) -> str:
    """Type and message."""
    name = type(error).__name__
    try:
        message = str(error.msg if isinstance(error, SyntaxError) else error)
    except Exception:  # noqa: BLE001  (a plug-in's exception may fail to say what it is)
        message = ""
    return " ".join(f"{name}: {message}"[:LONGEST].split()).removesuffix(":")


def place(error: BaseException, folder: str) -> str:
    """Where below ``folder`` it was raised, innermost: ``pkg/module.py:12``. Empty when it was elsewhere."""
    if isinstance(error, SyntaxError) and error.filename:
        return _below(error.filename, folder, error.lineno)
    found = ""
    traceback: TracebackType | None = error.__traceback__
    while traceback is not None:
        found = _below(traceback.tb_frame.f_code.co_filename, folder, traceback.tb_lineno) or found
        traceback = traceback.tb_next
    return found


def _below(file: str, folder: str, line: int | None) -> str:
    path = PurePath(file)
    return f"{path.relative_to(folder)}:{line}" if folder and path.is_relative_to(folder) else ""
