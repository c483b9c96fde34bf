"""API keys in a JSON file: the `KeyStore` of one machine, and what ``hms-svc keys`` does to it.

The file holds hashes, no keys. It is replaced whole (written beside, brought to disk, renamed) by one writer at a
time, so whoever reads it sees all of a change or nothing. A missing file has no keys; one that cannot be understood
lets nobody in.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hms_svc.core.credentials.claims import MAX_MOMENT
from hms_svc.core.credentials.strict_json import parse_object
from hms_svc.core.ports import ApiKey, StoreUnavailable
from hms_svc.local.key_use_file import KeyUseFile
from hms_svc.local.whole_file import locked, replace_whole

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hms_svc.core.ports import Clock

VERSION = 1
MAX_BYTES = 4_000_000
"""Of the file; some 10,000 keys."""
LOOK_EVERY_NS = 1_000_000_000
"""How long a change may go unseen."""
_PRIVATE_FOLDER = 0o700
_SHA256 = re.compile(r"[0-9a-f]{64}")
_Signature = tuple[int, int, int]


class KeyFile:
    """The keys in one file, read again when it has changed."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._uses = KeyUseFile(path.with_name(f"{path.name}.used"))
        self._by_sha256: dict[str, ApiKey] = {}
        self._fault = ""
        self._signature: _Signature | None = None
        self._looked_ns: int | None = None

    async def find(self, sha256: str) -> ApiKey | None:
        """The key with this hash, or None. Raises `StoreUnavailable` while the file cannot be read."""
        now_ns = self._clock.monotonic_ns()
        if self._looked_ns is None or now_ns - self._looked_ns >= LOOK_EVERY_NS:
            self._looked_ns = now_ns
            self._look()
        if self._fault:
            raise StoreUnavailable(self._fault)
        return self._by_sha256.get(sha256)

    def all(self) -> list[ApiKey]:
        """Every key, in the order they were made. Raises `StoreUnavailable`."""
        uses = self._uses.read()
        return [replace(key, last_used_s=uses.get(key.id)) for key in _read(self._path)]

    def note_use(self, key: ApiKey, moment_s: int) -> None:
        """Keep the last use of a key, in a file beside. Raises `StoreUnavailable`."""
        self._uses.note(key.id, moment_s)

    def add(self, key: ApiKey) -> None:
        """Keep one more key. Raises `StoreUnavailable` if it was not kept."""
        self._change(lambda keys: [*keys, key])

    def revoke(self, key_id: str, now_s: int) -> ApiKey | None:
        """Refuse a key from now on; the key as it is then, or None when there is none with this id.

        One that was revoked before stays as it is. Raises `StoreUnavailable`.
        """
        return self._change_one(key_id, lambda key: key if key.revoked_s is not None else replace(key, revoked_s=now_s))

    def expire(self, key: ApiKey, at_s: int) -> ApiKey | None:
        """Let ``key`` expire at ``at_s`` at the latest; the key as it is then, None when it is gone.

        Raises `StoreUnavailable`.
        """

        def ending(found: ApiKey) -> ApiKey:
            return replace(found, expires_s=at_s if found.expires_s is None else min(found.expires_s, at_s))

        return self._change_one(key.id, ending)

    def _look(self) -> None:
        """Read the file if it is another than before. What is wrong with it is kept, to be said at every call."""
        try:
            stat = os.stat(self._path)  # noqa: PTH116  (a third of the time of Path.stat)
        except FileNotFoundError:
            self._by_sha256, self._fault, self._signature = {}, "", None
            return
        except OSError as error:
            self._fault, self._signature = _unreadable(self._path, error), None
            return
        signature = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
        if signature == self._signature:
            return
        try:
            self._by_sha256, self._fault = {key.sha256: key for key in _read(self._path)}, ""
        except StoreUnavailable as error:
            self._fault = str(error)
        self._signature = signature

    def _change_one(self, key_id: str, change: Callable[[ApiKey], ApiKey]) -> ApiKey | None:
        changed: list[ApiKey] = []

        def all_with_one(keys: list[ApiKey]) -> list[ApiKey]:
            after = [change(key) if key.id == key_id else key for key in keys]
            changed.extend(key for key in after if key.id == key_id)
            return after

        self._change(all_with_one)
        return changed[0] if changed else None

    def _change(self, change: Callable[[list[ApiKey]], list[ApiKey]]) -> None:
        try:
            self._path.parent.mkdir(_PRIVATE_FOLDER, parents=True, exist_ok=True)
            with locked(self._path.with_name(f"{self._path.name}.lock")):
                _write(self._path, change(_read(self._path)))
        except OSError as error:
            raise StoreUnavailable(f"the key file {self._path} cannot be written: {error.strerror}") from error


def _write(path: Path, keys: list[ApiKey]) -> None:
    text = json.dumps({"version": VERSION, "keys": [_as_json(key) for key in keys]}, indent=1, ensure_ascii=False)
    replace_whole(path, text.encode() + b"\n")


def _read(path: Path) -> list[ApiKey]:
    try:
        with path.open("rb") as file:
            text = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StoreUnavailable(_unreadable(path, error)) from error
    if len(text) > MAX_BYTES:
        raise StoreUnavailable(f"the key file {path} is larger than {MAX_BYTES} bytes")
    try:
        return _keys(parse_object(text))
    except ValueError as error:
        raise StoreUnavailable(f"the key file {path} cannot be understood: {error}") from None


def _keys(document: dict[str, Any]) -> list[ApiKey]:
    """The keys of a document. Raises `ValueError`, whose message holds nothing of them."""
    if document.get("version") != VERSION:
        raise ValueError(f"it is not of version {VERSION}")
    members = document.get("keys")
    if not isinstance(members, list):
        raise ValueError("it has no list of keys")  # noqa: TRY004  (the text is of the wrong value)
    keys = [_from_json(member, number) for number, member in enumerate(members, 1)]
    if len({key.sha256 for key in keys}) != len(keys) or len({key.id for key in keys}) != len(keys):
        raise ValueError("it has a key twice")
    return keys


def _as_json(key: ApiKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "owner": key.owner,
        "sha256": key.sha256,
        "scopes": sorted(key.scopes),
        "plan": key.plan,
        "created_s": key.created_s,
        "expires_s": key.expires_s,
        "revoked_s": key.revoked_s,
    }


def _from_json(member: Any, number: int) -> ApiKey:
    if not isinstance(member, dict) or {*member, "plan"} != set(_as_json(ApiKey("", "", ""))):
        raise ValueError(f"entry {number} does not have the members of a key")
    member = {"plan": "", **member}  # which a file of before has not
    texts = [member[name] for name in ("id", "name", "owner", "sha256", "plan")]
    scopes = member["scopes"]
    moments = [member["created_s"], *(member[name] for name in ("expires_s", "revoked_s") if member[name] is not None)]
    if (
        not all(isinstance(text, str) for text in texts)
        or not member["id"]
        or not member["owner"]
        or not _SHA256.fullmatch(member["sha256"])
        or not isinstance(scopes, list)
        or not all(isinstance(scope, str) for scope in scopes)
        or not all(type(moment) is int and 0 <= moment <= MAX_MOMENT for moment in moments)
    ):
        raise ValueError(f"entry {number} has a member of the wrong kind")
    return ApiKey(**{**member, "scopes": frozenset(scopes)})


def _unreadable(path: Path, error: OSError) -> str:
    return f"the key file {path} cannot be read: {error.strerror}"
