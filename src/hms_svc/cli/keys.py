"""`hms-svc keys`: API keys given out, listed, exchanged and taken back, in a file or in the router's DynamoDB table."""

from __future__ import annotations

import contextlib
import json
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from hms_svc.cli.console import BAD, fail, say, show_table
from hms_svc.cli.durations import seconds
from hms_svc.core.credentials.api_keys import issue, state_of
from hms_svc.core.credentials.claims import MAX_NAME
from hms_svc.core.credentials.scopes import is_scope
from hms_svc.core.ports import StoreUnavailable
from hms_svc.local.key_file import KeyFile
from hms_svc.local.system import SystemClock, SystemRandomness
from hms_svc.settings import STATE, SettingInvalid, file_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hms_svc.aws.dynamodb_keys import DynamoDbKeys
    from hms_svc.core.ports import ApiKey

_DYNAMODB = "dynamodb:"
_NO_SUCH_KEY = "there is no key with the id {}; `hms-svc keys list` shows them"
DEFAULT_STORE = STATE / "keys.json"
Store = Annotated[
    str | None,
    typer.Option(
        metavar="file:PATH",
        help=f"Where the keys are kept.  \\[env: HMS_SVC_KEYS]  \\[default: file:{DEFAULT_STORE}]",
        show_default=False,
    ),
]
Table = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="The DynamoDB table of the router's keys, in place of a file.  \\[env: HMS_SVC_KEYS=dynamodb:NAME]",
        show_default=False,
    ),
]
app = typer.Typer(
    help="API keys for routes with auth: api_key. Only their SHA-256 is kept, so a key is shown once.",
    no_args_is_help=True,
)


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the key is for, to tell it from others.")],
    *,
    owner: Annotated[
        str,
        typer.Option(metavar="NAME", help="Who calls with it: the caller's name in the record and for the service."),
    ],
    scope: Annotated[
        list[str] | None,
        typer.Option(metavar="SCOPE", help="What it may do, as a route's require names it; repeatable."),
    ] = None,
    expires: Annotated[str, typer.Option(metavar="DURATION", help="30m, 12h, 90d, …, or never.")] = "90d",
    plan: Annotated[
        str,
        typer.Option(metavar="NAME", help="What its holder has subscribed to: the claim plan, for limits and require."),
    ] = "",
    store: Store = None,
    table: Table = None,
) -> None:
    """Make an API key and show it, once. It works within a second, in gateways and routers that run too.

    The key alone goes to standard output, all that explains it to standard error.

    Example:  KEY=$(hms-svc keys create nightly-batch --owner batch-team --scope claims:read --expires 90d)

    Then:  curl -H "X-API-Key: $KEY" http://127.0.0.1:8080/secure/claims
    """
    for option, text in (("NAME", name), ("--owner", owner)):
        if not (0 < len(text) <= MAX_NAME and text.isprintable()):
            fail(f"{option} is a text of 1 to {MAX_NAME} printable characters")
    if plan and not (len(plan) <= MAX_NAME and plan.isprintable()):
        fail(f"--plan is a text of at most {MAX_NAME} printable characters")
    for one in scope or ():
        if not is_scope(one):
            fail(f"--scope is one word without spaces or quotes, such as claims:read, not {one!r}")
    now_s = _now_s()
    expires_s = None if expires == "never" else now_s + seconds("--expires", expires)
    keys = _open(store, table)
    key, kept = issue(
        SystemRandomness(),
        name=name,
        owner=owner,
        scopes=frozenset(scope or ()),
        now_s=now_s,
        expires_s=expires_s,
        plan=plan,
    )
    with _or_one_sentence():
        keys.add(kept)
    may = f"with the scopes {' '.join(sorted(kept.scopes))}" if kept.scopes else "without scopes"
    say(f"{kept.id} is {owner}'s {_until(expires_s)}, {may}. This is the only time the key is shown:", err=True)
    typer.echo(key)


@app.command("list")
def list_keys(
    output: Annotated[str, typer.Option("--format", metavar="table|json", help="How to print them.")] = "table",
    store: Store = None,
    table: Table = None,
) -> None:
    """List the keys that were given out, also those that are refused by now.

    The table is for reading; JSON has all there is, with times to the second, in UTC. The last use is noted by the
    hour. What cannot be read is said on standard error, with exit code 1; all else is listed.

    Example:  hms-svc keys list --format json
    """
    if output not in {"table", "json"}:
        fail(f"--format is table or json, not {output}")
    keys = _open(store, table)
    with _or_one_sentence():
        listing = keys.all()
    rows = [_row(key, _now_s()) for key in listing.keys]
    if not listing.uses_known:  # never is what people revoke keys by
        rows = [{**row, "last_used": "unknown"} for row in rows]
    if output == "json":
        typer.echo(json.dumps({"keys": rows}, indent=2, ensure_ascii=False))
    else:
        columns = ("id", "name", "owner", "scopes", "state", "expires", "last used")
        days = [
            {**row, "expires": (row["expires"] or "never")[:10], "last used": (row["last_used"] or "never")[:10]}
            for row in rows
        ]
        show_table(columns, [[_cell(row[column]) for column in columns] for row in days])
    if listing.faults:
        fail("; ".join(listing.faults), BAD)


@app.command("rotate")
def rotate(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="The key's id, as create and list show it.")],
    *,
    overlap: Annotated[
        str, typer.Option(metavar="DURATION", help="How long the old key works on: 12h, 7d, …, or 0 for not at all.")
    ] = "7d",
    store: Store = None,
    table: Table = None,
) -> None:
    """Exchange a key: make a new one with its name, owner, scopes and length of life, and let the old one end.

    Until the overlap is over both work; the old one never works longer than it would have. The new key is kept before
    the old one's end is set, and shown once: alone on standard output, all that explains it on standard error.

    Example:  KEY=$(hms-svc keys rotate key-5f0c9b1d2a37 --overlap 7d)
    """
    now_s = _now_s()
    overlap_s = 0 if overlap == "0" else seconds("--overlap", overlap)
    keys = _open(store, table)
    with _or_one_sentence():
        old = keys.get(key_id)
    old = _to_rotate(old, key_id, now_s)
    expires_s = None if old.expires_s is None else now_s + old.expires_s - old.created_s
    key, kept = issue(
        SystemRandomness(),
        name=old.name,
        owner=old.owner,
        scopes=old.scopes,
        now_s=now_s,
        expires_s=expires_s,
        plan=old.plan,
    )
    with _or_one_sentence():
        now = keys.add_successor(kept, old, now_s)
    _to_rotate(now, key_id, now_s)  # else it was kept nowhere
    say(f"{kept.id} is {old.owner}'s {_until(expires_s)}. This is the only time the key is shown:", err=True)
    typer.echo(key)
    with _or_one_sentence(f"{old.id} works as before, since its end could not be set: "):
        ended = keys.expire(old, now_s + overlap_s)
    if ended is None:
        fail(f"{old.id} is gone", BAD)
    if ended.revoked_s is not None:
        _take_back(keys, kept, old)
    end = f"works {_until(ended.expires_s)}" if state_of(ended, now_s) == "active" else "is refused from now on"
    say(f"{ended.id}, which it replaces, {end}", err=True)


@app.command("revoke")
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="The key's id, as create and list show it.")],
    store: Store = None,
    table: Table = None,
) -> None:
    """Take a key back for good. Gateways that run refuse it within a second, routers within HMS_SVC_KEYS_CACHE (60 s).

    Example:  hms-svc keys revoke key-5f0c9b1d2a37
    """
    keys = _open(store, table)
    with _or_one_sentence():
        key = keys.revoke(key_id, _now_s())
    if key is None:
        fail(_NO_SUCH_KEY.format(key_id), BAD)
    say(f"{key.id} ({key.name}, {key.owner}) is revoked since {_moment(key.revoked_s)}")


def _to_rotate(old: ApiKey | None, key_id: str, now_s: int) -> ApiKey:
    """The key, if there is one that can be rotated; else the command ends."""
    if old is None:
        fail(_NO_SUCH_KEY.format(key_id), BAD)
    state = state_of(old, now_s)
    if state != "active":
        fail(f"{old.id} is {state} and cannot be rotated; make a key with `hms-svc keys create`", BAD)
    return old


def _take_back(keys: KeyFile | DynamoDbKeys, successor: ApiKey, old: ApiKey) -> NoReturn:
    """End the command, and a key whose predecessor was revoked before all was done."""
    with _or_one_sentence(f"{old.id} was revoked meanwhile; revoke {successor.id} too, which could not be done: "):
        keys.revoke(successor.id, _now_s())
    fail(f"{old.id} was revoked meanwhile, so {successor.id} is revoked too", BAD)


@contextlib.contextmanager
def _or_one_sentence(before: str = "") -> Iterator[None]:
    """Ends the command with what the store says when it cannot be used."""
    try:
        yield
    except StoreUnavailable as error:
        fail(f"{before}{error}", BAD)


def _open(store: str | None, table: str | None) -> KeyFile | DynamoDbKeys:
    """What the options name, else the environment, else the file."""
    if store and table:
        fail("--store and --table both say where the keys are kept: give one of them")
    if table is not None:
        return _open_table("--table", table)
    setting, text = ("--store", store) if store else ("HMS_SVC_KEYS", os.environ.get("HMS_SVC_KEYS", ""))
    if not store and text.startswith(_DYNAMODB):
        return _open_table(setting, text.removeprefix(_DYNAMODB))
    try:
        return KeyFile(file_of(setting, text, DEFAULT_STORE), SystemClock())
    except SettingInvalid as error:
        fail(str(error))


def _open_table(setting: str, name: str) -> DynamoDbKeys:
    from hms_svc.aws.dynamodb_keys import DynamoDbKeys, operator_client
    from hms_svc.aws.settings import TABLE

    if not TABLE.fullmatch(name):
        fail(f"{setting} names a DynamoDB table by its name or ARN, such as hms-svc-keys, not {name}")
    return DynamoDbKeys(name, operator_client)


def _row(key: ApiKey, now_s: int) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "owner": key.owner,
        "scopes": sorted(key.scopes),
        "plan": key.plan or None,
        "state": state_of(key, now_s),
        "created": _moment(key.created_s),
        "expires": _moment(key.expires_s),
        "revoked": _moment(key.revoked_s),
        "last_used": _moment(key.last_used_s),
    }


def _until(expires_s: int | None) -> str:
    return f"until {_moment(expires_s)}" if expires_s is not None else "until it is revoked"


def _cell(value: str | list[str]) -> str:
    return " ".join(value) or "-" if isinstance(value, list) else value or "-"


def _moment(moment_s: int | None) -> str | None:
    """UTC, to the second."""
    return None if moment_s is None else datetime.fromtimestamp(moment_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _now_s() -> int:
    return SystemClock().wall_ns() // 1_000_000_000
