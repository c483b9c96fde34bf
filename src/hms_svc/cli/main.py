"""The command line, put together: one file a command group, this file only names them."""

from __future__ import annotations

from typing import Annotated

import typer

from hms_svc import __version__
from hms_svc.cli import check, explain, history, jobs, keys, limits, reload, routes, start, token

app = typer.Typer(
    name="hms-svc",
    help="The front door of private services: one routes.yml says who may call what, how often and where it goes.",
    epilog="First steps:  hms-svc start --demo --routes routes.yml   then paste the curl lines that it prints.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode="rich",
)
app.command("start")(start.start)
app.command("reload")(reload.reload)
app.command("history")(history.history)
app.command("rollback")(history.rollback)
app.command("check")(check.check)
app.command("diff")(check.diff)
app.command("routes")(routes.routes)
app.command("explain")(explain.explain)
app.add_typer(limits.app, name="limits")
app.add_typer(keys.app, name="keys")
app.command("token")(token.token)
app.add_typer(jobs.app, name="jobs")


def _version(*, value: bool) -> None:
    if value:
        typer.echo(f"hms-svc {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    del version


def main() -> None:
    """What the command ``hms-svc`` runs."""
    app()
