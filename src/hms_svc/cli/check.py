"""`hms-svc check` and `hms-svc diff`: what is wrong with a routes.yml, and what a change to it does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from hms_svc.cli.console import BAD, fail, say
from hms_svc.cli.files import PoliciesFolder, RoutesFile, policies_folder, print_problems, read, read_config
from hms_svc.core.changes import changes
from hms_svc.core.policy_loader import PolicyLoader
from hms_svc.core.routes import RoutesInvalid, load


def check(
    routes: RoutesFile = Path("routes.yml"),
    policies: PoliciesFolder = None,
    output: Annotated[str, typer.Option("--format", metavar="text|json", help="How to print what was found.")] = "text",
) -> None:
    """Find every problem in a routes file at once.

    Exit code 0: the file is good. 1: it has problems, each printed as file:line:column, key and remedy.

    Example:  hms-svc check routes.yml
    """
    if output not in {"text", "json"}:
        fail(f"--format is text or json, not {output}")
    loader = PolicyLoader(policies_folder(policies))
    loader.install()
    data = read(routes)
    try:
        config = load(data, source=str(routes), build_policy=loader.build)
    except RoutesInvalid as invalid:
        if output == "json":
            typer.echo(json.dumps({"problems": [problem.as_dict() for problem in invalid.problems]}, indent=2))
        else:
            print_problems([str(problem) for problem in invalid.problems])
        raise typer.Exit(BAD) from None
    if output == "json":
        report = {"problems": [], "warnings": config.warnings, "routes": len(config.routes), "sha256": config.sha256}
        typer.echo(json.dumps(report, indent=2))
        return
    for warning in config.warnings:
        say(f"warning: {warning}", colour="yellow", err=True)
    say(f"{routes} is good: {len(config.routes)} routes, sha256 {config.sha256[:12]}", colour="green")


def diff(
    old: Annotated[Path, typer.Argument(help="The routes file as it was.")],
    new: Annotated[Path, typer.Argument(help="The routes file as it will be.")],
    policies: PoliciesFolder = None,
) -> None:
    """Show what changes from one routes file to another: + added, - removed, ~ changed.

    Example:  hms-svc diff routes.yml routes.new.yml
    """
    differing = changes(read_config(old, policies), read_config(new, policies))
    for change in differing:
        say(str(change), colour={"added": "green", "removed": "red", "changed": "yellow"}[change.kind])
    if not differing:
        say("no changes")
