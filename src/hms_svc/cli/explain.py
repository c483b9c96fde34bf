"""`hms-svc explain`: why a request would be answered as it would, step by step, without sending anything."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hms_svc.cli.console import fail, show_table
from hms_svc.cli.files import PoliciesFolder, read_config
from hms_svc.core.explain import explain as explain_request
from hms_svc.core.match import RouteTable
from hms_svc.core.model import Headers, Request
from hms_svc.local.system import SystemRandomness


def explain(
    method: Annotated[str, typer.Argument(help="GET, POST, …")],
    path: Annotated[str, typer.Argument(help="The path, with its query if there is one.")],
    header: Annotated[
        list[str] | None, typer.Option("-H", "--header", metavar="'NAME: VALUE'", help="A header line; repeatable.")
    ] = None,
    routes: Annotated[Path, typer.Option("--routes", metavar="FILE", help="The routes file.")] = Path("routes.yml"),
    policies: PoliciesFolder = None,
) -> None:
    """Explain what the gateway would do with a request, and why. Nothing is sent, counted or recorded.

    Credentials are looked for, not verified: that would need their issuer.

    Example:  hms-svc explain GET /secure/claims/7 -H 'Authorization: Bearer demo-user-token'
    """
    lines = []
    for text in header or []:
        name, colon, value = text.partition(":")
        if not colon or not name.strip():
            fail(f"-H takes 'Name: value', not {name.strip()!r}")
        lines.append((name.strip(), value.strip()))
    table = RouteTable(read_config(routes, policies))
    raw_path, _, query = path.partition("?")
    request = Request(method, raw_path, query, Headers(lines), _NoBody(), "127.0.0.1")
    show_table(("step", "finding"), explain_request(table, request, SystemRandomness()))


class _NoBody:
    async def read(self, limit: int) -> bytes:
        del limit
        return b""
