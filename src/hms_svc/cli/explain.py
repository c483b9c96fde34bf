"""`hms-svc explain`: why a request would be answered as it would, step by step, without sending anything."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import Annotated

import typer

from hms_svc.cli.console import fail, show_table
from hms_svc.cli.durations import nanoseconds
from hms_svc.cli.files import PoliciesFolder, read_config
from hms_svc.core.explain import explain as explain_request
from hms_svc.core.match import RouteTable
from hms_svc.core.model import Headers, Request
from hms_svc.core.what_if import MAX_CALLS, Pace
from hms_svc.local.system import SystemRandomness


def explain(  # noqa: PLR0917  (options, which typer passes by name)
    method: Annotated[str, typer.Argument(help="GET, POST, …")],
    path: Annotated[str, typer.Argument(help="The path, with its query if there is one.")],
    header: Annotated[
        list[str] | None, typer.Option("-H", "--header", metavar="'NAME: VALUE'", help="A header line; repeatable.")
    ] = None,
    ip: Annotated[str, typer.Option("--ip", metavar="ADDRESS", help="Where it comes from.")] = "127.0.0.1",
    calls: Annotated[
        int | None, typer.Option(min=1, max=MAX_CALLS, help="What if it came so often? Counted against full buckets.")
    ] = None,
    every: Annotated[
        str | None, typer.Option(metavar="DURATION", help="With --calls, how far apart: 100ms, 2s; else all at once.")
    ] = None,
    plan: Annotated[
        str, typer.Option(metavar="NAME", help="Count as if the credential named this plan. Left out: as if none.")
    ] = "",
    routes: Annotated[Path, typer.Option("--routes", metavar="FILE", help="The routes file.")] = Path("routes.yml"),
    policies: PoliciesFolder = None,
) -> None:
    """Explain what the gateway would do with a request, and why. Nothing is sent, counted or recorded.

    Credentials are looked for, not verified: that would need their issuer.

    Example:  hms-svc explain GET /secure/claims/7 -H 'Authorization: Bearer demo-user-token'

    What if:  hms-svc explain GET /public/faq --ip 192.0.2.7 --calls 100 --every 100ms
    """
    lines = []
    for text in header or []:
        name, colon, value = text.partition(":")
        if not colon or not name.strip():
            fail(f"-H takes 'Name: value', not {name.strip()!r}")
        lines.append((name.strip(), value.strip()))
    try:
        peer_ip = str(ip_address(ip))
    except ValueError:
        fail(f"--ip is an IP address, not {ip!r}")
    if every is not None and calls is None:
        fail("--every goes with --calls: how often does it come?")
    pace = None if calls is None else Pace(calls, 0 if every is None else nanoseconds("--every", every))
    table = RouteTable(read_config(routes, policies))
    raw_path, _, query = path.partition("?")
    request = Request(method, raw_path, query, Headers(lines), _NoBody(), peer_ip)
    show_table(("step", "finding"), explain_request(table, request, SystemRandomness(), pace, plan))


class _NoBody:
    async def read(self, limit: int) -> bytes:
        del limit
        return b""
