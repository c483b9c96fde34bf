"""Talking to a running gateway's admin interface."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import typer

from hms_svc.cli.console import BAD, fail, say
from hms_svc.cli.files import print_problems

if TYPE_CHECKING:
    from collections.abc import Mapping

    import requests

DEFAULT_GATEWAY = "http://127.0.0.1:8080"
GatewayUrl = Annotated[
    str, typer.Option("--gateway", metavar="URL", envvar="HMS_SVC_GATEWAY", help="The running gateway.")
]
TIMEOUT_S = 60


def call(
    method: str,
    gateway: str,
    path: str = "/_hms/routes",
    *,
    body: bytes | None = None,
    params: Mapping[str, str] | None = None,
) -> Any:
    """What the admin interface answers to ``method path``, as JSON.

    Whatever else it answers ends the command: with the file's problems or one sentence, and exit code 1 or 2.
    """
    import requests

    token = os.environ.get("HMS_SVC_TOKEN")
    if not token:
        fail("HMS_SVC_TOKEN is not set: it must hold the admin token that the gateway was started with")
    parts = urlsplit(gateway)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        fail(f"--gateway is a URL such as {DEFAULT_GATEWAY}, not {gateway}")
    if parts.scheme == "http" and parts.hostname not in {"127.0.0.1", "localhost", "::1"}:
        say(f"warning: the admin token goes to {parts.hostname} unencrypted", colour="yellow", err=True)
    with requests.Session() as session:
        session.trust_env = False
        try:
            response = session.request(
                method,
                f"{gateway.rstrip('/')}{path}",
                params=params,
                data=body,
                headers={"Authorization": f"Bearer {token}"},
                timeout=TIMEOUT_S,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            fail(f"no gateway answers at {gateway} ({type(error).__name__}); start one with `hms-svc start`", BAD)
        except UnicodeError:
            fail("HMS_SVC_TOKEN holds characters that no header field can carry")
    return _understood(response, gateway)


def _understood(response: requests.Response, gateway: str) -> Any:
    try:
        answer = response.json()
    except ValueError:
        fail(f"what answers at {gateway} is no hms-svc gateway (status {response.status_code})", BAD)
    if response.status_code == 200:  # noqa: PLR2004  (OK)
        return answer
    if response.status_code == 401:  # noqa: PLR2004  (Unauthorized)
        fail("the gateway does not take this HMS_SVC_TOKEN", BAD)
    if "problems" in answer:
        print_problems(
            [f"{p['source']}:{p['line']}:{p['column']} {p['key']}: {p['message']}" for p in answer["problems"]]
        )
        say("the routes in force stay as they were", err=True)
        raise typer.Exit(BAD)
    return fail(f"the gateway refused: {answer.get('detail', response.status_code)}", BAD)
