"""`hms-svc limits`: what is in a caller's buckets, and making them full again, in a running gateway or in DynamoDB."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from hms_svc.cli.console import BAD, fail, say, show_table
from hms_svc.cli.files import read, unbuilt
from hms_svc.cli.remote import DEFAULT_GATEWAY, GatewayUrl, call
from hms_svc.cli.ssm import aws_errors, opened, parameter
from hms_svc.core.limit_desk import Found, TargetInvalid, find, look, reset_each, unnamed_text
from hms_svc.core.ports import StoreUnavailable

if TYPE_CHECKING:
    from hms_svc.aws.operator_limits import OperatorLimits
    from hms_svc.core.config import Config

LIMITS = "/_hms/limits"
_DYNAMODB = "dynamodb:"
_NO_LIST = "in DynamoDB buckets cannot be listed, their keys are hashes: a bucket must be named"

Target = Annotated[
    str, typer.Argument(metavar="ROUTE|KEY", help="A route by its name or path, or one bucket by its key.")
]
Ip = Annotated[str, typer.Option("--ip", metavar="ADDRESS", help="The caller's address.")]
CallerName = Annotated[str, typer.Option("--caller", metavar="NAME", help="The caller's name, as the record has it.")]
Via = Annotated[
    str,
    typer.Option(
        metavar="oauth|api_key|mtls", help="How the caller is proved. Left out: the one way that the route takes."
    ),
]
Issuer = Annotated[
    str,
    typer.Option(metavar="NAME", help="Who signed for the caller: an issuer of the file, a certificate's issuer."),
]
TokenSha256 = Annotated[
    str, typer.Option("--token-sha256", metavar="HEX", help="SHA-256 of the token or API key, for limits per token.")
]
Plan = Annotated[
    str,
    typer.Option(metavar="NAME", help="Only the buckets of who is on this plan. Left out: those of every plan."),
]
Table = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="The DynamoDB table of the limits.  \\[env: HMS_SVC_LIMITS=dynamodb:NAME]"),
]
Ssm = Annotated[
    str | None, typer.Option("--ssm", metavar="NAME", help="With --table: the SSM parameter of the routes.")
]
Routes = Annotated[Path | None, typer.Option("--routes", metavar="FILE", help="With --table: the routes file.")]

app = typer.Typer(
    help="The buckets of the rate limits: see what is left in them, make them full.", no_args_is_help=True
)


class Place(NamedTuple):
    """Where the buckets are: in the gateway's memory, or in a table, whose routes have to be known here."""

    gateway: str
    table: str | None
    ssm: str | None
    routes: Path | None


@app.command("show")
def show(  # noqa: PLR0917  (options, which typer passes by name)
    context: typer.Context,
    target: Target,
    ip: Ip = "",
    caller: CallerName = "",
    via: Via = "",
    issuer: Issuer = "",
    token_sha256: TokenSha256 = "",
    plan: Plan = "",
    gateway: GatewayUrl = DEFAULT_GATEWAY,
    table: Table = None,
    ssm: Ssm = None,
    routes: Routes = None,
    output: Annotated[str, typer.Option("--format", metavar="table|json", help="How to print them.")] = "table",
) -> None:
    """Show what is left in the buckets of a route: of a caller, or the emptiest ones. Nothing is taken.

    Where a limit has plans, each line names the plan by which it is counted, - for none.

    A running gateway is asked by its admin interface (HMS_SVC_TOKEN). With --table the DynamoDB table is read, with
    your own AWS credentials; there a bucket must be named.

    Example:  hms-svc limits show /public/faq --ip 192.0.2.7

    On AWS:  hms-svc limits show claims --caller alice --table hms-svc-limits --ssm /hms-svc/routes
    """
    if output not in {"table", "json"}:
        fail(f"--format is table or json, not {output}")
    who = _given(ip=ip, caller=caller, via=via, issuer=issuer, token_sha256=token_sha256)
    place = _place(context, Place(gateway, table, ssm, routes))
    if place.table is None:
        answer = call("GET", place.gateway, LIMITS, params={"target": target, **_given(plan=plan), **who})
    else:
        found = _found(place, target, who, plan)
        unnamed = [unnamed_text(*it) for it in found.unnamed]
        if not found.wants:
            fail(f"{_NO_LIST}. {'; '.join(unnamed)}")
        answer = {"buckets": _run(look(_buckets(place), found.wants)), "unnamed": unnamed}
    if output == "json":
        typer.echo(json.dumps(answer, indent=2))
        return
    _print(answer)


@app.command("reset")
def reset(  # noqa: PLR0917  (options, which typer passes by name)
    context: typer.Context,
    target: Target,
    ip: Ip = "",
    caller: CallerName = "",
    via: Via = "",
    issuer: Issuer = "",
    token_sha256: TokenSha256 = "",
    plan: Plan = "",
    gateway: GatewayUrl = DEFAULT_GATEWAY,
    table: Table = None,
    ssm: Ssm = None,
    routes: Routes = None,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Make buckets full again, for a caller who must not wait. The buckets are shown first, and you are asked.

    Where a limit has plans, that is the caller's bucket of every plan, or with --plan of one.

    In DynamoDB an environment that has seen the bucket empty looks again within 30 s.

    Example:  hms-svc limits reset /public/faq --ip 192.0.2.7
    """
    who = _given(ip=ip, caller=caller, via=via, issuer=issuer, token_sha256=token_sha256)
    place = _place(context, Place(gateway, table, ssm, routes))
    if place.table is None:
        shown = call("GET", place.gateway, LIMITS, params={"target": target, **_given(plan=plan), **who})
        _confirm({"buckets": shown["buckets"], "unnamed": shown["unnamed"]}, yes=yes)
        answer = call("DELETE", place.gateway, LIMITS, params={"target": target, **_given(plan=plan), **who})
    else:
        found, buckets = _found(place, target, who, plan), _buckets(place)
        rows = _run(look(buckets, found.wants))
        _confirm({"buckets": rows, "unnamed": [unnamed_text(*it) for it in found.unnamed]}, yes=yes)
        were_in_use = reset_each(found.wants, lambda want: _run(buckets.reset(want)))
        for row, was_in_use in zip(rows, were_in_use, strict=True):
            row["was_in_use"] = was_in_use
        answer = {"buckets": rows}
    has_plans = any(row["plan"] for row in answer["buckets"])
    for row in answer["buckets"]:
        had = f"{row['remaining']} of {row['burst']} were left" if row["was_in_use"] else "it was full"
        on = f", plan {row['plan']}" if row["plan"] else ", no plan" if has_plans else ""
        say(f"reset: {row['key']} ({row['limit']} of {row['route']}{on}), {had}", colour="green")
    if place.table is not None:
        say("Environments that saw a bucket empty look again within 30 s.")


def _confirm(shown: dict[str, Any], *, yes: bool) -> None:
    """Show what will be reset and ask; with nothing to reset, or a no, the command ends."""
    if not shown["buckets"]:
        fail("; ".join(shown["unnamed"]))
    if yes:
        return
    _print(shown)
    if not sys.stdin.isatty():
        fail("nobody is there to be asked: say --yes")
    if not typer.confirm(f"Make {'it' if len(shown['buckets']) == 1 else 'them all'} full?"):
        fail("nothing was reset", BAD)


def _print(answer: dict[str, Any]) -> None:
    rows = [*answer["buckets"], *answer.get("emptiest", ())]
    if rows:
        show_table(("limit", "plan", "bucket", "left", "full in", "next call"), [_cells(row) for row in rows])
    else:
        say("all buckets are full")
    if "emptiest" not in answer:
        for text in answer["unnamed"]:
            say(text, colour="yellow", err=True)


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    wait = row["passes_in_s"]
    call_ = "passes" if row["passes"] else "never passes" if wait is None else f"passes in {wait:g} s"
    left = f"{row['remaining']} of {row['burst']}"
    return row["limit"], row["plan"] or "-", row["key"], left, f"{row['full_in_s']:g} s", call_


def _given(**given: str) -> dict[str, str]:
    return {name: text for name, text in given.items() if text}


def _place(context: typer.Context, given: Place) -> Place:
    """With the table of the environment, unless a gateway was named here."""
    source = context.get_parameter_source("gateway")
    names_gateway = source is not None and source.name == "COMMANDLINE"
    place, from_environment = given, os.environ.get("HMS_SVC_LIMITS", "")
    if given.table is None and from_environment.startswith(_DYNAMODB) and not names_gateway:
        place = given._replace(table=from_environment.removeprefix(_DYNAMODB))
    if place.table is None:
        if place.ssm is not None or place.routes is not None:
            fail("--ssm and --routes go with --table: a running gateway has routes of its own")
        return place
    if names_gateway:
        fail("give --gateway or --table, not both")
    if place.ssm is not None and place.routes is not None:
        fail("--ssm and --routes both say where the routes are: give one of them")
    from hms_svc.aws.settings import TABLE

    if not TABLE.fullmatch(place.table):
        fail(f"--table names a DynamoDB table by its name or ARN, such as hms-svc-limits, not {place.table}")
    return place


def _found(place: Place, target: str, who: dict[str, str], plan: str) -> Found:
    try:
        return find(_config(place), target, who, plan)
    except TargetInvalid as error:
        fail(str(error))


def _config(place: Place) -> Config:
    """The routes that the router has; their policies are not built."""
    in_ssm = place.ssm is not None or os.environ.get("HMS_SVC_ROUTES", "").startswith("ssm:")
    if place.routes is None and in_ssm:
        routes = opened(parameter(place.ssm))
        with aws_errors():
            return unbuilt(routes.read().data, source=routes.name)
    file = place.routes or Path("routes.yml")
    return unbuilt(read(file), source=str(file))


def _buckets(place: Place) -> OperatorLimits:
    from hms_svc.aws.operator_limits import OperatorLimits
    from hms_svc.local.system import SystemClock

    return OperatorLimits(place.table or "", SystemClock())


def _run(work: Any) -> Any:
    try:
        return asyncio.run(work)
    except StoreUnavailable as error:
        fail(str(error), BAD)
