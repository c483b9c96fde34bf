"""`hms-svc jobs`: what routes with ``enqueue_to`` stored on this machine, for people and for workers."""

from __future__ import annotations

import asyncio
import json
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from hms_svc.cli.console import BAD, fail, say, show_table
from hms_svc.cli.durations import seconds
from hms_svc.core.ports import StoreUnavailable
from hms_svc.local.jobs import SqliteJobs
from hms_svc.local.system import SystemClock
from hms_svc.settings import STATE, SettingInvalid, file_of

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from hms_svc.local.jobs import StoredJob

T = TypeVar("T")
DEFAULT_STORE = STATE / "jobs.sqlite"
Store = Annotated[
    str | None,
    typer.Option(
        metavar="file:PATH",
        help=f"Where the jobs wait.  \\[env: HMS_SVC_JOBS]  \\[default: file:{DEFAULT_STORE}]",
        show_default=False,
    ),
]
app = typer.Typer(
    help="Jobs that routes with enqueue_to have stored: see them, take one, say that it is done.", no_args_is_help=True
)


@app.command("list")
def list_jobs(
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many at most, the oldest first.")] = 100,
    output: Annotated[str, typer.Option("--format", metavar="table|json", help="How to print them.")] = "table",
    store: Store = None,
) -> None:
    """List the jobs that are not done yet: those that wait, and those that a worker has taken.

    Example:  hms-svc jobs list
    """
    if output not in {"table", "json"}:
        fail(f"--format is table or json, not {output}")
    now_ns = SystemClock().wall_ns()
    rows = [_row(job, now_ns) for job in _run(_open(store).list(limit))]
    if output == "json":
        typer.echo(json.dumps({"jobs": rows}, indent=2))
        return
    columns = ("id", "queue", "state", "stored", "method", "path", "caller", "taken")
    show_table(columns, [[str(row[column] or "-") for column in columns] for row in rows])


@app.command("take")
def take(
    lease: Annotated[str, typer.Option(metavar="DURATION", help="For how long it is yours: 30s, 5m, 1h.")] = "5m",
    queue: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only from this queue, as the route's enqueue_to names it.")
    ] = None,
    store: Store = None,
) -> None:
    """Take the oldest job that waits and print it: a CloudEvents event on one line, the body in data_base64.

    Until the lease is over nobody else gets it; not done by then, it waits again. Exit code 1: no job waits.

    Example:  job=$(hms-svc jobs take) && work-on "$job" && hms-svc jobs done "$(jq -r .id <<<"$job")"
    """
    job = _run(_open(store).take(lease_s=seconds("--lease", lease), queue=queue))
    if job is None:
        fail("no job waits", BAD)
    typer.echo(json.dumps(dict(job.message)))


@app.command("done")
def done(
    job_id: Annotated[str, typer.Argument(metavar="ID", help="The job's id, as take and list show it.")],
    store: Store = None,
) -> None:
    """Say that a job is done: it is removed.

    Example:  hms-svc jobs done 5f0c9b1d2a375f0c9b1d2a375f0c9b1d
    """
    if not _run(_open(store).done(job_id)):
        fail(f"there is no job with the id {job_id}; `hms-svc jobs list` shows them", BAD)
    say(f"{job_id} is done")


def _open(store: str | None) -> SqliteJobs:
    setting, text = ("--store", store) if store else ("HMS_SVC_JOBS", os.environ.get("HMS_SVC_JOBS"))
    try:
        return SqliteJobs(file_of(setting, text, DEFAULT_STORE))
    except SettingInvalid as error:
        fail(str(error))


def _run(work: Coroutine[Any, Any, T]) -> T:
    try:
        return asyncio.run(work)
    except StoreUnavailable as error:
        fail(str(error), BAD)


def _row(job: StoredJob, now_ns: int) -> dict[str, Any]:
    event = job.message
    return {
        "id": job.id,
        "queue": job.queue,
        "state": "taken" if job.leased_until_ns > now_ns else "waiting",
        "stored": datetime.fromtimestamp(job.stored_ns // 1_000_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "method": event.get("hmsmethod", ""),
        "path": event.get("hmspath", ""),
        "caller": event.get("hmscaller", ""),
        "taken": job.taken,
    }
