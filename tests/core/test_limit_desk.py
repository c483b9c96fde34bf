from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from worlds import OwnedClock, drive, request

from hms_svc.core.config import Config, Forward, Issuer, Limit, Route
from hms_svc.core.entry import Entry
from hms_svc.core.errors import TooManyCalls
from hms_svc.core.limit import Limiter
from hms_svc.core.limit_desk import TargetInvalid, find, look, reset_each, unnamed_text
from hms_svc.core.limit_keys import wants
from hms_svc.core.model import NOBODY, Caller
from hms_svc.core.windows import DAY_S, MONTH_S
from hms_svc.local.limits import MemoryLimits

AGENCY = Issuer("agency", "https://login.agency.example/", ("api",))
HASH = hashlib.sha256(b"a token").hexdigest()
ALICE = Caller(name="alice", via="oauth", issuer=AGENCY.issuer, token_key=HASH[:32])
IP = "192.0.2.7"
FAQ = Route(name="faq", path="/faq", action=Forward(()), auth=(), limits=(Limit(30, 60, 30),))
CLAIMS = Route(
    name="claims",
    path="/claims/*",
    action=Forward(()),
    auth=("oauth",),
    limits=tuple(Limit(10, 60, 10, per=per) for per in ("ip", "token", "caller", "route")),
)
BATCH = Route(
    name="batch", path="/batch", action=Forward(()), auth=("mtls", "api_key"), limits=(Limit(1, 1, 1, "caller"),)
)


def with_plans(base: Limit, **plans: Limit) -> Limit:
    own = {name: replace(plan, per=base.per, window=base.window, plan=name) for name, plan in plans.items()}
    return replace(base, plan_claim="plan", plans=own)


TILES = Route(
    name="tiles",
    path="/tiles",
    action=Forward(()),
    auth=("oauth",),
    limits=(
        with_plans(Limit(10, 1, 10, per="caller"), gold=Limit(5_000, DAY_S, 5_000), silver=Limit(20, 1, 20)),
        with_plans(
            Limit(100, MONTH_S, 100, per="caller", window="calendar"),
            gold=Limit(5_000, MONTH_S, 5_000),
            daily=Limit(9, DAY_S, 9),
        ),
        Limit(99, 1, 99, per="route"),
    ),
)
FREE = Route(name="free", path="/free", action=Forward(()), auth=())
TWINS = tuple(Route(name=f"twin {n}", path="/twin", action=Forward(()), auth=(), limits=FAQ.limits) for n in (1, 2))
CONFIG = Config(routes=(FAQ, CLAIMS, BATCH, TILES, FREE, *TWINS), issuers=(AGENCY,))


def keys(target: str, **who: str) -> list[str]:
    return [want.key for _, want in find(CONFIG, target, who).wants]


@pytest.mark.parametrize("target", ["faq", "/faq"])
def test_a_route_is_named_by_its_name_or_its_path(target: str) -> None:
    assert keys(target, ip=IP) == ["3:faq:0:ip:192.0.2.7"]


def test_what_is_given_names_the_buckets_that_the_caller_takes_from() -> None:
    clock = OwnedClock()
    store = MemoryLimits(clock)
    drive(Limiter(store, store).take(CLAIMS, ALICE, IP, Entry(request(), "id", 0, 0)))
    found = find(CONFIG, "claims", {"ip": IP, "caller": "alice", "issuer": "agency", "token_sha256": HASH.upper()})
    assert found.unnamed == ()
    assert [row["remaining"] for row in drive(look(store, found.wants))] == [9] * 4


def test_limits_whose_bucket_is_not_named_say_what_is_missing() -> None:
    found = find(CONFIG, "claims", {"ip": IP})
    assert [want.limit.per for _, want in found.wants] == ["ip", "route"]
    assert [unnamed_text(*it) for it in found.unnamed] == [
        "10/m per_token: say whose bucket by the hash of the credential, --token-sha256 HEX",
        "10/m per_caller: say whose bucket by the caller, --caller NAME",
    ]


def test_on_an_open_route_everybody_is_counted_by_address() -> None:
    open_route = Route(name="o", path="/o", action=Forward(()), auth=(), limits=(Limit(1, 1, 1, per="token"),))
    found = find(Config(routes=(open_route,)), "o", {"ip": "2001:DB8::1"})
    assert [want.key for _, want in found.wants] == ["1:o:0:ip:20010db800000000::/64"]


def test_a_bucket_is_named_by_its_key() -> None:
    assert keys("3:faq:0:ip:192.0.2.7") == ["3:faq:0:ip:192.0.2.7"]
    ((route, want),) = find(CONFIG, "6:claims:3:route", {}).wants
    assert (route, want.limit.per) == (CLAIMS, "route")


def test_how_and_by_whom_a_caller_is_proved_tells_callers_apart() -> None:
    given = {keys("batch", caller="b", via="api_key")[0], keys("batch", caller="b", via="mtls", issuer="CN=ca")[0]}
    assert given == {"5:batch:0:caller:api_key:0::b", "5:batch:0:caller:mtls:5:CN=ca:b"}


OF_ALICE = f"caller:oauth:{len(AGENCY.issuer)}:{AGENCY.issuer}:alice"


def plans_of(target: str, plan: str = "", **who: str) -> list[tuple[str, str]]:
    return [(want.key, want.limit.plan) for _, want in find(CONFIG, target, who, plan).wants]


def test_a_callers_bucket_of_every_plan_is_named_and_with_a_plan_what_holds_on_it() -> None:
    rolling, quota, shared = "5:tiles:0", f"5:tiles:1:{OF_ALICE}", ("5:tiles:2:route", "")
    assert plans_of("tiles", caller="alice") == [
        (f"{rolling}:{OF_ALICE}", ""),
        (f"{rolling}:plan:4:gold:{OF_ALICE}", "gold"),
        (f"{rolling}:plan:6:silver:{OF_ALICE}", "silver"),
        (quota, ""),
        (quota, "gold"),
        (quota, "daily"),
        shared,
    ]
    gold = [(f"{rolling}:plan:4:gold:{OF_ALICE}", "gold"), (quota, "gold"), shared]
    assert plans_of("tiles", "gold", caller="alice") == gold
    silver = [(f"{rolling}:plan:6:silver:{OF_ALICE}", "silver"), (quota, ""), shared]
    assert plans_of("tiles", "silver", caller="alice") == silver


@pytest.mark.parametrize("plan", ["gold", "silver", "daily"])
def test_with_a_plan_the_buckets_are_those_that_a_caller_on_it_takes_from(plan: str) -> None:
    taken = wants(TILES, replace(ALICE, claims={"plan": plan}), IP)
    assert [want for _, want in find(CONFIG, "tiles", {"caller": "alice"}, plan).wants] == taken


def test_a_key_names_its_plan_but_in_a_calendar_window_where_it_is_that_of_all() -> None:
    gold, quota = f"5:tiles:0:plan:4:gold:{OF_ALICE}", f"5:tiles:1:{OF_ALICE}"
    assert plans_of(gold) == plans_of(gold, "gold") == [(gold, "gold")]
    assert plans_of(f"5:tiles:0:{OF_ALICE}") == [(f"5:tiles:0:{OF_ALICE}", "")]
    assert plans_of(quota) == [(quota, ""), (quota, "gold"), (quota, "daily")]
    assert plans_of(quota, "gold") == [(quota, "gold")]


@pytest.mark.parametrize(
    ("target", "plan", "said"),
    [
        ("tiles", "platinum", "the route tiles has no plan platinum; its plans: gold, silver, daily"),
        ("faq", "gold", "the route faq has no plan gold, and none at all"),
        (
            f"5:tiles:1:{OF_ALICE}",
            "silver",
            "the limit 100/month calendar per_caller has no plan silver; its plans: gold",
        ),
        (f"5:tiles:0:{OF_ALICE}", "gold", "a bucket's key says its plan: leave the plan out"),
        (f"5:tiles:0:plan:4:gold:{OF_ALICE}", "silver", "a bucket's key says its plan: leave the plan out"),
        (f"5:tiles:0:plan:4:lead:{OF_ALICE}", "", "has no plan such as the key names; its plans: gold, silver"),
        ("3:faq:0:plan:4:gold:ip:192.0.2.7", "", "the limit 30/m has no plan such as the key names, and none at all"),
        ("tiles", "x" * 2_001, "no name, path or key is longer than 2000 characters"),
    ],
)
def test_a_plan_that_there_is_not_is_answered_with_those_that_there_are(target: str, plan: str, said: str) -> None:
    with pytest.raises(TargetInvalid) as invalid:
        find(CONFIG, target, {}, plan)
    assert said in str(invalid.value)


def test_each_plan_is_shown_by_its_own_limit_and_reset_once() -> None:
    store = MemoryLimits(OwnedClock())
    limiter = Limiter(store, store)
    gold = replace(ALICE, claims={"plan": "gold"})
    for _ in range(30):
        drive(limiter.take(TILES, gold, IP, Entry(request(), "id", 0, 0)))
    found = find(CONFIG, "tiles", {"caller": "alice"}).wants

    def left() -> list[tuple[str, str | None, int]]:
        return [(row["limit"], row["plan"], row["remaining"]) for row in drive(look(store, found))]

    assert left() == [
        ("10/s per_caller", None, 10),
        ("5000/d per_caller", "gold", 4_970),
        ("20/s per_caller", "silver", 20),
        ("100/month calendar per_caller", None, 70),
        ("5000/month calendar per_caller", "gold", 4_970),
        ("9/d calendar per_caller", "daily", 9),
        ("99/s per_route", None, 69),
    ]
    assert reset_each(found, store.reset) == [False, True, False, True, True, False, True]
    assert [now for *_, now in left()] == [10, 5_000, 20, 100, 5_000, 9, 99]


@pytest.mark.parametrize(
    ("target", "who", "said"),
    [
        ("nowhere", {}, "no route has the name or path nowhere, and it is no bucket's key"),
        ("/twin", {}, "2 routes have the path /twin; name one: twin 1; twin 2"),
        ("free", {}, "the route free has no rate_limit"),
        ("9:faq:0:ip:192.0.2.7", {}, "no route has the name or path 9:faq:0"),
        ("3:faq:1:ip:192.0.2.7", {}, "it is no bucket's key"),
        (f"sha256:{HASH}", {}, "a key of more than 200 characters is hashed and tells no limit: give the route"),
        ("3:faq:0:ip:192.0.2.7", {"ip": IP}, "a bucket's key says whose it is: leave out who calls"),
        ("faq", {"ip": "here"}, "here is no IP address"),
        ("claims", {"token_sha256": "abc"}, "a credential's SHA-256 has 64 hexadecimal digits"),
        ("claims", {"via": "oauth"}, "goes with the caller's name"),
        ("batch", {"caller": "b"}, "one of oauth, api_key, mtls; the route takes mtls or api_key"),
        ("batch", {"caller": "b", "via": "mtls"}, "told apart by its issuer too"),
        ("claims", {"caller": "a", "issuer": "b"}, "the token's issuer is one of agency"),
        ("claims", {"name": "a"}, "who calls is said by ip, caller, via, issuer, token_sha256"),
        ("x" * 2_001, {}, "no name, path or key is longer than 2000 characters"),
    ],
)
def test_what_names_no_bucket_is_answered_with_a_sentence(target: str, who: dict[str, str], said: str) -> None:
    with pytest.raises(TargetInvalid) as invalid:
        find(CONFIG, target, who)
    assert said in str(invalid.value)


def test_a_look_says_what_is_left_and_when_a_call_would_pass_and_takes_nothing() -> None:
    clock = OwnedClock()
    store = MemoryLimits(clock)
    limiter = Limiter(store, store)
    route = Route(name="r", path="/r", action=Forward(()), auth=(), limits=(Limit(30, 60, 10, cost=5),))
    found = find(Config(routes=(route,)), "r", {"ip": IP}).wants

    def rows() -> list[tuple[int, float, bool, float | None]]:
        seen = drive(look(store, found))
        return [(row["remaining"], row["full_in_s"], row["passes"], row["passes_in_s"]) for row in seen]

    assert rows() == [(10, 0, True, 0)]
    assert len(store) == 0
    for _ in range(2):
        drive(limiter.take(route, NOBODY, IP, Entry(request(), "id", 0, 0)))
    for _ in range(3):
        assert rows() == [(0, 20, False, 10)]
    clock.advance(9.999_9)
    assert rows() == [(4, 10.001, False, 0.001)]
    with pytest.raises(TooManyCalls):
        drive(limiter.take(route, NOBODY, IP, Entry(request(), "id", 0, 0)))


def test_a_call_that_costs_more_than_the_bucket_holds_never_passes() -> None:
    store = MemoryLimits(OwnedClock())
    route = Route(name="r", path="/r", action=Forward(()), auth=(), limits=(Limit(30, 60, 10, cost=11),))
    (row,) = drive(look(store, find(Config(routes=(route,)), "r", {"ip": IP}).wants))
    assert (row["passes"], row["passes_in_s"]) == (False, None)
