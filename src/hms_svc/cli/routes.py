"""`hms-svc routes`: the route table, from a file or from a running gateway."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from hms_svc.cli.console import fail, show_table
from hms_svc.cli.files import PoliciesFolder, read_config
from hms_svc.cli.remote import DEFAULT_GATEWAY, GatewayUrl, call
from hms_svc.core.summary import summary

COLUMNS = ("methods", "host", "path", "auth", "limit", "policies", "to")


def routes(
    file: Annotated[
        Path | None, typer.Argument(metavar="[ROUTES]", help="A routes file; left out, the running gateway is asked.")
    ] = None,
    gateway: GatewayUrl = DEFAULT_GATEWAY,
    policies: PoliciesFolder = None,
    output: Annotated[str, typer.Option("--format", metavar="table|json", help="How to print them.")] = "table",
) -> None:
    """Show the route table, most widely used columns first.

    Example:  hms-svc routes routes.yml
    """
    if output not in {"table", "json"}:
        fail(f"--format is table or json, not {output}")
    if file is not None:
        rows = [summary(route) for route in read_config(file, policies).routes]
    else:
        rows = call("GET", gateway)["routes"]
    if output == "json":
        typer.echo(json.dumps(rows, indent=2))
        return
    used = [column for column in COLUMNS if column in {"methods", "path"} or any(row[column] for row in rows)]
    show_table(used, [[row[column] for column in used] for row in rows])
