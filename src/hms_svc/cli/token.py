"""`hms-svc token`: the demo tokens, and real tokens of the demo issuer."""

from __future__ import annotations

from typing import Annotated

import typer

from hms_svc.cli.console import BAD, fail, say, show_table
from hms_svc.cli.durations import seconds
from hms_svc.core.credentials.claims import MAX_NAME
from hms_svc.core.credentials.scopes import is_scope
from hms_svc.core.ports import StoreUnavailable
from hms_svc.local.demo_credentials import DEMO_TOKENS, DemoIssuer
from hms_svc.local.system import SystemClock, SystemRandomness
from hms_svc.settings import STATE


def token(
    sub: Annotated[
        str | None, typer.Option(metavar="NAME", help="Make a signed token (JWT, ES256) for this caller.")
    ] = None,
    scope: Annotated[list[str] | None, typer.Option(help="What the token allows; repeatable. With --sub.")] = None,
    expires: Annotated[str, typer.Option(metavar="DURATION", help="How long it is good. With --sub.")] = "1h",
) -> None:
    """Show the demo tokens, or make a signed one. Only a gateway started with --demo believes them.

    Example:  TOKEN=$(hms-svc token --sub alice --scope claims:read --expires 1h)

    Then:  curl -H "Authorization: Bearer $TOKEN" http://127.0.0.1:8080/secure/claims

    Run it in the folder where the gateway was started: they share the key in .hms-svc/.
    """
    if sub is None:
        if scope:
            fail("--scope goes with --sub")
        _show_demo_tokens()
        return
    if not (0 < len(sub) <= MAX_NAME and sub.isprintable()):
        fail(f"--sub is a text of 1 to {MAX_NAME} printable characters")
    for one in scope or ():
        if not is_scope(one):
            fail(f"--scope is one word without spaces or quotes, such as claims:read, not {one!r}")
    lifetime_s = seconds("--expires", expires)
    now_s = SystemClock().wall_ns() // 1_000_000_000
    try:
        text = DemoIssuer(STATE, SystemRandomness()).mint(
            sub=sub, scopes=frozenset(scope or ()), now_s=now_s, lifetime_s=lifetime_s
        )
    except StoreUnavailable as error:
        fail(str(error), BAD)
    say(f"A token for {sub}, good for {expires}, believed only by a gateway that runs with --demo:", err=True)
    typer.echo(text)


def _show_demo_tokens() -> None:
    rows = [
        (text, caller.name, " ".join(sorted(caller.scopes)) or "nothing that needs a scope: shows the 403")
        for text, caller in DEMO_TOKENS.items()
    ]
    show_table(("token", "caller", "may"), rows)
    say("Only a gateway started with --demo believes them. `hms-svc token --sub NAME` makes a signed one.", err=True)
