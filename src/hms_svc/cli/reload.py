"""`hms-svc reload`: new routes into a running gateway or into SSM, whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hms_svc.cli.console import fail, say
from hms_svc.cli.files import PoliciesFolder, RoutesFile, read
from hms_svc.cli.remote import DEFAULT_GATEWAY, GatewayUrl, call
from hms_svc.cli.ssm import COLOURS, Force, Tier, opened, parameter, put_in_force
from hms_svc.core.changes import Change


def reload(  # noqa: PLR0917  (options, which typer passes by name)
    context: typer.Context,
    routes: RoutesFile = Path("routes.yml"),
    gateway: GatewayUrl = DEFAULT_GATEWAY,
    ssm: Annotated[
        str | None, typer.Option("--ssm", metavar="NAME", help="Write this SSM parameter, for the router on AWS.")
    ] = None,
    policies: PoliciesFolder = None,
    tier: Tier = "standard",
    *,
    force: Force = False,
) -> None:
    """Put a routes file in force, in a running gateway or on AWS.

    A running gateway checks the file first. With problems in it they are all printed and the routes in force stay
    (exit code 1). Else it swaps them between two requests: none is dropped, none sees half of each. The admin token
    is read from HMS_SVC_TOKEN.

    With --ssm the file is checked here, what it changes is shown, and it is written to SSM, in several parameters if
    it is too big for one. Routers on AWS see the old routes or the new ones, never some of each.

    Example:  hms-svc reload routes.yml

    On AWS:  hms-svc reload routes.yml --ssm /hms-svc/routes
    """
    sources = {name: context.get_parameter_source(name) for name in context.params}
    given = {name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"}
    if ssm is not None:
        if "gateway" in given:
            fail("give --gateway or --ssm, not both")
        data = read(routes)
        done = f"{routes} is in force as"
        put_in_force(
            opened(parameter(ssm)), data, source=str(routes), policies=policies, tier=tier, force=force, done=done
        )
        return
    for name in ("policies", "tier", "force"):
        if name in given:
            fail(f"--{name} goes with --ssm")
    _into_gateway(routes, gateway)


def _into_gateway(routes: Path, gateway: str) -> None:
    answer = call("PUT", gateway, body=read(routes), params={"source": str(routes)})
    for change in answer["changes"]:
        made = Change(change["kind"], change["name"], tuple(change["fields"]))
        say(str(made), colour=COLOURS[made.kind])
    for warning in answer["warnings"]:
        say(f"warning: {warning}", colour="yellow", err=True)
    changed = f"{len(answer['changes'])} changes" if answer["changes"] else "no changes"
    say(f"{routes} is in force: {answer['routes']} routes, {changed}, sha256 {answer['sha256'][:12]}", colour="green")
