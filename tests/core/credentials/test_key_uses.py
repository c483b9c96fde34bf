from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from fakes_credentials import NOW_S, Desk, KeyBook
from worlds import CountingRandomness

from hms_svc.core.credentials.api_keys import issue
from hms_svc.core.credentials.key_uses import MAX_ENTRIES, KeyUses
from hms_svc.core.errors import BadCredentials
from hms_svc.core.ports import ApiKey

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

HOUR_S = NOW_S - NOW_S % 3_600
KEY = ApiKey("key-1", "team", "1" * 64)


class Noted:
    """A store with one key, which counts what it is asked, and the work that waits."""

    def __init__(self) -> None:
        self.store = KeyBook([KEY])
        self.waiting: list[Callable[[], None]] = []
        self.writes = 0
        self.uses = KeyUses(self.store, self.waiting.append)

    def use(self, now_s: int, key: ApiKey = KEY) -> int | None:
        """The key is used and the work done; what is known of it then."""
        self.uses.note(key, now_s)
        for work in self.waiting:
            work()
        self.writes += len(self.waiting)
        self.waiting.clear()
        return self.store.keys[0].last_used_s


def test_a_use_is_noted_by_the_hour_and_once_an_hour() -> None:
    noted = Noted()
    assert noted.use(HOUR_S + 7) == HOUR_S
    for second in (8, 1_800, 3_599):
        assert noted.use(HOUR_S + second) == HOUR_S
    assert noted.writes == 1
    assert noted.use(HOUR_S + 3_600) == HOUR_S + 3_600
    assert noted.writes == 2


def test_nothing_is_written_before_the_work_is_done_nor_twice_while_it_waits() -> None:
    noted = Noted()
    noted.uses.note(KEY, NOW_S)
    noted.uses.note(KEY, NOW_S)
    assert noted.store.keys[0].last_used_s is None
    assert len(noted.waiting) == 1


def test_uses_that_wait_are_written_in_one_go_and_those_that_come_meanwhile_in_the_next() -> None:
    written: list[list[str]] = []
    waiting: list[Callable[[], None]] = []

    class Slow:
        """Takes its time: more keys are used while it writes."""

        def note_uses(self, noted: Sequence[tuple[ApiKey, int]]) -> None:
            written.append(sorted(key.id for key, _ in noted))
            if len(written) == 1:
                for number in range(4, 7):
                    uses.note(replace(KEY, id=f"key-{number}"), NOW_S)

    uses = KeyUses(Slow(), waiting.append)
    for number in range(1, 4):
        uses.note(replace(KEY, id=f"key-{number}"), NOW_S)
    for work in waiting:
        work()
    assert written == [["key-1", "key-2", "key-3"], ["key-4", "key-5", "key-6"]]


def test_many_uses_that_cannot_be_noted_are_one_line_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    noted = Noted()
    noted.store.down = True
    for number in range(2, 6):
        noted.uses.note(replace(KEY, id=f"key-{number}"), NOW_S)
    noted.use(NOW_S)
    (line,) = caplog.messages
    assert line.endswith(" and 2 more is not noted: the key store is down")
    noted.store.down = False
    assert noted.use(NOW_S + 60) == HOUR_S


def test_what_another_environment_noted_in_this_hour_is_not_written_again() -> None:
    noted = Noted()
    noted.use(NOW_S, replace(KEY, last_used_s=HOUR_S))
    assert noted.writes == 0
    noted.use(NOW_S, replace(KEY, last_used_s=HOUR_S - 3_600))
    assert noted.writes == 1


def test_a_clock_that_steps_back_writes_nothing() -> None:
    noted = Noted()
    noted.use(NOW_S)
    assert noted.use(NOW_S - 7_200) == HOUR_S
    assert noted.writes == 1


def test_while_the_store_is_down_it_is_tried_once_a_minute_and_said(caplog: pytest.LogCaptureFixture) -> None:
    noted = Noted()
    noted.store.down = True
    noted.use(NOW_S)
    noted.use(NOW_S + 59)
    assert noted.writes == 1
    noted.use(NOW_S + 60)
    assert noted.writes == 2
    assert caplog.messages == ["the use of API key key-1 is not noted: the key store is down"] * 2
    noted.store.down = False
    assert noted.use(NOW_S + 120) == HOUR_S


def test_where_no_work_can_be_put_off_the_call_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    def no_thread(_: Callable[[], None]) -> None:
        raise RuntimeError("can't start new thread")

    KeyUses(KeyBook([KEY]), no_thread).note(KEY, NOW_S)
    assert caplog.messages == ["the use of API key key-1 is not noted: can't start new thread"]


def test_what_is_remembered_is_bounded() -> None:
    noted = Noted()
    for number in range(MAX_ENTRIES + 1):
        noted.uses.note(replace(KEY, id=f"key-{number}"), NOW_S)
    noted.waiting.clear()
    noted.uses.note(KEY, NOW_S)
    assert len(noted.waiting) == 1


def test_a_key_that_opens_the_door_was_used_and_one_that_does_not_was_not() -> None:
    desk = Desk()
    key, kept = issue(CountingRandomness(), name="n", owner="team", scopes=frozenset(), now_s=1, expires_s=None)
    desk.store.keys.append(kept)
    desk.identify(("X-API-Key", key), auth=("api_key",))
    assert len(desk.later) == 1
    desk.store.keys = [replace(kept, revoked_s=2)]
    desk.clock.advance(3_600)
    with pytest.raises(BadCredentials):
        desk.identify(("X-API-Key", key), auth=("api_key",))
    assert len(desk.later) == 1
