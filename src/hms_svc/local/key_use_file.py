"""When the keys of a key file were last used: a file of its own beside it, written by the gateways that take the keys.

So a use never touches the keys themselves, and the command line, which changes those, never waits for a gateway.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hms_svc.core.credentials.claims import MAX_MOMENT
from hms_svc.core.credentials.strict_json import parse_object
from hms_svc.core.ports import StoreUnavailable
from hms_svc.local.whole_file import locked, replace_whole, target_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

VERSION = 1
MAX_BYTES = 4_000_000
_REMEDY = "remove the file, and uses are noted anew"


class KeyUseFile:
    """The last uses by key id, in seconds since 1970, in one file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> dict[str, int]:
        """Every use that was noted. Raises `StoreUnavailable` when the file cannot be understood."""
        try:
            with self._path.open("rb") as file:
                text = file.read(MAX_BYTES + 1)
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise StoreUnavailable(f"the uses of keys in {self._path} cannot be read: {error.strerror}") from error
        try:
            return _uses(text)
        except ValueError as error:
            raise StoreUnavailable(
                f"the uses of keys in {self._path} cannot be understood: {error}; {_REMEDY}"
            ) from None

    def note(self, uses: Mapping[str, int]) -> None:
        """Keep last uses by key id, each unless a later one is kept. Raises `StoreUnavailable`."""
        path = target_of(self._path)
        try:
            with locked(path):
                kept = self.read()
                later = {key_id: moment_s for key_id, moment_s in uses.items() if kept.get(key_id, -1) < moment_s}
                if later:
                    self._write(path, {**kept, **later})
        except OSError as error:
            raise StoreUnavailable(f"the uses of keys in {self._path} cannot be written: {error.strerror}") from error

    def _write(self, path: Path, uses: Mapping[str, int]) -> None:
        text = json.dumps({"version": VERSION, "last_used_s": uses}, indent=1).encode() + b"\n"
        if len(text) > MAX_BYTES:
            raise StoreUnavailable(
                f"the uses of keys in {self._path} would be larger than {MAX_BYTES} bytes; {_REMEDY}"
            )
        replace_whole(path, text)


def _uses(text: bytes) -> dict[str, int]:
    if len(text) > MAX_BYTES:
        raise ValueError(f"it is larger than {MAX_BYTES} bytes")
    document: dict[str, Any] = parse_object(text)
    uses = document.get("last_used_s")
    if document.get("version") != VERSION or not isinstance(uses, dict):
        raise ValueError(f"it is not of version {VERSION}")
    if not all(type(moment) is int and 0 <= moment <= MAX_MOMENT for moment in uses.values()):
        raise ValueError("it has a use that is no moment")
    return uses
