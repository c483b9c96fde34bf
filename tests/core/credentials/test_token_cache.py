from __future__ import annotations

from dataclasses import replace

from fakes_credentials import AGENCY, NOW_S

from hms_svc.core.config import Issuer
from hms_svc.core.credentials.token_cache import TokenCache, Verified
from hms_svc.core.model import Caller

ALICE = Verified(Caller("alice", "oauth"), AGENCY, [], NOW_S + 600)


def test_what_was_put_is_found() -> None:
    cache = TokenCache()
    cache.put("a", ALICE)
    assert cache.get("a", (AGENCY,), NOW_S) is ALICE
    assert cache.get("b", (AGENCY,), NOW_S) is None


def test_nothing_is_found_from_its_expiry_on() -> None:
    cache = TokenCache()
    cache.put("a", ALICE)
    assert cache.get("a", (AGENCY,), NOW_S + 599.999) is ALICE
    assert cache.get("a", (AGENCY,), NOW_S + 600) is None
    assert len(cache) == 0


def test_an_entry_goes_when_its_issuer_is_configured_otherwise() -> None:
    cache = TokenCache()
    cache.put("a", ALICE)
    assert cache.get("a", (Issuer(AGENCY.name, AGENCY.issuer, ("another",)),), NOW_S) is None
    assert cache.get("a", (AGENCY,), NOW_S) is None


def test_an_equal_issuer_of_a_reload_is_the_same() -> None:
    cache = TokenCache()
    cache.put("a", ALICE)
    assert cache.get("a", (Issuer("agency", AGENCY.issuer, ("hms-api",)),), NOW_S) is ALICE


def test_the_least_recently_used_give_way() -> None:
    cache = TokenCache(max_entries=3)
    for name in "abc":
        cache.put(name, ALICE)
    cache.get("a", (AGENCY,), NOW_S)
    cache.put("d", ALICE)
    assert [name for name in "abcd" if cache.get(name, (AGENCY,), NOW_S)] == ["a", "c", "d"]


def test_long_tokens_give_way_sooner() -> None:
    cache = TokenCache(max_characters=10_000)
    for name in "abc":
        cache.put(name, replace(ALICE, characters=4_000))
    assert [name for name in "abc" if cache.get(name, (AGENCY,), NOW_S)] == ["b", "c"]
    cache.put("b", replace(ALICE, characters=1_000))
    cache.put("d", replace(ALICE, characters=5_000))
    assert [name for name in "bcd" if cache.get(name, (AGENCY,), NOW_S)] == ["b", "c", "d"]


def test_what_went_makes_room() -> None:
    cache = TokenCache(max_characters=10_000)
    cache.put("a", replace(ALICE, characters=9_000))
    cache.drop("a")
    for name in "bc":
        cache.put(name, replace(ALICE, characters=5_000))
    assert len(cache) == 2
