from __future__ import annotations

from dataclasses import replace

from hms_svc import Policy
from hms_svc.core.changes import Change, changes
from hms_svc.core.config import Config, Forward, Issuer, Limit, PolicyUse, Route, Target

ONE = Route(name="one", path="/one", action=Forward((Target("http", "one", 80),)), auth=())
TWO = replace(ONE, name="two", path="/two")


def test_routes_are_added_removed_and_changed() -> None:
    old = Config(routes=(ONE, TWO))
    new = Config(routes=(replace(TWO, auth=("oauth",), max_body=5), replace(ONE, name="three")))
    assert changes(old, new) == (
        Change("removed", "one"),
        Change("added", "three"),
        Change("changed", "two", ("auth", "max_body")),
    )


def test_the_order_in_the_file_is_no_change() -> None:
    assert changes(Config(routes=(ONE, TWO)), Config(routes=(TWO, ONE))) == ()


def test_a_policy_built_anew_is_no_change_but_another_option_is() -> None:
    def with_policy(size: int) -> Config:
        return Config(routes=(replace(ONE, policies=(PolicyUse("m.C", Policy(), {"max_bytes": size}),)),))

    assert changes(with_policy(1), with_policy(1)) == ()
    assert changes(with_policy(1), with_policy(2)) == (Change("changed", "one", ("policies",)),)


def test_a_shared_setting_is_named() -> None:
    new = Config(issuers=(Issuer("agency", "https://login.example/", ("api",)),))
    assert changes(Config(), new) == (Change("changed", "issuers"),)
    assert changes(Config(), Config(api_key_header="X-Key")) == (Change("changed", "api_key_header"),)


def test_a_change_reads_like_a_line_of_a_diff() -> None:
    limited = replace(ONE, limits=(Limit(30, 60, 30),))
    (change,) = changes(Config(routes=(ONE,)), Config(routes=(limited,)))
    assert str(change) == "~ one (limits)"
    assert [str(found) for found in changes(Config(), Config(routes=(ONE,)))] == ["+ one"]
