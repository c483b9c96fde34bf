from __future__ import annotations

import hashlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from worlds import CountingRandomness

from hms_svc.core.credentials.api_keys import ApiKeyInvalid, issue, make, sha256_of
from hms_svc.core.ports import ApiKey
from hms_svc.local.system import SystemRandomness


class Fixed:
    """Chance that always gives the same number."""

    def __init__(self, number: int) -> None:
        self._number = number

    def hex(self, n_bytes: int) -> str:
        return f"{self._number:0{2 * n_bytes}x}"

    def below(self, n: int) -> int:
        return 0


@given(st.integers(0, 2**256 - 1))
def test_every_number_of_256_bits_makes_a_key_of_one_shape(number: int) -> None:
    key = make(Fixed(number))
    assert re.fullmatch(r"hms_[0-9A-Za-z]{49}", key)
    assert sha256_of(key) == hashlib.sha256(key.encode()).hexdigest()


def test_two_numbers_make_two_keys() -> None:
    assert len({make(SystemRandomness()) for _ in range(100)}) == 100


@given(st.integers(0, 52), st.sampled_from("0Aaz9_-é "))
def test_a_key_with_one_character_changed_is_refused(place: int, character: str) -> None:
    key = make(Fixed(2**255 + 12345))
    changed = key[:place] + character + key[place + 1 :]
    if changed != key:
        with pytest.raises(ApiKeyInvalid):
            sha256_of(changed)


@pytest.mark.parametrize(
    "text", ["", "hms_", "hms_x", "sk_live_1", make(Fixed(7))[:-1], make(Fixed(7)) + "0", make(Fixed(7)) + "\n"]
)
def test_what_has_not_the_form_of_a_key_is_refused(text: str) -> None:
    with pytest.raises(ApiKeyInvalid, match="form"):
        sha256_of(text)


def test_a_mistyped_key_is_told_by_its_checksum() -> None:
    key = make(Fixed(7))
    swapped = key[:45] + ("1" if key[45] != "1" else "2") + key[46:]
    with pytest.raises(ApiKeyInvalid, match="checksum") as refused:
        sha256_of(swapped)
    assert swapped[4:] not in str(refused.value)


@given(st.text(max_size=80))
def test_any_text_is_a_hash_or_api_key_invalid(text: str) -> None:
    with pytest.raises(ApiKeyInvalid):
        sha256_of(text)


def test_what_is_kept_of_a_new_key_is_not_the_key() -> None:
    key, kept = issue(CountingRandomness(), name="batch", owner="team", scopes=frozenset({"a"}), now_s=5, expires_s=9)
    assert kept == ApiKey("key-000000000002", "team", sha256_of(key), "batch", frozenset({"a"}), 5, 9)
    assert key not in repr(kept)
