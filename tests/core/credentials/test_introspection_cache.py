from __future__ import annotations

from dataclasses import replace

import pytest
from fakes_introspection import LEGACY, NOW_S

from hms_svc.core.config import IntrospectionEndpoint
from hms_svc.core.credentials.introspection_cache import IntrospectionCache, Known
from hms_svc.core.model import Caller
from hms_svc.core.moment import Moment

S = 1_000_000_000


def at(wall_s: float, monotonic_s: float | None = None) -> Moment:
    monotonic_s = wall_s if monotonic_s is None else monotonic_s
    return Moment(round((NOW_S + wall_s) * S), round(monotonic_s * S))


GOOD = Known(LEGACY, at(0), Caller("alice", "oauth"), expires_s=NOW_S + 600)
BAD = Known(LEGACY, at(0), None, "the token is not active")


@pytest.mark.parametrize(("known", "lasts_s"), [(GOOD, 60), (BAD, 10)])
def test_an_answer_holds_for_its_time_and_no_longer(known: Known, lasts_s: float) -> None:
    cache = IntrospectionCache()
    cache.put("a", known)
    assert cache.get("a", LEGACY, at(lasts_s - 0.001)) == known
    assert cache.get("a", LEGACY, at(lasts_s)) is None
    assert len(cache) == 0


def test_an_answer_never_outlives_the_token() -> None:
    cache = IntrospectionCache()
    cache.put("a", GOOD._replace(expires_s=NOW_S + 5))
    assert cache.get("a", LEGACY, at(4.999)) is not None
    assert cache.get("a", LEGACY, at(5)) is None


@pytest.mark.parametrize("now", [at(-60, 1), at(60, 1), at(1, 60)], ids=["stepped back", "frozen", "stepped on"])
def test_either_clock_ends_it(now: Moment) -> None:
    cache = IntrospectionCache()
    cache.put("a", GOOD)
    assert cache.get("a", LEGACY, now) is None


def test_a_refusal_never_holds_longer_than_the_issuers_answers_may() -> None:
    issuer = replace(LEGACY, introspection=IntrospectionEndpoint("a", "file:a", cache_s=2))
    cache = IntrospectionCache()
    cache.put("a", BAD._replace(issuer=issuer))
    assert cache.get("a", issuer, at(1.9)) is not None
    assert cache.get("a", issuer, at(2)) is None


def test_nothing_holds_where_the_cache_is_0() -> None:
    issuer = replace(LEGACY, introspection=IntrospectionEndpoint("a", "file:a", cache_s=0))
    cache = IntrospectionCache()
    for known in (GOOD, BAD):
        cache.put("a", known._replace(issuer=issuer))
        assert cache.get("a", issuer, at(0)) is None


def test_an_answer_goes_when_its_issuer_is_configured_otherwise() -> None:
    cache = IntrospectionCache()
    cache.put("a", GOOD)
    assert cache.get("a", replace(LEGACY, audience=("another",)), at(0)) is None
    assert cache.get("a", LEGACY, at(0)) is None


def test_made_up_tokens_displace_no_good_ones() -> None:
    cache = IntrospectionCache(max_entries=3)
    cache.put("good", GOOD)
    for number in range(100):
        cache.put(f"made-up-{number}", BAD)
    assert cache.get("good", LEGACY, at(1)) == GOOD
    assert len(cache) == 4


def test_the_least_recently_used_give_way() -> None:
    cache = IntrospectionCache(max_entries=3)
    for name in "abc":
        cache.put(name, GOOD)
    cache.get("a", LEGACY, at(0))
    cache.put("d", GOOD)
    assert [name for name in "abcd" if cache.get(name, LEGACY, at(0))] == ["a", "c", "d"]


def test_large_answers_give_way_to_one_another() -> None:
    cache = IntrospectionCache(max_characters=100)
    for name in "abc":
        cache.put(name, GOOD._replace(characters=40))
        cache.put(name, GOOD._replace(characters=40))
    assert [name for name in "abc" if cache.get(name, LEGACY, at(0))] == ["b", "c"]
    cache.put("d", GOOD._replace(characters=101))
    assert len(cache) == 0
