"""`hms-svc history` and `hms-svc rollback`: the versions of the routes in SSM, and the way back to one."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hms_svc.cli.console import BAD, fail, show_table
from hms_svc.cli.files import PoliciesFolder
from hms_svc.cli.ssm import Force, Parameter, Tier, aws_errors, opened, parameter, put_in_force

if TYPE_CHECKING:
    from hms_svc.aws.ssm_routes import SsmRoutes, Version

_SHORT = 12


def history(
    ssm: Parameter = None,
    limit: Annotated[int, typer.Option(min=1, max=100, help="How many at most, the newest first.")] = 20,
    output: Annotated[str, typer.Option("--format", metavar="table|json", help="How to print them.")] = "table",
) -> None:
    """List the versions of the routes in SSM, the newest first: that one is in force.

    SSM keeps the last 100. Tables in several parts can be had back for the last 10.

    Example:  hms-svc history --ssm /hms-svc/routes
    """
    if output not in {"table", "json"}:
        fail(f"--format is table or json, not {output}")
    routes = opened(parameter(ssm))
    with aws_errors():
        rows = [_row(version) for version in routes.history()[:limit]]
    if output == "json":
        typer.echo(json.dumps({"parameter": routes.name, "versions": rows}, indent=2))
        return
    show_table(
        ("version", "written", "by", "bytes", "parts", "sha256"),
        [
            (
                str(row["version"]),
                row["written"],
                row["by"] or "-",
                str(row["bytes"]),
                str(row["parts"] or "-"),
                row["sha256"][:_SHORT] or "unreadable",
            )
            for row in rows
        ],
    )


def rollback(
    version: Annotated[int, typer.Argument(min=1, metavar="VERSION", help="As `hms-svc history` shows it.")],
    ssm: Parameter = None,
    policies: PoliciesFolder = None,
    tier: Tier = "standard",
    *,
    force: Force = False,
) -> None:
    """Put the routes of an earlier version in force again, as a new version.

    They are checked first, with the policies of today; with problems in them the routes in force stay (exit code 1).

    Example:  hms-svc rollback 12 --ssm /hms-svc/routes
    """
    routes = opened(parameter(ssm))
    with aws_errors():
        data = _read(routes, version)
    put_in_force(
        routes,
        data,
        source=f"version {version}",
        policies=policies,
        tier=tier,
        force=force,
        done=f"version {version} is in force again as",
    )


def _read(routes: SsmRoutes, version: int) -> bytes:
    """The routes file of a version; what is missing or broken ends the command with a sentence that says which."""
    from hms_svc.aws.ssm_client import ParameterMissing
    from hms_svc.aws.ssm_pack import PackInvalid

    try:
        return routes.read(version).data
    except ParameterMissing:
        fail(f"{routes.name} has no version {version}; `hms-svc history` shows those that there are", BAD)
    except PackInvalid as error:
        fail(f"version {version} of {routes.name} cannot be had back: {error}", BAD)


def _row(version: Version) -> dict[str, Any]:
    return {
        "version": version.number,
        "written": datetime.fromtimestamp(version.written_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "by": version.by,
        "bytes": version.bytes,
        "parts": version.manifest.parts if version.manifest else 0,
        "sha256": version.sha256,
    }
