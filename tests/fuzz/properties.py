"""What is fuzzed, by name. An ordinary test tries each property a little, `fuzz.run` for as long as it is told.

A call that breaks a property is left in `failed`, shrunk, for whoever wants to keep it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fuzz.judge import Judge, check_event, check_key_set
from fuzz.strategies import CALLS, EVENT_HEADERS, IDENTITIES, KEY_SETS, MUTATED, ODD_BUT_VALID
from hypothesis import given

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fuzz.calls import Call

JUDGE = Judge()
failed: list[Call] = []


def _checked(call: Call) -> None:
    try:
        JUDGE.check(call)
    except BaseException:
        failed.append(call)
        raise


@given(CALLS)
def any_call_is_refused_or_deserved(call: Call) -> None:
    _checked(call)


@given(MUTATED)
def a_genuine_token_that_was_changed_is_no_good(call: Call) -> None:
    _checked(call)


@given(ODD_BUT_VALID)
def a_genuine_token_in_an_odd_form_is_good(call: Call) -> None:
    _checked(call)


@given(KEY_SETS)
def any_key_set_is_read(members: list[dict[str, Any]]) -> None:
    check_key_set(members)


@given(IDENTITIES, EVENT_HEADERS)
def any_event_is_read(identity: Mapping[str, Any], headers: Mapping[str, Any]) -> None:
    check_event(identity, headers)


PROPERTIES: Mapping[str, Any] = {
    each.__name__: each
    for each in (
        any_call_is_refused_or_deserved,
        a_genuine_token_that_was_changed_is_no_good,
        a_genuine_token_in_an_odd_form_is_good,
        any_key_set_is_read,
        any_event_is_read,
    )
}
