from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from worlds import drive, request

from hms_svc import Policy, PolicyRequest, Verdict
from hms_svc.core.config import Forward, Limit, PolicyUse, Route
from hms_svc.core.entry import Entry, PolicyVerdict
from hms_svc.core.errors import InternalError, PolicyBlocked, TooManyCalls
from hms_svc.core.model import NOBODY, Headers
from hms_svc.core.policies import PolicyStep

if TYPE_CHECKING:
    from collections.abc import Callable

    from hms_svc.core.ports import T

SHOWN = PolicyRequest("GET", "/a", {}, {}, Headers(), b"", NOBODY, "192.0.2.7")


class Inline:
    """Runs a check where it is called; its time is over when the test says so."""

    def __init__(self, *, overstays: bool = False) -> None:
        self.overstays = overstays

    async def run(self, check: Callable[[], T], timeout_s: float) -> T:
        if self.overstays:
            raise TimeoutError
        return check()


class Says(Policy):
    """Answers, or raises, what it is given."""

    def __init__(self, answer: Any) -> None:
        super().__init__()
        self.answer = answer
        self.asked = 0

    def check(self, req: PolicyRequest, route: Route) -> Verdict:
        self.asked += 1
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer  # type: ignore[no-any-return]  # also what is no verdict


class SpeechlessError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


COSTLY = Limit(100, 60, 100, cost_header="X-Cost", max_cost=50)


def ask(*answers: Any, runner: Inline | None = None) -> tuple[list[PolicyVerdict], BaseException | None]:
    """What is recorded, and what is raised, when policies answer like this, in order."""
    uses = tuple(PolicyUse(f"says.Says{number}", Says(answer)) for number, answer in enumerate(answers))
    route = Route(name="r", path="/a", action=Forward(()), auth=(), policies=uses, limits=(COSTLY,))
    entry = Entry(request(), "id", 0, 0)
    try:
        drive(PolicyStep(runner or Inline()).check(SHOWN, route, entry))
    except (PolicyBlocked, TooManyCalls, InternalError) as refusal:
        return entry.policies, refusal
    return entry.policies, None


def test_every_policy_is_asked_and_recorded_in_order() -> None:
    recorded, refusal = ask(Verdict.pass_(), Verdict.pass_())
    assert refusal is None
    assert recorded == [PolicyVerdict("says.Says0", allowed=True), PolicyVerdict("says.Says1", allowed=True)]


def test_after_the_first_no_nobody_is_asked() -> None:
    recorded, refusal = ask(Verdict.pass_(), Verdict.block("closed"), RuntimeError("never asked"))
    assert isinstance(refusal, PolicyBlocked)
    assert (refusal.detail, refusal.response_status) == ("closed", 403)
    assert recorded[1:] == [PolicyVerdict("says.Says1", allowed=False, reason="closed")]


def test_a_policy_chooses_its_status() -> None:
    _, refusal = ask(Verdict.block("gone", status=410))
    assert isinstance(refusal, PolicyBlocked)
    assert refusal.response_status == 410


@pytest.mark.parametrize(("seconds", "header"), [(7, "7"), (0, "0"), (1.2, "2")])
def test_a_policy_limits_and_says_for_how_long(seconds: Any, header: str) -> None:
    recorded, refusal = ask(Verdict.limit("slow down", retry_after=seconds))
    assert isinstance(refusal, TooManyCalls)
    assert (refusal.detail, refusal.headers) == ("slow down", (("Retry-After", header),))
    assert recorded == [PolicyVerdict("says.Says0", allowed=False, reason="slow down")]


def test_a_long_reason_is_cut() -> None:
    recorded, refusal = ask(Verdict.block("x" * 10_000))
    assert isinstance(refusal, PolicyBlocked)
    assert (len(refusal.detail), len(recorded[0].reason)) == (500, 500)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (ValueError("bad \N{SNOWMAN}"), "raised ValueError: bad \N{SNOWMAN}"),
        (TimeoutError("its own"), "raised TimeoutError: its own"),
        (SystemExit(3), "raised SystemExit: 3"),
        (KeyboardInterrupt(), "raised KeyboardInterrupt"),
        (asyncio.CancelledError(), "raised CancelledError"),
        (SpeechlessError(), "raised SpeechlessError"),
        (PolicyBlocked("not by raising"), "raised PolicyBlocked: not by raising"),
        (None, "returned NoneType instead of a Verdict"),
        (True, "returned bool instead of a Verdict"),
        ({"allowed": True}, "returned dict instead of a Verdict"),
        (Verdict(allowed=False), "returned a Verdict that pass_, block and limit would not have built"),
        (Verdict(allowed="no"), "returned a Verdict that pass_, block and limit would not have built"),  # type: ignore[arg-type]  # the fault is the point
        (Verdict(True, reason=None), "returned a Verdict that pass_, block and limit would not have built"),  # type: ignore[arg-type]  # the fault is the point
        (
            Verdict(False, 403, "x", headers={"X-A": "1"}),
            "returned a Verdict that pass_, block and limit would not have built",
        ),
        (Verdict(True, headers=[("X-A", "1")]), "returned a Verdict that pass_, block and limit would not have built"),  # type: ignore[arg-type]  # the fault is the point
        (Verdict.pass_({"X-HMS-Caller": "root"}), "set X-HMS-Caller, which no policy may"),
        (Verdict.pass_({"x_hms_caller": "root"}), "set x_hms_caller, which no policy may"),
        (Verdict.pass_({"X-Forwarded-For": "10.0.0.1"}), "set X-Forwarded-For, which no policy may"),
        (Verdict.pass_({"HOST": "a"}), "set HOST, which no policy may"),
        (Verdict.pass_({"Content-Length": "0"}), "set Content-Length, which no policy may"),
        (Verdict.pass_({"Transfer-Encoding": "chunked"}), "set Transfer-Encoding, which no policy may"),
        (Verdict.pass_({"Connection": "X-A"}), "set Connection, which no policy may"),
        (Verdict.pass_({"Authorization": "Bearer x"}), "set Authorization, which no policy may"),
        (Verdict.pass_({"X A": "1"}), "set a field whose name is none (RFC 9110, section 5.1)"),
        (Verdict.pass_({7: "1"}), "set a field whose name is none (RFC 9110, section 5.1)"),  # type: ignore[dict-item]  # the fault is the point
        (Verdict.pass_({"X-A": "a\r\nX-Evil: 1"}), "set X-A to what no field can hold (RFC 9110, section 5.5)"),
        (Verdict.pass_({"X-A": "\N{SNOWMAN}"}), "set X-A to what no field can hold (RFC 9110, section 5.5)"),
        (Verdict.pass_({"X-A": 7}), "set X-A to what no field can hold (RFC 9110, section 5.5)"),  # type: ignore[dict-item]  # the fault is the point
        (Verdict.pass_({"X-A": "1", "x_a": "2"}), "set a field twice, in two spellings of its name"),
        (Verdict.pass_({f"X-{n}": "" for n in range(33)}), "set 33 fields, and at most 32 can be"),
        (Verdict.pass_({"x-cost": "51"}), "set X-Cost to what is no whole number from 0 to 50"),
        (Verdict.pass_({"X-Cost": "-1"}), "set X-Cost to what is no whole number from 0 to 50"),
        (Verdict.pass_({"X-Cost": "1.0"}), "set X-Cost to what is no whole number from 0 to 50"),
        (Verdict.pass_({"X-Cost": ""}), "set X-Cost to what is no whole number from 0 to 50"),
        (Verdict.pass_({"X-Cost": "\xb2"}), "set X-Cost to what is no whole number from 0 to 50"),
        (Verdict.pass_({"X-Cost": "9" * 5_000}), "set X-Cost to what is no whole number from 0 to 50"),
        (Verdict(False, 429, "x", float("nan")), "returned a Verdict that pass_, block and limit would not have built"),  # type: ignore[arg-type]  # the fault is the point
    ],
    ids=repr,
)
def test_a_policy_that_fails_refuses_and_only_the_record_says_why(answer: Any, error: str) -> None:
    recorded, refusal = ask(answer)
    assert isinstance(refusal, InternalError)
    assert refusal.detail == InternalError.default_detail
    assert refusal.cause == f"policy says.Says0 {error}"
    assert recorded == [PolicyVerdict("says.Says0", allowed=False, error=error)]


def fields(*answers: Any) -> Any:
    """What policies that answer like this set on the request."""
    uses = tuple(PolicyUse(f"says.Says{number}", Says(answer)) for number, answer in enumerate(answers))
    route = Route(name="r", path="/a", action=Forward(()), auth=(), policies=uses, limits=(COSTLY,))
    return drive(PolicyStep(Inline()).check(SHOWN, route, Entry(request(), "id", 0, 0)))


def test_policies_set_fields_and_of_one_name_the_last_stands() -> None:
    assert fields(Verdict.pass_()) == ()
    assert fields(
        Verdict.pass_({"X-Cost": "0", "X-Tenant": "caf\xe9"}), Verdict.pass_(), Verdict.pass_(headers={"x_cost": "50"})
    ) == (("X-Tenant", "caf\xe9"), ("x_cost", "50"))


def test_what_a_policy_does_to_its_verdict_later_changes_nothing() -> None:
    said = {"X-Cost": "1"}
    verdict = Verdict.pass_(said)
    said["X-Cost"] = "2"
    assert fields(verdict) == (("X-Cost", "1"),)


def test_a_mapping_that_fails_when_it_is_read_is_the_policys_fault() -> None:
    class Broken(dict[str, str]):
        def __len__(self) -> int:
            raise RuntimeError("no length")

    recorded, refusal = ask(Verdict(True, headers=Broken()))
    assert isinstance(refusal, InternalError)
    assert recorded[0].error == "raised RuntimeError: no length"


def test_an_endless_message_is_cut() -> None:
    recorded, _ = ask(ValueError("x" * 10_000))
    assert len(recorded[0].error) < 520


def test_a_policy_that_overstays_refuses() -> None:
    recorded, refusal = ask(Verdict.pass_(), runner=Inline(overstays=True))
    assert isinstance(refusal, InternalError)
    assert recorded == [PolicyVerdict("says.Says0", allowed=False, error="did not return within 1 s")]
