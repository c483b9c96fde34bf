"""API keys in a JSON file: the `KeyStore` of one machine, and what ``hms-svc keys`` does to it.

The file holds hashes, no keys. It is replaced whole (written beside, brought to disk, renamed) by one writer at a
time, so whoever reads it sees all of a change or nothing. A missing file has no keys; one that cannot be understood
lets nobody in.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from hms_svc.core.credentials.api_keys import state_of
from hms_svc.core.credentials.key_listing import Listing
from hms_svc.core.ports import StoreUnavailable
from hms_svc.local import key_document
from hms_svc.local.key_use_file import KeyUseFile
from hms_svc.local.whole_file import locked, replace_whole, target_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from hms_svc.core.ports import ApiKey, Clock

LOOK_EVERY_NS = 1_000_000_000
"""How long a change may go unseen."""
_PRIVATE_FOLDER = 0o700
_TOO_LARGE = f"larger than {key_document.MAX_BYTES} bytes: take keys that are revoked or expired out of its list"
_Signature = tuple[int, int, int]


class KeyFile:
    """The keys in one file, read again when it has changed."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
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

    def all(self) -> Listing:
        """Every key. Uses that cannot be read are a fault of the listing. Raises `StoreUnavailable`."""
        keys = _read(self._path)
        try:
            uses = self._uses().read()
        except StoreUnavailable as error:
            return Listing(keys, (str(error),), uses_known=False)
        return Listing([replace(key, last_used_s=uses.get(key.id)) for key in keys])

    def get(self, key_id: str) -> ApiKey | None:
        """The key with this id, whenever it was used; None when there is none. Raises `StoreUnavailable`."""
        return next((key for key in _read(self._path) if key.id == key_id), None)

    def note_uses(self, uses: Sequence[tuple[ApiKey, int]]) -> None:
        """Keep the last uses of keys, in a file beside. Raises `StoreUnavailable`."""
        self._uses().note({key.id: moment_s for key, moment_s in uses})

    def add(self, key: ApiKey) -> None:
        """Keep one more key. Raises `StoreUnavailable` if it was not kept."""
        self._change(lambda keys: [*keys, key], is_growing=True)

    def add_successor(self, key: ApiKey, old: ApiKey, now_s: int) -> ApiKey | None:
        """Keep ``key`` if ``old`` is active at ``now_s``; ``old`` as it is then, None when it is gone.

        Raises `StoreUnavailable` if it was not kept.
        """
        found: list[ApiKey] = []

        def all_with_it(keys: list[ApiKey]) -> list[ApiKey]:
            found.extend(one for one in keys if one.id == old.id)
            return [*keys, key] if found and state_of(found[0], now_s) == "active" else keys

        self._change(all_with_it, is_growing=True)
        return found[0] if found else None

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

    def _change(self, change: Callable[[list[ApiKey]], list[ApiKey]], *, is_growing: bool = False) -> None:
        path = target_of(self._path)
        try:
            path.parent.mkdir(_PRIVATE_FOLDER, parents=True, exist_ok=True)
            with locked(path):
                before = _read(path)
                after = change(before)
                if after != before:
                    _write(path, after, is_growing=is_growing)
        except OSError as error:
            raise StoreUnavailable(f"the key file {path} cannot be written: {error.strerror}") from error

    def _uses(self) -> KeyUseFile:
        path = target_of(self._path)
        return KeyUseFile(path.with_name(f"{path.name}.used"))


def _write(path: Path, keys: list[ApiKey], *, is_growing: bool) -> None:
    """A file that grows leaves room, so that each of its keys can be revoked whatever its size."""
    stays = f"the key file {path} stays as it is, else it"
    try:
        text = key_document.write(keys, room=len(keys) * key_document.GROWTH if is_growing else 0)
    except key_document.TooLarge:
        raise StoreUnavailable(f"{stays} would be {_TOO_LARGE}") from None
    except ValueError as error:
        raise StoreUnavailable(f"{stays} could not be understood: {error}") from None
    replace_whole(path, text)


def _read(path: Path) -> list[ApiKey]:
    try:
        with path.open("rb") as file:
            text = file.read(key_document.MAX_BYTES + 1)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StoreUnavailable(_unreadable(path, error)) from error
    try:
        return key_document.read(text)
    except key_document.TooLarge:
        raise StoreUnavailable(f"the key file {path} is {_TOO_LARGE}") from None
    except ValueError as error:
        raise StoreUnavailable(f"the key file {path} cannot be understood: {error}") from None


def _unreadable(path: Path, error: OSError) -> str:
    return f"the key file {path} cannot be read: {error.strerror}"
