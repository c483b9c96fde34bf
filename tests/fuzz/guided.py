"""Fuzzing guided by coverage, with atheris: bytes become a property's input by way of hypothesis, or a header line.

Header lines begin with those of the seeds, genuine tokens among them; `fuzz.run` gives the folder they are written to.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import atheris

with atheris.instrument_imports(include=["hms_svc.core.credentials", "hms_svc.core.authenticate", "hms_svc.aws"]):
    from fuzz.properties import JUDGE, PROPERTIES, failed
    from fuzz.run import SEEDS, keep

from fuzz.calls import Call, Piece
from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Callable

settings.load_profile("fuzz")
_INPUTS: list[Callable[[bytes], object]] = [check.hypothesis.fuzz_one_input for check in PROPERTIES.values()]
_LINE = len(_INPUTS)
_CALLS = [Call.from_json(path.read_text("utf-8")) for path in sorted(SEEDS.glob("*.json"))]
_GENUINE = {
    token.original(): replace(token, edits=())
    for call in _CALLS
    for token in call.tokens()
    if token.key in {"rsa", "ed"}
}
"""Of the kinds whose signatures are the same each time."""
_runs = 0


def as_a_line(data: bytes) -> None:
    """The bytes as they would come off the wire, in each field that may hold a credential."""
    text = data.decode("latin-1")
    pieces: tuple[Piece, ...] = (text,)
    for known, token in _GENUINE.items():
        if known in text:
            before, _, after = text.partition(known)
            pieces = (before, token, after)
    for name in ("Authorization", "X-API-Key"):
        call = Call("/any", ((name, pieces),))
        try:
            JUDGE.check(call)
        except BaseException:
            failed.append(call)
            raise


def one_input(data: bytes) -> None:
    """The first byte says what the others are."""
    global _runs  # noqa: PLW0603  (atheris ends the process without a word)
    _runs += 1
    if _runs % 10_000 == 0:
        print(f"guided: {_runs} inputs, calls answered: {dict(sorted(JUDGE.statuses.items()))}", file=sys.stderr)
    if not data:
        return
    which = data[0] % (_LINE + 1)
    try:
        if which == _LINE:
            as_a_line(data[1:])
        else:
            _INPUTS[which](data[1:])
    except BaseException:
        if failed:
            print(f"guided: kept {keep(failed[-1])}", file=sys.stderr)
        raise


def write_lines(folder: Path) -> None:
    """The header lines of the seeds, each in a file to begin with."""
    for number, call in enumerate(_CALLS):
        if any(token.key in {"ec", "pss"} for token in call.tokens()):
            continue
        for _, value in call.headers():
            (folder / f"line-{number}").write_bytes(bytes([_LINE]) + value.encode("latin-1", "replace"))


if __name__ == "__main__":
    write_lines(Path(sys.argv[-1]))
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
