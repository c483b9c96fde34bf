"""Secrets in SSM, as moto plays it."""

from __future__ import annotations

from typing import Any

import boto3
import pytest
from aws.cloud import aws
from worlds import OwnedClock, drive

from hms_svc.aws.ssm_client import router_client
from hms_svc.aws.ssm_secrets import MAX_SECRETS, SsmSecrets
from hms_svc.core.ports import StoreUnavailable

__all__ = ["aws"]
NAME = "/hms-svc/secrets/legacy"
pytestmark = pytest.mark.usefixtures("aws")


def put(value: str, type_: Any = "SecureString", name: str = NAME) -> None:
    client = boto3.client("ssm")
    client.put_parameter(Name=name, Value=value, Type=type_, Overwrite=True)


def remove() -> None:
    boto3.client("ssm").delete_parameter(Name=NAME)


class Desk:
    def __init__(self) -> None:
        self.clock = OwnedClock()
        self.secrets = SsmSecrets(router_client, self.clock)

    def read(self, name: str = NAME, *, again: bool = False) -> str:
        secret: str = drive(self.secrets.read(name, again=again))
        return secret

    def fault(self) -> str:
        with pytest.raises(StoreUnavailable) as failed:
            self.read()
        assert "hunter2" not in str(failed.value)
        return str(failed.value)


def test_a_secret_is_kept_for_5_minutes() -> None:
    desk = Desk()
    put("hunter2")
    assert desk.read() == "hunter2"
    put("hunter3")
    desk.clock.advance(299)
    assert desk.read() == "hunter2"
    desk.clock.advance(1)
    assert desk.read() == "hunter3"


def test_a_secret_that_is_refused_is_read_again_at_once_but_once_in_30_seconds() -> None:
    desk = Desk()
    put("hunter2")
    desk.read()
    put("hunter3")
    assert desk.read(again=True) == "hunter3"
    put("hunter4")
    desk.clock.advance(29)
    assert desk.read(again=True) == "hunter3"
    desk.clock.advance(1)
    assert desk.read(again=True) == "hunter4"


def test_a_secret_outlives_a_failure_of_ssm() -> None:
    desk = Desk()
    put("hunter2")
    desk.read()
    remove()
    desk.clock.advance(300)
    assert desk.read() == "hunter2"
    put("hunter3")
    assert desk.read() == "hunter2"
    desk.clock.advance(30)
    assert desk.read() == "hunter3"


def test_a_secret_that_is_not_there_is_looked_for_each_time() -> None:
    desk = Desk()
    assert desk.fault() == f"SSM has no parameter {NAME}, or not that version of it"
    put("hunter2")
    assert desk.read() == "hunter2"


def test_a_line_break_at_its_end_which_came_from_a_file_is_no_part_of_a_secret() -> None:
    desk = Desk()
    put("hunter2\n")
    assert desk.read() == "hunter2"


def test_a_parameter_that_all_may_read_is_no_secret() -> None:
    desk = Desk()
    put("hunter2", "String")
    assert desk.fault().startswith(f"the SSM parameter {NAME} is no SecureString")


def test_a_parameter_that_is_not_one_line_is_no_secret() -> None:
    desk = Desk()
    put("hunter2\nhunter2")
    assert desk.fault() == f"the secret ssm:{NAME} is empty, or not one line of text"


def test_what_holds_secrets_does_not_show_them() -> None:
    desk = Desk()
    put("hunter2")
    desk.read()
    assert "hunter2" not in repr(vars(desk.secrets))


def test_secrets_of_former_configurations_are_forgotten() -> None:
    desk = Desk()
    for number in range(MAX_SECRETS + 1):
        put("hunter2", name=f"{NAME}-{number}")
        desk.read(f"{NAME}-{number}")
    assert len(vars(desk.secrets)["_kept"]) == 1
