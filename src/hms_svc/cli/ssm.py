"""Routes in SSM, for commands: which parameter, what a change to it does, and the change itself."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from hms_svc.cli.console import BAD, fail, say
from hms_svc.cli.files import policies_folder, print_problems
from hms_svc.core.changes import changes
from hms_svc.core.config import Config
from hms_svc.core.policy import Policy
from hms_svc.core.policy_loader import PolicyLoader
from hms_svc.core.ports import StoreUnavailable
from hms_svc.core.routes import RoutesInvalid, load

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hms_svc.aws.ssm_routes import SsmRoutes, Stored
    from hms_svc.aws.ssm_write import Written

COLOURS = {"added": "green", "removed": "red", "changed": "yellow"}
_NAME = re.compile(r"/[A-Za-z0-9_.\-/]{1,900}")
_PROGRESS_FROM = 5
"""Parts; fewer are there before a bar is drawn."""
Parameter = Annotated[
    str | None,
    typer.Option("--ssm", metavar="NAME", help="The SSM parameter.  \\[env: HMS_SVC_ROUTES=ssm:NAME]"),
]
Tier = Annotated[
    str,
    typer.Option(
        metavar="standard|advanced",
        help="The parameters' tier: 4 KB each and free, or 8 KB and paid monthly. With --ssm.",
    ),
]
Force = Annotated[
    bool, typer.Option("--force", help="Write even if somebody else has written the parameter meanwhile. With --ssm.")
]


def parameter(given: str | None) -> str:
    """The parameter's name, from ``--ssm`` or the environment; else one sentence and exit code 2."""
    text = given or os.environ.get("HMS_SVC_ROUTES", "")
    name = text.removeprefix("ssm:")
    if given is None and name == text:
        fail("which parameter? Give --ssm /hms-svc/routes, or set HMS_SVC_ROUTES=ssm:/hms-svc/routes")
    if not _NAME.fullmatch(name) or name.endswith("/"):
        fail(f"a parameter is named like /hms-svc/routes, with letters, digits and _.-/ only, not {name}")
    return name


def opened(name: str) -> SsmRoutes:
    """The routes in the parameter ``name``, over a client that is made when it is needed."""
    from hms_svc.aws.ssm_client import operator_client
    from hms_svc.aws.ssm_routes import SsmRoutes

    return SsmRoutes(operator_client, name)


@contextmanager
def aws_errors() -> Iterator[None]:
    """What AWS does not do ends the command with one sentence and exit code 1."""
    from hms_svc.aws.ssm_pack import PackInvalid

    try:
        yield
    except (StoreUnavailable, PackInvalid) as error:
        fail(str(error), BAD)


def put_in_force(
    routes: SsmRoutes, data: bytes, *, source: str, policies: Path | None, tier: str, force: bool, done: str
) -> None:
    """Check ``data``, show what it changes, write it. ``done`` begins the last line: what is in SSM now."""
    if tier not in {"standard", "advanced"}:
        fail(f"--tier is standard or advanced, not {tier}")
    loader = PolicyLoader(policies_folder(policies))
    loader.install()
    try:
        config = load(data, source=source, build_policy=loader.build)
    except RoutesInvalid as invalid:
        print_problems([str(problem) for problem in invalid.problems])
        say("the routes in SSM stay as they were", err=True)
        raise typer.Exit(BAD) from None
    with aws_errors():
        version, stored = _in_force(routes)
        differing = changes(_understood(routes.name, stored), config)
        for change in differing:
            say(str(change), colour=COLOURS[change.kind])
        for warning in config.warnings:
            say(f"warning: {warning}", colour="yellow", err=True)
        if stored is not None and stored.data == data:
            say(f"{routes.name} holds just this already, as version {stored.version}: nothing was written")
            return
        written = _write(routes, data, expected=version, tier=tier, force=force)
    changed = f"{len(differing)} change{'' if len(differing) == 1 else 's'}" if differing else "no changes"
    where = f" in {written.parts} parts" if written.parts else ""
    say(
        f"{done} {routes.name} version {written.version}{where}: {len(config.routes)} routes, {changed}, "
        f"sha256 {config.sha256[:12]}",
        colour="green",
    )
    say("Routers use it as soon as their routes are older than HMS_SVC_ROUTES_MAX_AGE (30 s, if it is not set).")


def _in_force(routes: SsmRoutes) -> tuple[int | None, Stored | None]:
    """The version that stands in SSM and its table; None where there is none, or none that can be read."""
    from hms_svc.aws.ssm_client import ParameterMissing
    from hms_svc.aws.ssm_pack import PackInvalid

    try:
        main = routes.main()
    except ParameterMissing:
        say(f"{routes.name} is not there yet and will be created", err=True)
        return None, None
    try:
        return main.version, routes.table(main)
    except PackInvalid as error:
        say(f"warning: version {main.version} in SSM cannot be read: {error}", colour="yellow", err=True)
        return main.version, None


def _understood(name: str, stored: Stored | None) -> Config:
    """The configuration in SSM, for comparison only: its policies are not built."""
    if stored is None:
        return Config()
    try:
        return load(stored.data, source=name, build_policy=lambda _use, _options: Policy())
    except RoutesInvalid as invalid:
        first = invalid.problems[0]
        say(f"warning: version {stored.version} in SSM does not load: {first}", colour="yellow", err=True)
        return Config()


def _write(routes: SsmRoutes, data: bytes, *, expected: int | None, tier: str, force: bool) -> Written:
    from hms_svc.aws.ssm_write import Overtaken, prune, write
    from hms_svc.local.system import SystemClock, SystemRandomness

    try:
        with _progress() as progress:
            written = write(
                routes,
                data,
                expected=expected,
                randomness=SystemRandomness(),
                force=force,
                advanced=tier == "advanced",
                progress=progress,
            )
    except Overtaken as overtaken:
        fail(f"{overtaken}. Look at it (hms-svc history) and try again, or use --force", BAD)
    for version in written.overtook:
        say(
            f"warning: version {version} was written by somebody else at the same moment and is not in force; "
            f"to have it back: hms-svc rollback {version}",
            colour="yellow",
            err=True,
        )
    try:
        prune(routes, SystemClock())
    except StoreUnavailable as error:
        say(f"warning: old parts were not deleted, the next reload will try again: {error}", colour="yellow", err=True)
    return written


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal, for as long as many parts are written."""
    if not sys.stderr.isatty():
        yield lambda _done, _all: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("writing parts", visible=False)

        def show(done: int, count: int) -> None:
            bar.update(task, completed=done, total=count, visible=count >= _PROGRESS_FROM)

        yield show
