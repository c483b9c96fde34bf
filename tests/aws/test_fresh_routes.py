from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from worlds import OwnedClock

from hms_svc.aws.fresh_routes import FAILED, LOST_S, REBUILD_S, RETRY_S, FreshRoutes
from hms_svc.core.match import RouteTable
from hms_svc.core.policy_loader import PolicyLoader
from hms_svc.core.ports import StoreUnavailable
from hms_svc.core.routes import load

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_AGE_S = 30


def routes(path: str) -> bytes:
    return f"- {{path: {path}, forward_to: 'http://a:1', auth: none}}\n".encode()


def build(data: bytes) -> RouteTable:
    return RouteTable(load(data, build_policy=PolicyLoader(None).build))


@dataclass
class Store:
    """A store of one value that is there, or is down, and counts what it is asked."""

    data: bytes = routes("/old")
    mark: str = "1"
    down: Exception | None = None
    looks: list[str | None] = field(default_factory=list)
    handed_out: int = 0

    def read(self, known: str | None) -> tuple[bytes, str] | None:
        self.looks.append(known)
        if self.down:
            raise self.down
        if known == self.mark:
            return None
        self.handed_out += 1
        return self.data, self.mark

    def put(self, data: bytes) -> None:
        self.data, self.mark = data, str(int(self.mark) + 1)


class World:
    """An environment whose refreshes run when the test says so; at once, unless it says otherwise."""

    def __init__(self) -> None:
        self.clock, self.store = OwnedClock(), Store()
        self.begun: list[Callable[[], None]] = []
        self.counted: list[str] = []
        self.built = 0
        self.fresh = FreshRoutes(
            self.store.read,
            self.build,
            clock=self.clock,
            max_age_s=MAX_AGE_S,
            start=self.begun.append,
            count=self.counted.append,
        )

    def build(self, data: bytes) -> RouteTable:
        self.built += 1
        return build(data)

    def served(self) -> str | None:
        """The path of the one route that a request is served by."""
        table = self.fresh.current()
        return table.config.routes[0].path if table else None

    def run_begun(self) -> None:
        while self.begun:
            self.begun.pop()()


@pytest.fixture
def world() -> World:
    return World()


def test_the_first_request_reads_the_routes_while_it_waits(world: World) -> None:
    ages = [world.fresh.age_s]
    assert world.served() == "/old"
    ages.append(world.fresh.age_s)
    assert (world.begun, ages) == ([], [None, 0])


def test_a_change_is_seen_within_the_age_plus_one_request(world: World) -> None:
    world.served()
    world.store.put(routes("/new"))
    world.clock.advance(MAX_AGE_S - 1)
    assert (world.served(), world.begun) == ("/old", [])
    world.clock.advance(1)
    assert world.served() == "/old"
    world.run_begun()
    assert world.served() == "/new"


def test_a_refresh_is_begun_once_and_no_request_waits_for_it(world: World) -> None:
    world.served()
    world.clock.advance(MAX_AGE_S)
    assert [world.served() for _ in range(3)] == ["/old"] * 3
    assert (len(world.begun), len(world.store.looks)) == (1, 1)


def test_routes_that_did_not_change_cost_one_look_and_are_not_built_again(world: World) -> None:
    for _ in range(4):
        world.served()
        world.run_begun()
        world.clock.advance(MAX_AGE_S)
    assert world.store.looks == [None, "1", "1", "1"][: len(world.store.looks)]
    assert (world.store.handed_out, world.built, world.counted) == (1, 1, [])


def test_a_refresh_that_was_begun_and_lost_is_begun_again(world: World) -> None:
    world.served()
    world.clock.advance(MAX_AGE_S)
    world.served()
    world.begun.clear()
    world.clock.advance(LOST_S - 1)
    world.served()
    assert world.begun == []
    world.clock.advance(1)
    world.served()
    assert len(world.begun) == 1


def test_a_store_that_is_down_keeps_the_routes_counts_each_time_and_logs_once(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.served()
    world.store.down = StoreUnavailable("SSM cannot be reached")
    for _ in range(3):
        world.clock.advance(MAX_AGE_S)
        assert world.served() == "/old"
        world.run_begun()
    assert world.counted == [FAILED] * 3
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == [
        f"no new routes, {build(routes('/old')).config.sha256[:12]} stay in force: SSM cannot be reached"
    ]
    assert (world.fresh.age_s, world.fresh.fault) == (3 * MAX_AGE_S, "SSM cannot be reached")


def test_another_cause_is_logged_too_and_the_end_of_it(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    world.served()
    for down in (StoreUnavailable("down"), StoreUnavailable("denied"), None):
        world.store.down = down
        world.clock.advance(MAX_AGE_S)
        world.served()
        world.run_begun()
    said = [record.getMessage().rpartition(": ")[2] for record in caplog.records]
    assert said[1:] == ["down", "denied", "the routes can be read again"]
    assert (world.fresh.age_s, world.fresh.fault) == (0, "")


@pytest.mark.parametrize(
    ("broken", "cause"),
    [
        (b"- [", "routes.yml:"),
        (b"- {path: /a, forward_to: 'http://a:1'}\n", "auth"),
        (routes("/a").replace(b"}", b", policies: [not_there.Policy]}"), "not_there"),
        (b"\xff\xfe", "routes.yml:"),
        (b"".join(b"- {path: /%d}\n" % n for n in range(5)), "more problems"),
    ],
)
def test_broken_routes_keep_the_good_ones(world: World, broken: bytes, cause: str) -> None:
    world.served()
    world.store.put(broken)
    world.clock.advance(MAX_AGE_S)
    world.served()
    world.run_begun()
    assert world.served() == "/old"
    assert (world.counted, cause in world.fresh.fault) == ([FAILED], True)


def test_broken_routes_are_counted_at_each_look_but_seldom_built(world: World) -> None:
    world.served()
    world.store.put(b"- [")
    looks = REBUILD_S // MAX_AGE_S + 1
    for _ in range(looks):
        world.clock.advance(MAX_AGE_S)
        world.served()
        world.run_begun()
    assert world.counted == [FAILED] * looks
    assert world.built == 1 + 2
    assert world.fresh.age_s == looks * MAX_AGE_S


def test_routes_that_are_mended_are_taken_at_the_next_look(world: World) -> None:
    world.served()
    for data in (b"- [", routes("/mended")):
        world.store.put(data)
        world.clock.advance(MAX_AGE_S)
        world.served()
        world.run_begun()
    assert (world.served(), world.fresh.fault) == ("/mended", "")


def test_a_bug_in_a_reader_or_a_builder_keeps_the_routes(world: World) -> None:
    world.served()
    world.store.down = KeyError("Parameter")
    world.clock.advance(MAX_AGE_S)
    world.served()
    world.run_begun()
    assert (world.served(), world.fresh.fault) == ("/old", "KeyError: 'Parameter'")


def test_without_routes_each_request_gets_none_and_looks_are_bounded(world: World) -> None:
    world.store.down = StoreUnavailable("SSM cannot be reached")
    for _ in range(10):
        assert world.served() is None
    assert len(world.store.looks) == 1
    world.clock.advance(RETRY_S)
    assert world.served() is None
    assert (len(world.store.looks), world.counted, world.begun) == (2, [FAILED] * 2, [])


@pytest.mark.parametrize("mended", ["the store", "the routes"])
def test_an_environment_without_routes_recovers_by_itself(world: World, mended: str) -> None:
    if mended == "the store":
        world.store.down = StoreUnavailable("SSM cannot be reached")
    else:
        world.store.data = b"- ["
    assert world.served() is None
    world.store.down, world.store.data = None, routes("/old")
    assert world.served() is None
    world.clock.advance(RETRY_S)
    assert world.served() == "/old"


def test_an_environment_that_stood_still_looks_by_the_clock_that_went_on() -> None:
    class Frozen(OwnedClock):
        def monotonic_ns(self) -> int:
            return 7

    clock, store, begun = Frozen(), Store(), list[object]()
    fresh = FreshRoutes(
        store.read, build, clock=clock, max_age_s=MAX_AGE_S, start=begun.append, count=lambda _name: None
    )
    fresh.current()
    clock.advance(86_400)
    fresh.current()
    assert (len(begun), fresh.age_s) == (1, 86_400)


def test_a_door_may_refresh_at_its_own_moment(world: World) -> None:
    world.served()
    world.store.put(routes("/new"))
    world.fresh.refresh()
    assert (world.served(), world.begun) == ("/new", [])


def test_no_thread_to_be_had_is_a_failed_refresh_not_a_failed_request() -> None:
    def start(_work: Callable[[], None]) -> None:
        raise RuntimeError("can't start new thread")

    clock, store, counted = OwnedClock(), Store(), list[str]()
    fresh = FreshRoutes(store.read, build, clock=clock, max_age_s=MAX_AGE_S, start=start, count=counted.append)
    fresh.current()
    clock.advance(MAX_AGE_S)
    assert (fresh.current() is not None, counted) == (True, [FAILED])
    fresh.refresh()
    assert fresh.age_s == 0


def test_one_look_at_a_time() -> None:
    clock, store = OwnedClock(), Store()
    inside, go_on = threading.Event(), threading.Event()

    def read(known: str | None) -> tuple[bytes, str] | None:
        found = store.read(known)
        if known:
            inside.set()
            assert go_on.wait(10)
        return found

    threads: list[threading.Thread] = []

    def start(work: Callable[[], None]) -> None:
        threads.append(threading.Thread(target=work))
        threads[-1].start()

    fresh = FreshRoutes(read, build, clock=clock, max_age_s=MAX_AGE_S, start=start, count=lambda _name: None)
    fresh.current()
    clock.advance(MAX_AGE_S)
    fresh.current()
    assert inside.wait(10)
    fresh.refresh()  # returns at once: another one is looking
    assert fresh.current() is not None
    go_on.set()
    for thread in threads:
        thread.join(10)
    assert store.looks == [None, "1"]


def test_requests_that_wait_for_the_first_routes_share_one_look() -> None:
    clock, store = OwnedClock(), Store(down=StoreUnavailable("down"))
    inside, go_on = threading.Event(), threading.Event()

    def read(known: str | None) -> tuple[bytes, str] | None:
        inside.set()
        assert go_on.wait(10)
        return store.read(known)

    fresh = FreshRoutes(read, build, clock=clock, max_age_s=MAX_AGE_S, start=lambda _work: None, count=lambda _n: None)
    threads = [threading.Thread(target=fresh.current) for _ in range(4)]
    for thread in threads:
        thread.start()
    assert inside.wait(10)
    go_on.set()
    for thread in threads:
        thread.join(10)
    assert len(store.looks) == 1
