"""The routes in SSM: reading, writing, the ways both fail, over moto and with errors injected before it is asked."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError, UnauthorizedSSOTokenError
from moto import mock_aws
from worlds import CountingRandomness, OwnedClock

from hms_svc.aws.ssm_client import ParameterMissing, operator_client, router_client
from hms_svc.aws.ssm_pack import ADVANCED_BYTES, STANDARD_BYTES, PackInvalid
from hms_svc.aws.ssm_routes import SsmRoutes
from hms_svc.aws.ssm_write import GRACE_S, KEPT_VERSIONS, Overtaken, Written, prune, write
from hms_svc.core.ports import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mypy_boto3_ssm import SSMClient

NAME = "/hms-svc/routes"
SMALL = b"- {path: /a, forward_to: 'http://a:1', auth: none}\n"


def large(seed: int) -> bytes:
    """A table that needs 4 parts: nothing compresses random digits below half."""
    digits = "".join(hashlib.sha256(f"{seed} {n}".encode()).hexdigest() for n in range(380))
    return SMALL + "".join(f"# {digits[at : at + 100]}\n" for at in range(0, len(digits), 100)).encode()


class Wire:
    """What goes to SSM: counted, and answered with an error where the test says so."""

    def __init__(self, client: SSMClient) -> None:
        self.client = client
        self.calls: list[tuple[str, str]] = []
        self.fail: Callable[[str, str, int], Exception | None] = lambda _operation, _name, _number: None
        self.then: Callable[[str, str], None] = lambda _operation, _name: None
        client.meta.events.register("provide-client-params.ssm.*", self._asked)
        client.meta.events.register("after-call.ssm.*", self._answered)
        self._name = ""

    def _asked(self, params: dict[str, Any], model: Any, **_more: Any) -> None:
        self._name = str(params.get("Name") or params.get("Names") or params.get("Path"))
        self.calls.append((model.name, self._name))
        error = self.fail(model.name, self._name, len(self.calls))
        if error:
            raise error

    def _answered(self, model: Any, **_more: Any) -> None:
        self.then(model.name, self._name)

    def operations(self) -> Counter[str]:
        return Counter(operation for operation, _ in self.calls)


def refused(code: str, operation: str = "PutParameter", message: str = "") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, operation)


@pytest.fixture(autouse=True)
def _aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_ENDPOINT_URL", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    with mock_aws():
        yield


@pytest.fixture
def wire() -> Wire:
    return Wire(boto3.client("ssm"))


@pytest.fixture
def routes(wire: Wire) -> SsmRoutes:
    return SsmRoutes(lambda: wire.client, NAME)


def put(routes: SsmRoutes, data: bytes, expected: int | None = None, **more: Any) -> Written:
    """Write with a generation of the test's own, since each writer counts from 1."""
    randomness = CountingRandomness()
    randomness.count = more.pop("generation", 0)
    return write(routes, data, expected=expected, randomness=randomness, **more)


def names(wire: Wire) -> list[str]:
    pages = wire.client.get_paginator("describe_parameters").paginate()
    return sorted(parameter["Name"] for page in pages for parameter in page["Parameters"])


def test_a_parameter_that_somebody_put_there_by_hand_is_the_routes(wire: Wire, routes: SsmRoutes) -> None:
    wire.client.put_parameter(Name=NAME, Value=SMALL.decode(), Type="String")
    assert routes.read()[:2] == (SMALL, 1)


def test_a_secure_string_is_read_too(wire: Wire, routes: SsmRoutes) -> None:
    wire.client.put_parameter(Name=NAME, Value=SMALL.decode(), Type="SecureString")
    assert routes.read().data == SMALL
    with pytest.raises(PackInvalid, match="is a SecureString"):
        put(routes, SMALL, 1)


@pytest.mark.parametrize("advanced", [False, True])
@pytest.mark.parametrize("data", [SMALL, SMALL + b"#" * 20_000, large(1)], ids=["plain", "one parameter", "parts"])
def test_what_is_written_is_read_again(wire: Wire, routes: SsmRoutes, data: bytes, advanced: bool) -> None:  # noqa: FBT001
    written = put(routes, data, advanced=advanced)
    assert routes.read()[:2] == (data, 1)
    assert (written.version, written.parts) == (1, {False: 4, True: 2}[advanced] if data == large(1) else 0)
    for page in wire.client.get_paginator("describe_parameters").paginate():
        assert {found["Tier"] for found in page["Parameters"]} == {"Advanced" if advanced else "Standard"}
    for name in names(wire):
        value = wire.client.get_parameter(Name=name)["Parameter"]["Value"]
        assert len(value) <= (ADVANCED_BYTES if advanced else STANDARD_BYTES)


def test_the_parts_come_first_and_the_manifest_last(wire: Wire, routes: SsmRoutes) -> None:
    put(routes, SMALL)
    wire.calls.clear()
    shown: list[tuple[int, int]] = []
    put(routes, large(1), 1, progress=lambda done, count: shown.append((done, count)))
    written = [name for operation, name in wire.calls if operation == "PutParameter"]
    assert written == [*(f"{NAME}/parts/0000000000000001/{number}" for number in (1, 2, 3, 4)), NAME]
    assert shown == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_at_every_moment_of_a_write_a_reader_sees_the_old_table_or_the_new(wire: Wire, routes: SsmRoutes) -> None:
    put(routes, large(1))
    reader = SsmRoutes(lambda: boto3.client("ssm"), NAME)
    seen: list[bytes] = []
    wire.then = lambda _operation, _name: seen.append(reader.read().data)
    put(routes, large(2), 1, generation=7)
    assert seen == [large(1)] * (len(seen) - 1) + [large(2)]
    assert len(seen) > 5


def test_a_table_that_did_not_change_costs_one_call(wire: Wire, routes: SsmRoutes) -> None:
    put(routes, large(1))
    found = routes.read_if_changed(None)
    assert found is not None
    data, mark = found
    assert data == large(1)
    wire.calls.clear()
    assert routes.read_if_changed(mark) is None
    assert wire.calls == [("GetParameter", NAME)]


def test_a_parameter_that_was_deleted_and_made_anew_has_changed(wire: Wire, routes: SsmRoutes) -> None:
    put(routes, SMALL)
    mark = routes.read().mark
    wire.client.delete_parameter(Name=NAME)
    put(routes, SMALL + b"\n")
    assert routes.read_if_changed(mark) is not None


def test_a_table_that_is_replaced_while_it_is_read_is_read_anew(wire: Wire, routes: SsmRoutes) -> None:
    put(routes, large(1))
    other = boto3.client("ssm")

    def replace(operation: str, _name: str) -> None:
        if operation == "GetParameter":
            wire.then = lambda _operation, _name: None
            put(SsmRoutes(lambda: other, NAME), large(2), 1, generation=7)
            other.delete_parameter(Name=f"{NAME}/parts/0000000000000001/2")

    wire.then = replace
    assert routes.read()[:2] == (large(2), 2)


def test_a_part_that_is_gone_or_changed_is_a_broken_table(wire: Wire, routes: SsmRoutes) -> None:
    put(routes, large(1))
    part = f"{NAME}/parts/0000000000000001/3"
    wire.client.put_parameter(Name=part, Value="something else", Type="String", Overwrite=True)
    with pytest.raises(PackInvalid):
        routes.read()
    wire.client.delete_parameter(Name=part)
    with pytest.raises(PackInvalid, match="not all of its 4 parts"):
        routes.read()


@pytest.mark.parametrize("failing", range(1, 10))
def test_a_write_that_fails_half_way_leaves_the_old_table_and_no_parts(
    wire: Wire, routes: SsmRoutes, failing: int
) -> None:
    put(routes, SMALL)
    start = len(wire.calls)
    wire.fail = lambda _operation, _name, number: (
        EndpointConnectionError(endpoint_url="https://ssm") if number == start + failing else None
    )
    if failing in {8, 9}:  # it was all written by the time of the 8th call
        assert put(routes, large(1), 1).version == 2
        return
    with pytest.raises(StoreUnavailable, match="nothing was switched: the routes in SSM stay as they were"):
        put(routes, large(1), 1)
    wire.fail = lambda _operation, _name, _number: None
    assert routes.read()[:2] == (SMALL, 1)
    assert names(wire) == [NAME]


def test_ctrl_c_half_way_takes_the_parts_back(wire: Wire, routes: SsmRoutes) -> None:
    def stop(done: int, _count: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        put(routes, large(1), progress=stop)
    assert names(wire) == []


def test_a_switch_whose_answer_was_lost_is_found_out(wire: Wire, routes: SsmRoutes) -> None:
    put(routes, SMALL)

    def lose(operation: str, name: str) -> None:
        if (operation, name) == ("PutParameter", NAME):
            raise EndpointConnectionError(endpoint_url="https://ssm")

    wire.then = lose
    assert put(routes, large(1), 1)[:1] == (2,)
    assert routes.read()[:2] == (large(1), 2)


def test_a_switch_that_nobody_can_tell_of_says_so_and_deletes_nothing(wire: Wire, routes: SsmRoutes) -> None:
    put(routes, SMALL)
    down = EndpointConnectionError(endpoint_url="https://ssm")

    def lose(operation: str, name: str) -> None:
        if (operation, name) == ("PutParameter", NAME):
            wire.fail = lambda _operation, _name, _number: down
            raise down

    wire.then = lose
    with pytest.raises(StoreUnavailable, match="not known if the routes were switched"):
        put(routes, large(1), 1)
    wire.fail = lambda _operation, _name, _number: None
    assert routes.read()[:2] == (large(1), 2)


def test_a_parameter_that_somebody_else_wrote_is_not_replaced_unless_forced(wire: Wire, routes: SsmRoutes) -> None:
    put(routes, SMALL)
    put(routes, SMALL + b"\n", 1)
    with pytest.raises(Overtaken, match="was version 1 and is version 2 now"):
        put(routes, large(1), 1)
    with pytest.raises(Overtaken, match="was not there and is version 2 now"):
        put(routes, large(1), None)
    assert names(wire) == [NAME]
    assert put(routes, large(1), 1, force=True).version == 3


def test_a_parameter_that_was_deleted_meanwhile_is_not_made_anew_unless_forced(routes: SsmRoutes) -> None:
    with pytest.raises(Overtaken, match="has been deleted"):
        put(routes, SMALL, 3)
    assert put(routes, SMALL, 3, force=True).version == 1


def test_a_writer_that_comes_while_parts_are_written_stops_the_switch(wire: Wire, routes: SsmRoutes) -> None:
    put(routes, SMALL)
    other = boto3.client("ssm")

    def interfere(done: int, _count: int) -> None:
        if done == 2:
            other.put_parameter(Name=NAME, Value="- {}", Type="String", Overwrite=True)

    with pytest.raises(Overtaken):
        put(routes, large(1), 1, progress=interfere)
    assert (routes.main().value, names(wire)) == ("- {}", [NAME])


def test_a_writer_that_comes_at_the_very_moment_is_told_of(wire: Wire, routes: SsmRoutes) -> None:
    put(routes, SMALL)
    other = boto3.client("ssm")

    def interfere(operation: str, name: str, _number: int) -> None:
        if (operation, name) == ("PutParameter", NAME):
            other.put_parameter(Name=NAME, Value="- {}", Type="String", Overwrite=True)

    wire.fail = interfere
    assert put(routes, SMALL + b"\n", 1)[::3] == (3, (2,))


def test_two_that_create_the_parameter_at_the_same_moment_do_not_both_succeed(wire: Wire, routes: SsmRoutes) -> None:
    other = boto3.client("ssm")

    def interfere(operation: str, name: str, _number: int) -> None:
        if (operation, name) == ("PutParameter", NAME):
            other.put_parameter(Name=NAME, Value="- {}", Type="String", Overwrite=True)

    wire.fail = interfere
    with pytest.raises(Overtaken, match="somebody else has created it"):
        put(routes, large(1))
    assert names(wire) == [NAME]


def test_the_history_has_each_version_newest_first(wire: Wire, routes: SsmRoutes) -> None:
    put(routes, SMALL)
    put(routes, large(1), 1)
    wire.client.put_parameter(Name=NAME, Value="#hms-svc manifest 9\n", Type="String", Overwrite=True)
    third, second, first = routes.history()
    assert (third.number, third.sha256, third.manifest) == (3, "", None)
    assert (second.number, second.bytes) == (2, len(large(1)))
    assert (second.sha256, second.manifest is not None) == (hashlib.sha256(large(1)).hexdigest(), True)
    assert (first.number, first.bytes, first.sha256) == (1, len(SMALL), hashlib.sha256(SMALL).hexdigest())
    assert routes.read(2).data == large(1)
    with pytest.raises(ParameterMissing):
        routes.read(7)


def test_parts_are_kept_for_the_last_versions_and_then_deleted(wire: Wire, routes: SsmRoutes) -> None:
    count = KEPT_VERSIONS + 2
    for number in range(1, count + 1):
        put(routes, large(number), number - 1 or None, generation=100 + number)
    clock = OwnedClock(int(routes.history()[0].written_s * 1e9))
    assert prune(routes, clock) == 0  # all of them were in force within the hour
    clock.advance(GRACE_S + 60)
    assert prune(routes, clock) == 2 * 4
    assert prune(routes, clock) == 0
    assert [routes.read(number).data for number in (3, count)] == [large(3), large(count)]
    with pytest.raises(PackInvalid, match="not all of its 4 parts"):
        routes.read(2)


def test_parts_of_a_write_that_is_going_on_are_left_alone_and_abandoned_ones_are_not(
    wire: Wire, routes: SsmRoutes
) -> None:
    put(routes, SMALL)
    abandoned = f"{NAME}/parts/00000000000000ff/1"
    wire.client.put_parameter(Name=abandoned, Value="x", Type="String")
    wire.client.put_parameter(Name=f"{NAME}-of-another/parts/1", Value="x", Type="String")
    clock = OwnedClock(int(routes.history()[0].written_s * 1e9))
    clock.advance(60)
    assert prune(routes, clock) == 0
    clock.advance(GRACE_S)
    assert prune(routes, clock) == 1
    assert names(wire) == [NAME, f"{NAME}-of-another/parts/1"]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (refused("AccessDeniedException", "GetParameter"), "needs the permission ssm:GetParameter"),
        (refused("ExpiredTokenException"), "log in again"),
        (refused("ThrottlingException"), "try again in a minute"),
        (refused("ParameterMaxVersionLimitExceeded"), "UnlabelParameterVersion"),
        (refused("ParameterLimitExceeded"), "--tier advanced"),
        (refused("InternalServerError", message="Sorry"), "InternalServerError: Sorry"),
        (refused("InternalServerError"), "InternalServerError"),
        (EndpointConnectionError(endpoint_url="https://ssm"), "AWS_ENDPOINT_URL"),
        (NoCredentialsError(), "no AWS credentials"),
        (UnauthorizedSSOTokenError(), "aws sso login"),
    ],
)
def test_what_aws_says_becomes_a_sentence_with_its_remedy(
    wire: Wire, routes: SsmRoutes, error: Exception, said: str
) -> None:
    wire.fail = lambda _operation, _name, _number: error
    for work in (routes.read, routes.history, lambda: prune(routes, OwnedClock()), lambda: put(routes, SMALL)):
        with pytest.raises(StoreUnavailable) as caught:
            work()
        assert said in str(caught.value)
        assert not str(caught.value).endswith(": ")


def test_no_region_and_no_credentials_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def said() -> str:
        with pytest.raises(StoreUnavailable) as caught:
            SsmRoutes(operator_client, NAME).read()
        return str(caught.value)

    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    assert "set AWS_REGION" in said()
    monkeypatch.setenv("AWS_REGION", "us-gov-west-1")
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    assert "AWS_PROFILE" in said()


@pytest.mark.parametrize(("client", "attempts"), [(router_client, 2), (operator_client, 10)])
def test_each_client_has_bounds(client: Callable[[], SSMClient], attempts: int) -> None:
    config: Any = client().meta.config
    assert config.retries == {"total_max_attempts": attempts, "mode": "standard"}
    assert config.connect_timeout <= 5
    assert config.read_timeout <= 20
