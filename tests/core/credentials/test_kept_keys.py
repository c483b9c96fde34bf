from __future__ import annotations

import itertools

import pytest
from fakes_credentials import ec_jwk, ec_key
from hypothesis import given
from hypothesis import strategies as st

from hms_svc.core.credentials.kept_keys import BEHIND_S, COOL_DOWN_S, STALE_S, KeptKeys
from hms_svc.core.ports import StoreUnavailable

GOOD = ec_jwk(ec_key(), "good")
_S = 1_000_000_000


def kept() -> KeptKeys:
    return KeptKeys("agency", pytest.fail)


def test_keys_that_do_not_count_are_left_out() -> None:
    keys = KeptKeys("agency", lambda _: None)
    keys.came([GOOD, GOOD | {"d": "AA"}, {"kty": "oct", "k": "AA"}], 300, 0)
    assert keys.usable(1) == [GOOD]


def test_a_set_full_of_faults_is_told_in_a_few_lines() -> None:
    told: list[str] = []
    keys = KeptKeys("agency", told.append)
    keys.came([{"kty": "oct", "kid": f"k-{number}"} for number in range(100)], 300, 0)
    assert len(told) == 11
    assert told[-1] == "issuer agency: 90 more keys have faults"


def test_an_empty_set_has_no_keys_and_is_a_set_all_the_same() -> None:
    keys = kept()
    keys.came([], 300, 0)
    assert keys.usable(1) == []
    assert keys.may_look_for("new", 1)


@given(st.lists(st.tuples(st.integers(0, 90), st.sampled_from(["came", "failed", "look"]), st.integers(60, 3600))))
def test_whatever_happens_no_set_is_used_for_too_long_and_unknown_keys_are_looked_for_now_and_then(
    events: list[tuple[int, str, int]],
) -> None:
    keys, now_ns = kept(), 1
    came_ns: int | None = None
    looked: list[int] = []
    for passed_s, event, fresh_s in events:
        now_ns += passed_s * _S
        if event == "came":
            keys.came([GOOD], fresh_s, now_ns)
            came_ns = now_ns
        elif event == "failed":
            keys.failed("it is down", now_ns)
        elif keys.may_look_for("unknown", now_ns):
            looked.append(now_ns)
        if came_ns is None or now_ns >= came_ns + STALE_S * _S:
            assert not keys.can_go_on(now_ns)
            with pytest.raises(StoreUnavailable):
                keys.usable(now_ns)
        else:
            assert keys.usable(now_ns) == [GOOD]
    assert all(later - earlier >= COOL_DOWN_S * _S for earlier, later in itertools.pairwise(looked))


def test_who_comes_while_a_set_is_renewed_goes_by_the_old_one_for_a_minute() -> None:
    keys = kept()
    keys.came([GOOD], 300, 0)
    assert not keys.is_due(299 * _S)
    assert keys.is_due(300 * _S)
    assert keys.can_go_on((300 + BEHIND_S) * _S - 1)
    assert not keys.can_go_on((300 + BEHIND_S) * _S)
