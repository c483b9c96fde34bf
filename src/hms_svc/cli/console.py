"""How commands print: colours and tables on a terminal, tab-separated text in a pipe, one sentence for an error."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NoReturn

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

BAD = 1
"""Exit code: the thing that was checked is bad."""
USAGE = 2
"""Exit code: the command was called wrongly, or cannot do its work here."""


def show_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table on a terminal; in a pipe one line a row, tab-separated, the column names first."""
    if not sys.stdout.isatty():
        for row in (columns, *rows):
            typer.echo("\t".join(cell.replace("\t", " ").replace("\n", " ") for cell in row))
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    Console().print(table)


def say(text: str, *, colour: str | None = None, bold: bool = False, err: bool = False) -> None:
    """A line of text; the colour shows on a terminal only."""
    typer.secho(text, fg=colour, bold=bold, err=err)


def fail(message: str, code: int = USAGE) -> NoReturn:
    """One sentence on standard error, then the end."""
    typer.secho(f"hms-svc: {message}", fg="red", err=True)
    raise typer.Exit(code)


def os_error(error: OSError) -> str:
    """What the system says of a file, in words: ``routes.yml: No such file or directory``."""
    place = f"{error.filename}: " if error.filename else ""
    return f"{place}{error.strerror or error}"
