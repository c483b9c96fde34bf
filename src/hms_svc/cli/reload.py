"""`hms-svc reload`: new routes into a running gateway, whole or not at all."""

from __future__ import annotations

from pathlib import Path

from hms_svc.cli.console import say
from hms_svc.cli.files import RoutesFile, read
from hms_svc.cli.remote import DEFAULT_GATEWAY, GatewayUrl, call
from hms_svc.core.changes import Change

_COLOURS = {"added": "green", "removed": "red", "changed": "yellow"}


def reload(routes: RoutesFile = Path("routes.yml"), gateway: GatewayUrl = DEFAULT_GATEWAY) -> None:
    """Put a routes file in force in a running gateway.

    The gateway checks the file first. With problems in it they are all printed and the routes in force stay (exit
    code 1). Else it swaps them between two requests: none is dropped, none sees half of each.

    The admin token is read from HMS_SVC_TOKEN.

    Example:  hms-svc reload routes.yml
    """
    answer = call("PUT", gateway, body=read(routes), source=str(routes))
    for change in answer["changes"]:
        made = Change(change["kind"], change["name"], tuple(change["fields"]))
        say(str(made), colour=_COLOURS[made.kind])
    for warning in answer["warnings"]:
        say(f"warning: {warning}", colour="yellow", err=True)
    changed = f"{len(answer['changes'])} changes" if answer["changes"] else "no changes"
    say(f"{routes} is in force: {answer['routes']} routes, {changed}, sha256 {answer['sha256'][:12]}", colour="green")
