"""Fuzzing guided by coverage, with atheris: bytes become a property's input by way of hypothesis, or a header line."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import atheris

with atheris.instrument_imports(
    include=["hms_svc.core.credentials", "hms_svc.core.authenticate", "hms_svc.aws.events"]
):
    from fuzz.properties import JUDGE, PROPERTIES, failed
    from fuzz.run import keep

from fuzz.calls import Call
from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Callable

settings.load_profile("fuzz")
_INPUTS: list[Callable[[bytes], object]] = [check.hypothesis.fuzz_one_input for check in PROPERTIES.values()]


def as_a_line(data: bytes) -> None:
    """The bytes as they would come off the wire, in each field that may hold a credential."""
    text = data.decode("latin-1")
    for name in ("Authorization", "X-API-Key"):
        call = Call("/any", ((name, (text,)),))
        try:
            JUDGE.check(call)
        except BaseException:
            failed.append(call)
            raise


def one_input(data: bytes) -> None:
    """The first byte says what the others are."""
    if not data:
        return
    which = data[0] % (len(_INPUTS) + 1)
    try:
        if which == len(_INPUTS):
            as_a_line(data[1:])
        else:
            _INPUTS[which](data[1:])
    except BaseException:
        if failed:
            print(f"guided: kept {keep(failed[-1])}", file=sys.stderr)
        raise


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
