from __future__ import annotations

import itertools

import pytest
from fakes_credentials import ec_jwk, ec_key
from hypothesis import given
from hypothesis import strategies as st

from hms_svc.core.credentials.kept_keys import BEHIND_S, COOL_DOWN_S, STALE_S, KeptKeys
from hms_svc.core.moment import Moment
from hms_svc.core.ports import StoreUnavailable

GOOD = ec_jwk(ec_key(), "good")
_S = 1_000_000_000


def at(seconds: float) -> Moment:
    return Moment(round(seconds * _S), round(seconds * _S))


def kept() -> KeptKeys:
    return KeptKeys("agency", pytest.fail)


def test_keys_that_do_not_count_are_left_out() -> None:
    keys = KeptKeys("agency", lambda _: None)
    keys.came([GOOD, GOOD | {"d": "AA"}, {"kty": "oct", "k": "AA"}], 300, at(0))
    assert keys.usable(at(1)) == [GOOD]


def test_a_set_full_of_faults_is_told_in_a_few_lines() -> None:
    told: list[str] = []
    keys = KeptKeys("agency", told.append)
    keys.came([{"kty": "oct", "kid": f"k-{number}"} for number in range(100)], 300, at(0))
    assert len(told) == 11
    assert told[-1] == "issuer agency: 90 more keys have faults"


def test_an_empty_set_has_no_keys_and_is_a_set_all_the_same() -> None:
    keys = kept()
    keys.came([], 300, at(0))
    assert keys.usable(at(1)) == []
    assert keys.may_look_for("new", at(1))


@given(
    st.lists(st.tuples(st.integers(0, 90), st.sampled_from(["came", "failed", "look", "doubt"]), st.integers(60, 3600)))
)
def test_whatever_happens_no_set_is_used_for_too_long_and_other_keys_are_looked_for_now_and_then(
    events: list[tuple[int, str, int]],
) -> None:
    keys, now_s = kept(), 1
    until_s: int | None = None
    looked: dict[str, list[int]] = {"look": [], "doubt": []}
    for passed_s, event, fresh_s in events:
        now_s += passed_s
        now = at(now_s)
        if event == "came":
            keys.came([GOOD], fresh_s, now)
            until_s = now_s + fresh_s + STALE_S
        elif event == "failed":
            keys.failed("it is down", now)
        elif event == "look" and keys.may_look_for("unknown", now):
            looked["look"].append(now_s)
        elif event == "doubt" and until_s and now_s < until_s and keys.may_look_in_doubt(keys.usable(now), now):
            looked["doubt"].append(now_s)
        if until_s is None or now_s >= until_s:
            assert not keys.can_go_on(now)
            with pytest.raises(StoreUnavailable):
                keys.usable(now)
        else:
            assert keys.usable(now) == [GOOD]
    for moments in looked.values():
        assert all(later - earlier >= COOL_DOWN_S for earlier, later in itertools.pairwise(moments))


@pytest.mark.parametrize("fresh_s", [60, 300, 3600])
def test_a_set_is_used_for_an_hour_after_it_should_have_been_renewed(fresh_s: int) -> None:
    keys = kept()
    keys.came([GOOD], fresh_s, at(0))
    keys.failed("it is down", at(fresh_s))
    assert keys.can_go_on(at(fresh_s))
    assert keys.usable(at(fresh_s + STALE_S - 1)) == [GOOD]
    with pytest.raises(StoreUnavailable):
        keys.usable(at(fresh_s + STALE_S))


def test_time_in_which_the_machine_slept_counts() -> None:
    keys = kept()
    keys.came([GOOD], 300, Moment(0, 0))
    slept = Moment(8_000 * _S, _S)
    assert keys.is_due(slept)
    assert not keys.can_go_on(slept)
    with pytest.raises(StoreUnavailable):
        keys.usable(slept)


def test_only_the_set_that_is_kept_can_be_doubted() -> None:
    keys = kept()
    assert not keys.may_look_in_doubt(None, at(0))
    keys.came([GOOD], 300, at(0))
    former = keys.usable(at(0))
    keys.came([], 300, at(1))
    assert not keys.may_look_in_doubt(former, at(1))
    assert keys.may_look_in_doubt(keys.usable(at(1)), at(1))
    assert not keys.may_look_in_doubt(keys.usable(at(1)), at(COOL_DOWN_S))


def test_who_comes_while_a_set_is_renewed_goes_by_the_old_one_for_a_minute() -> None:
    keys = kept()
    keys.came([GOOD], 300, at(0))
    assert not keys.is_due(at(299))
    assert keys.is_due(at(300))
    assert keys.can_go_on(at(300 + BEHIND_S - 1))
    assert not keys.can_go_on(at(300 + BEHIND_S))
