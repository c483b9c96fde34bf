"""Secrets that routes.yml names and does not hold: ``file:PATH`` here, ``ssm:/NAME`` by whoever is given for it.

A secret is in no message, and the objects that hold one do not show it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from hms_svc.core.ports import StoreUnavailable

MAX_BYTES = 4_096


class SecretSource(Protocol):
    """Where secrets come from."""

    async def read(self, reference: str, *, again: bool = False) -> str:
        """The secret that ``reference`` names.

        ``again`` says that the one returned before is not good: the source may look anew, at a rate it bounds itself.
        Raises `StoreUnavailable`, whose message names the place and nothing else.
        """
        ...


class Secrets:
    """A `SecretSource`. A file is read whenever its secret is asked for, so a change counts at once."""

    def __init__(self, ssm: SecretSource) -> None:
        """``ssm`` reads the parameter whose name it is given."""
        self._ssm = ssm

    async def read(self, reference: str, *, again: bool = False) -> str:
        """The secret. Raises `StoreUnavailable`."""
        kind, _, place = reference.partition(":")
        if kind == "ssm":
            return await self._ssm.read(place, again=again)
        return _of_file(Path(place))


def usable(text: str, place: str) -> str:
    """``text`` without a line break at its end, if it can be a secret. Raises `StoreUnavailable`, naming ``place``."""
    text = text.removesuffix("\n").removesuffix("\r")
    if not text or not text.isprintable():
        raise StoreUnavailable(f"the secret {place} is empty, or not one line of text")
    return text


def _of_file(path: Path) -> str:
    """The secret in a file."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "that is no path"
        raise StoreUnavailable(f"the secret file {path} cannot be read: {why}") from None
    if len(content) > MAX_BYTES:
        raise StoreUnavailable(f"the secret file {path} is larger than {MAX_BYTES} bytes")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        raise StoreUnavailable(f"the secret file {path} is not UTF-8 text") from None
    return usable(text, f"file {path}")
