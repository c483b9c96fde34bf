from __future__ import annotations

import contextlib
import json
import multiprocessing
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from worlds import OwnedClock, drive

from hms_svc.core.credentials.claims import MAX_MOMENT
from hms_svc.core.ports import ApiKey, StoreUnavailable
from hms_svc.local import key_document
from hms_svc.local.key_file import KeyFile

if TYPE_CHECKING:
    from pathlib import Path

KEY = ApiKey("key-1", "team", "1" * 64, "batch", frozenset({"b", "a"}), 5, 900)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "keys.json"


def test_a_missing_file_has_no_keys(path: Path) -> None:
    assert KeyFile(path, OwnedClock()).all().keys == []
    assert not path.parent.exists()


def test_what_was_added_is_there_for_others_in_order(path: Path) -> None:
    KeyFile(path, OwnedClock()).add(KEY)
    other = ApiKey("key-2", "téam 😀", "2" * 64)
    KeyFile(path, OwnedClock()).add(other)
    assert KeyFile(path, OwnedClock()).all().keys == [KEY, other]


def test_the_file_and_its_folder_are_for_the_owner_only(path: Path) -> None:
    KeyFile(path, OwnedClock()).add(KEY)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert sorted(file.name for file in path.parent.iterdir()) == ["keys.json", "keys.json.lock"]


def test_a_file_that_others_could_read_is_closed_at_the_next_change(path: Path) -> None:
    KeyFile(path, OwnedClock()).add(KEY)
    path.chmod(0o644)
    KeyFile(path, OwnedClock()).revoke("key-1", 7)
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_key_is_revoked_once(path: Path) -> None:
    keys = KeyFile(path, OwnedClock())
    keys.add(KEY)
    first = keys.revoke("key-1", 7)
    assert first is not None
    assert (first.id, first.revoked_s) == ("key-1", 7)
    assert keys.revoke("key-1", 8) == first
    assert keys.all().keys == [first]


def test_revoking_an_unknown_key_says_so(path: Path) -> None:
    assert KeyFile(path, OwnedClock()).revoke("key-9", 7) is None


def test_a_change_is_seen_after_a_second_and_the_file_is_looked_at_once_a_second(path: Path) -> None:
    clock = OwnedClock()
    keys = KeyFile(path, clock)
    assert drive(keys.find(KEY.sha256)) is None
    KeyFile(path, clock).add(KEY)
    clock.advance(0.999)
    assert drive(keys.find(KEY.sha256)) is None
    clock.advance(0.001)
    assert drive(keys.find(KEY.sha256)) == KEY


def test_a_file_that_goes_away_takes_its_keys_with_it(path: Path) -> None:
    clock = OwnedClock()
    keys = KeyFile(path, clock)
    keys.add(KEY)
    assert drive(keys.find(KEY.sha256)) == KEY
    path.unlink()
    clock.advance(1)
    assert drive(keys.find(KEY.sha256)) is None


def test_a_broken_file_lets_nobody_in_until_it_is_mended(path: Path) -> None:
    clock = OwnedClock()
    keys = KeyFile(path, clock)
    keys.add(KEY)
    good = path.read_bytes()
    path.write_bytes(good[:-20])
    for _ in range(3):
        with pytest.raises(StoreUnavailable, match=r"keys\.json cannot be understood") as broken:
            drive(keys.find(KEY.sha256))
        assert "1111" not in str(broken.value)
        clock.advance(1)
    path.write_bytes(good)
    assert drive(keys.find(KEY.sha256)) == KEY


def document(**changed: Any) -> dict[str, Any]:
    entry = {
        "id": "key-1", "name": "", "owner": "team", "sha256": "1" * 64, "scopes": [],
        "created_s": 1, "expires_s": None, "revoked_s": None,
    }  # fmt: skip
    return {"version": 1, "keys": [entry | changed]}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        b'{"version":2,"keys":[]}',
        b'{"version":1}',
        b'{"version":1,"keys":{}}',
        b'{"version":1,"keys":[1]}',
        b'{"version":1,"keys":[{}]}',
        b"\xff\xfe",
        json.dumps(document(sha256="x")).encode(),
        json.dumps(document(sha256="A" * 64)).encode(),
        json.dumps(document(scopes="a")).encode(),
        json.dumps(document(scopes=[1])).encode(),
        json.dumps(document(expires_s="9")).encode(),
        json.dumps(document(expires_s=True)).encode(),
        json.dumps(document(created_s=10**15)).encode(),
        json.dumps(document(created_s=-1)).encode(),
        json.dumps(document(owner="")).encode(),
        json.dumps(document(id="")).encode(),
        json.dumps(document(role="admin")).encode(),
        json.dumps({"version": 1, "keys": document()["keys"] * 2}).encode(),
    ],
)
def test_a_file_of_another_shape_is_not_understood(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    keys = KeyFile(path, OwnedClock())
    with pytest.raises(StoreUnavailable, match=r"keys\.json cannot be understood"):
        drive(keys.find(KEY.sha256))
    with pytest.raises(StoreUnavailable):
        keys.add(KEY)
    assert path.read_bytes() == content


def test_a_file_that_is_too_large_is_not_read(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b" " * 4_000_001)
    with pytest.raises(StoreUnavailable, match="larger than"):
        KeyFile(path, OwnedClock()).all()


def fill(path: Path, size: int) -> list[ApiKey]:
    """A file of ``size`` bytes that can be read, and its keys."""
    keys = [replace(KEY, id=f"key-{number}", sha256=f"{number:064x}", name="n" * 3_000) for number in range(1_000)]
    text = key_document.write(keys)
    keys[0] = replace(keys[0], name="n" * (3_000 + size - len(text)))
    path.parent.mkdir()
    path.write_bytes(key_document.write(keys))
    assert path.stat().st_size == size
    return keys


def test_a_key_that_would_make_the_file_too_large_to_be_read_is_refused_and_all_others_work(path: Path) -> None:
    (first, *_) = fill(path, 3_999_900)
    before = path.read_bytes()
    keys = KeyFile(path, OwnedClock())
    new = replace(KEY, id="key-new", sha256="f" * 64, name="n" * 200_000)
    sentence = r"keys\.json stays as it is, else it would be larger than 4000000 bytes: take keys that are revoked"
    with pytest.raises(StoreUnavailable, match=sentence):
        keys.add(new)
    with pytest.raises(StoreUnavailable, match=sentence):
        keys.add_successor(new, first, 7)
    assert path.read_bytes() == before
    assert drive(keys.find(first.sha256)) == first


def test_each_key_of_a_full_file_can_be_revoked_and_ended(path: Path) -> None:
    keys = [replace(key, expires_s=None) for key in fill(path, 3_990_000)]
    path.write_bytes(key_document.write(keys))
    store = KeyFile(path, OwnedClock())
    with contextlib.suppress(StoreUnavailable):
        for number in range(1_000):
            store.add(replace(KEY, id=f"new-{number}", sha256=f"f{number:063x}", name="n" * 5_000))
    ended = [replace(key, revoked_s=MAX_MOMENT, expires_s=MAX_MOMENT) for key in store.all().keys]
    assert key_document.read(key_document.write(ended)) == ended


def test_a_file_whose_layout_alone_makes_it_too_large_is_written_without_one(path: Path) -> None:
    keys = [replace(KEY, id=f"key-{number}", sha256=f"{number:064x}", name="n" * 200) for number in range(9_000)]
    path.parent.mkdir()
    path.write_bytes(key_document.write(keys))
    assert path.read_bytes().count(b"\n") == 1
    revoked = KeyFile(path, OwnedClock()).revoke("key-7", 7)
    assert revoked is not None
    assert KeyFile(path, OwnedClock()).get("key-7") == revoked


@pytest.mark.parametrize(
    "twin", [KEY, replace(KEY, sha256="2" * 64), replace(KEY, id="key-2"), replace(KEY, id="key-2", owner="\ud800")]
)
def test_what_could_not_be_read_again_is_not_written(path: Path, twin: ApiKey) -> None:
    keys = KeyFile(path, OwnedClock())
    keys.add(KEY)
    before = path.read_bytes()
    with pytest.raises(StoreUnavailable, match=r"keys\.json stays as it is, else it could not be understood"):
        keys.add(twin)
    assert path.read_bytes() == before


def test_a_change_goes_through_a_link_to_the_file_it_leads_to(path: Path, tmp_path: Path) -> None:
    real = tmp_path / "elsewhere" / "real.json"
    path.parent.mkdir()
    path.symlink_to(real)
    clock = OwnedClock()
    gateway, operator = KeyFile(real, clock), KeyFile(path, clock)
    operator.add(KEY)
    assert drive(gateway.find(KEY.sha256)) == KEY
    gateway.note_uses([(KEY, 7_200)])
    assert [key.last_used_s for key in operator.all().keys] == [7_200]
    operator.revoke("key-1", 7)
    clock.advance(1)
    assert drive(gateway.find(KEY.sha256)) == replace(KEY, revoked_s=7)
    assert path.is_symlink()
    assert sorted(file.name for file in path.parent.iterdir()) == ["keys.json"]


def test_links_that_go_round_in_a_circle_are_unavailable(path: Path) -> None:
    path.parent.mkdir()
    path.symlink_to(path)
    with pytest.raises(StoreUnavailable, match="cannot be"):
        KeyFile(path, OwnedClock()).add(KEY)


def test_a_path_that_is_no_file_is_unavailable(path: Path) -> None:
    path.mkdir(parents=True)
    keys = KeyFile(path, OwnedClock())
    with pytest.raises(StoreUnavailable, match="cannot be read"):
        drive(keys.find(KEY.sha256))
    (path / "inner").write_text("")
    with pytest.raises(StoreUnavailable, match="cannot be written"):
        KeyFile(path / "inner" / "keys.json", OwnedClock()).add(KEY)


def add_ten(path: Path, first: int) -> None:
    for number in range(first, first + 10):
        KeyFile(path, OwnedClock()).add(ApiKey(f"key-{number}", "team", f"{number:064x}"))


def test_writers_at_the_same_time_lose_nothing(path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=add_ten, args=(path, first)) for first in (0, 10, 20)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(30)
    assert {key.id for key in KeyFile(path, OwnedClock()).all().keys} == {f"key-{number}" for number in range(30)}


def test_a_place_that_cannot_be_looked_at_lets_nobody_in(path: Path) -> None:
    path.parent.write_text("no folder")
    keys = KeyFile(path, OwnedClock())
    with pytest.raises(StoreUnavailable, match="cannot be read"):
        drive(keys.find(KEY.sha256))


@pytest.mark.parametrize(("expires_s", "end_s"), [(None, 500), (900, 500), (400, 400)])
def test_a_key_ends_at_the_moment_given_or_sooner(path: Path, expires_s: int | None, end_s: int) -> None:
    keys = KeyFile(path, OwnedClock())
    keys.add(replace(KEY, expires_s=expires_s))
    ended = keys.expire(KEY, 500)
    assert ended == replace(KEY, expires_s=end_s)
    assert keys.all().keys == [ended]


def test_a_key_that_is_gone_does_not_end(path: Path) -> None:
    assert KeyFile(path, OwnedClock()).expire(KEY, 500) is None


def test_uses_are_in_a_file_of_their_own_for_the_owner_only(path: Path) -> None:
    keys = KeyFile(path, OwnedClock())
    keys.add(KEY)
    before = path.read_bytes()
    keys.note_uses([(KEY, 7_200)])
    assert path.read_bytes() == before
    used = path.with_name("keys.json.used")
    assert used.stat().st_mode & 0o777 == 0o600
    assert json.loads(used.read_text()) == {"version": 1, "last_used_s": {"key-1": 7_200}}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        b'{"version":2,"last_used_s":{}}',
        b'{"version":1,"last_used_s":[]}',
        b'{"version":1,"last_used_s":{"key-1":"7"}}',
        b'{"version":1,"last_used_s":{"key-1":true}}',
        b'{"version":1,"last_used_s":{"key-1":-1}}',
        b'{"version":1,"last_used_s":{"key-1":1e9}}',
        b"\xff",
        b" " * 4_000_001,
    ],
)
def test_uses_that_cannot_be_understood_are_said_and_no_reason_to_refuse_a_key(path: Path, content: bytes) -> None:
    keys = KeyFile(path, OwnedClock())
    keys.add(KEY)
    path.with_name("keys.json.used").write_bytes(content)
    assert drive(keys.find(KEY.sha256)) == KEY
    listing = keys.all()
    assert (listing.keys, listing.uses_known) == ([KEY], False)
    (fault,) = listing.faults
    assert re.search(r"keys\.json\.used cannot be understood: .*; remove the file", fault)
    assert keys.get("key-1") == KEY
    with pytest.raises(StoreUnavailable):
        keys.note_uses([(KEY, 7_200)])
    assert path.with_name("keys.json.used").read_bytes() == content
    assert keys.revoke("key-1", 7) is not None


def test_uses_that_cannot_be_written_are_unavailable(path: Path) -> None:
    path.parent.mkdir()
    path.with_name("keys.json.used.lock").mkdir()
    with pytest.raises(StoreUnavailable, match=r"keys\.json\.used cannot be written"):
        KeyFile(path, OwnedClock()).note_uses([(KEY, 7_200)])
    path.with_name("keys.json.used").mkdir()
    (fault,) = KeyFile(path, OwnedClock()).all().faults
    assert "keys.json.used cannot be read" in fault


def test_uses_that_would_not_be_read_again_are_not_written(path: Path) -> None:
    path.parent.mkdir()
    used = path.with_name("keys.json.used")
    used.write_bytes(json.dumps({"version": 1, "last_used_s": {"x" * 3_999_900: 7}}).encode())
    before = used.read_bytes()
    with pytest.raises(StoreUnavailable, match=r"would be larger than 4000000 bytes; remove the file"):
        KeyFile(path, OwnedClock()).note_uses([(replace(KEY, id="y" * 100), 7_200)])
    assert used.read_bytes() == before


def test_many_uses_are_noted_at_once_and_none_takes_a_later_one_back(path: Path) -> None:
    keys = KeyFile(path, OwnedClock())
    other = replace(KEY, id="key-2", sha256="2" * 64)
    keys.add(KEY)
    keys.add(other)
    keys.note_uses([(KEY, 7_200), (other, 10_800)])
    keys.note_uses([(KEY, 10_800), (other, 3_600)])
    assert [key.last_used_s for key in keys.all().keys] == [10_800, 10_800]


def use_ten(path: Path, first: int) -> None:
    for number in range(first, first + 10):
        KeyFile(path, OwnedClock()).note_uses([(ApiKey(f"key-{number}", "team", "0" * 64), number)])


def test_gateways_that_note_uses_while_keys_are_made_lose_nothing(path: Path) -> None:
    path.parent.mkdir()
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=use_ten, args=(path, first)) for first in (0, 10)]
    writers.append(context.Process(target=add_ten, args=(path, 5)))
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(30)
    assert {key.id: key.last_used_s for key in KeyFile(path, OwnedClock()).all().keys} == {
        f"key-{number}": number for number in range(5, 15)
    }
