"""Reading a routes.yml for a command: the file, the plug-ins it names, and its problems as text."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hms_svc.cli.console import BAD, fail, os_error, say
from hms_svc.core.routes import RoutesInvalid, load
from hms_svc.settings import DEFAULT_POLICIES

if TYPE_CHECKING:
    from hms_svc.core.config import Config

RoutesFile = Annotated[Path, typer.Argument(metavar="ROUTES", help="The routes file.", show_default=True)]
PoliciesFolder = Annotated[
    Path | None,
    typer.Option(
        "--policies",
        metavar="FOLDER",
        help=f"Where the plug-ins are.  \\[default: {DEFAULT_POLICIES}, if it is there]",
    ),
]


def policies_folder(given: Path | None) -> Path | None:
    """The folder of plug-ins: the one given, which must be there, else the usual one if it is there."""
    if given is not None and not given.is_dir():
        fail(f"the policy folder {given} is not there")
    return given or (DEFAULT_POLICIES if DEFAULT_POLICIES.is_dir() else None)


def read(path: Path) -> bytes:
    """The bytes of a file, or one sentence and exit code 2."""
    try:
        return path.read_bytes()
    except OSError as error:
        fail(f"cannot read {os_error(error)}")


def read_config(path: Path, policies: Path | None) -> Config:
    """The configuration in a file; with problems in it they are printed and the command ends with exit code 1."""
    from hms_svc.core.policy_loader import PolicyLoader

    loader = PolicyLoader(policies_folder(policies))
    loader.install()
    try:
        return load(read(path), source=str(path), build_policy=loader.build)
    except RoutesInvalid as invalid:
        print_problems([str(problem) for problem in invalid.problems])
        raise typer.Exit(BAD) from None


def unbuilt(data: bytes, *, source: str) -> Config:
    """The configuration in ``data``, its policies not built; with problems in it the command ends with exit code 1."""
    from hms_svc.core.policy import Policy

    try:
        return load(data, source=source, build_policy=lambda _use, _options: Policy())
    except RoutesInvalid as invalid:
        print_problems([str(problem) for problem in invalid.problems])
        raise typer.Exit(BAD) from None


def print_problems(problems: list[str]) -> None:
    """Each problem on a line of its own, on standard error, and how many there are."""
    for problem in problems:
        say(problem, err=True, colour="red")
    count = len(problems)
    say(f"{count} problem{'' if count == 1 else 's'} found", err=True, bold=sys.stderr.isatty())
