"""Clients of SSM Parameter Store, each with its bounds in time, and what goes wrong there in plain sentences."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hms_svc.aws import sentences
from hms_svc.core.ports import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_ssm import SSMClient

_BUSY = frozenset({"ThrottlingException", "Throttling", "TooManyUpdates", "RequestLimitExceeded"})
_MISSING = frozenset({"ParameterNotFound", "ParameterVersionNotFound"})


class ParameterMissing(StoreUnavailable):
    """SSM answered: there is no such parameter, or no such version of it."""


class ParameterExists(StoreUnavailable):
    """SSM answered: somebody else has created the parameter."""


def router_client() -> SSMClient:
    """For the router: a call takes at most 6 seconds and a short wait (1 s to connect, 2 s to read, 2 attempts)."""
    return _client(connect_s=1, read_s=2, attempts=2)


def operator_client() -> SSMClient:
    """For the command line: 10 attempts with growing pauses (up to 20 s), since SSM takes few writes a second."""
    return _client(connect_s=5, read_s=20, attempts=10)


def _client(*, connect_s: float, read_s: float, attempts: int) -> SSMClient:
    import boto3
    from botocore.config import Config

    config = Config(
        connect_timeout=connect_s,
        read_timeout=read_s,
        retries={"total_max_attempts": attempts, "mode": "standard"},
    )
    # boto3 reads AWS_DEFAULT_REGION only; the AWS command line and most tools go by AWS_REGION first.
    return boto3.session.Session().client("ssm", region_name=os.environ.get("AWS_REGION") or None, config=config)


@contextmanager
def in_sentences(name: str) -> Iterator[None]:
    """Turns what boto3 raises into `StoreUnavailable` with one sentence that says what to do.

    ``name`` is the parameter's. Raises `ParameterMissing` and `ParameterExists` for these answers.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        answer = error.response.get("Error", {})
        code = answer.get("Code", "an error")
        if code in _MISSING:
            raise ParameterMissing(f"SSM has no parameter {name}, or not that version of it") from error
        if code == "ParameterAlreadyExists":
            raise ParameterExists(f"the SSM parameter {name} is there already") from error
        raise StoreUnavailable(_refused(error.operation_name, name, code, answer.get("Message", ""))) from error
    except (BotoCoreError, ValueError) as error:  # a ValueError of boto3's: an endpoint or region that is none
        raise StoreUnavailable(sentences.not_sent(error, "SSM")) from error


def _refused(operation: str, name: str, code: str, message: str) -> str:
    """What SSM answered."""
    said = sentences.refused(f"ssm:{operation}", name, code)
    if said is not None:
        return said
    if code in _BUSY:
        return f"SSM has too much to do ({code} at {operation} of {name}): try again in a minute"
    match code:
        case "ParameterMaxVersionLimitExceeded":
            return f"SSM keeps 100 versions of {name} and the oldest has a label: remove it (UnlabelParameterVersion)"
        case "ParameterLimitExceeded":
            return "this account has as many parameters as it may: delete some, or use --tier advanced"
        case _:
            return f"SSM refused {operation} of {name}: {code}: {message}".rstrip(": ")
