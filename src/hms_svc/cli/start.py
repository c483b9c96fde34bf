"""`hms-svc start`: the gateway on this machine, until it is told to stop."""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import Annotated

import typer

from hms_svc.cli.console import BAD, USAGE, fail, os_error, say
from hms_svc.cli.files import PoliciesFolder, policies_folder, print_problems
from hms_svc.core.ports import StoreUnavailable
from hms_svc.core.routes import RoutesInvalid
from hms_svc.settings import SettingInvalid, Settings


def start(
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Where to listen; 0 takes a free port.")] = 8080,
    host: Annotated[str, typer.Option(help="The address to listen on; 0.0.0.0 for all of them.")] = "127.0.0.1",
    routes: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The routes to start with.  \\[env: HMS_SVC_ROUTES]  Without: none."),
    ] = None,
    policies: PoliciesFolder = None,
    *,
    demo: Annotated[
        bool, typer.Option("--demo", help="Add the two demo services and accept the demo tokens. Never in production.")
    ] = False,
    resolve: Annotated[
        list[str] | None,
        typer.Option(metavar="HOST=IP[:PORT]", help="Reach a service's host name at this address; repeatable."),
    ] = None,
    admin_port: Annotated[
        int | None,
        typer.Option(min=0, max=65_535, help="Move the admin interface to this port of 127.0.0.1."),
    ] = None,
    tls_cert: Annotated[Path | None, typer.Option(metavar="PEM", help="Serve https with this certificate.")] = None,
    tls_key: Annotated[Path | None, typer.Option(metavar="PEM", help="Its key, if not in the same file.")] = None,
    client_ca: Annotated[
        Path | None, typer.Option(metavar="PEM", help="Believe client certificates of this authority (auth: mtls).")
    ] = None,
    client_crl: Annotated[
        Path | None,
        typer.Option(
            metavar="PEM", help="Refuse certificates on these revocation lists of --client-ca.  \\[env: HMS_SVC_CRL]"
        ),
    ] = None,
    grace: Annotated[float, typer.Option(metavar="SECONDS", min=0, help="How long calls in flight may finish.")] = 30,
) -> None:
    """Run the gateway on this machine.

    Everything comes from routes.yml: which paths there are, who may call them, how often, where they go. Each call
    leaves a line in the audit record, refused ones too. SIGTERM and Ctrl-C finish what is in flight, then stop;
    SIGHUP reads the routes file again.

    With HMS_SVC_TOKEN set, `hms-svc reload routes.yml` exchanges the routes while it runs.

    Example:  hms-svc start --demo --routes routes.yml
    """
    from hms_svc.cli.banner import Banner
    from hms_svc.serve import Listen, serve

    try:
        settings = Settings.from_environment(
            os.environ,
            routes=routes,
            policies=policies_folder(policies),
            demo=demo or None,
            crl=client_crl,
            client_ca=client_ca,
        )
        listen = Listen(
            host=host,
            port=port,
            admin_port=admin_port,
            tls=_tls(tls_cert, tls_key, client_ca, settings.crl),
            resolve=dict(_resolution(text) for text in resolve or ()),
            grace_s=grace,
        )
        serve(settings, listen, Banner(settings, secure=listen.tls is not None, grace_s=grace))
    except SettingInvalid as error:
        fail(str(error))
    except RoutesInvalid as invalid:
        print_problems([str(problem) for problem in invalid.problems])
        say("hms-svc: not started", err=True, colour="red")
        raise typer.Exit(BAD) from None
    except StoreUnavailable as error:
        fail(str(error), BAD)
    except OSError as error:
        fail(os_error(error), USAGE)


def _tls(certificate: Path | None, key: Path | None, client_ca: Path | None, crl: Path | None) -> ssl.SSLContext | None:
    if certificate is None:
        if key is not None or client_ca is not None:
            fail("--tls-key and --client-ca go with --tls-cert")
        return None
    for path in (certificate, key, client_ca, crl):
        if path is not None and not path.is_file():
            fail(f"cannot read {path}: there is no such file")
    from hms_svc.local.tls import server_context

    try:
        return server_context(certificate, key, client_ca)
    except ssl.SSLError as error:
        fail(f"the certificate, its key or the client authority cannot be used: {error.reason or error}")


def _resolution(text: str) -> tuple[str, tuple[str, int | None]]:
    """``claims-svc=127.0.0.1:9001``, or ``claims-svc:9001=[::1]:4711`` for one port of it."""
    from ipaddress import ip_address

    name, equals, place = text.partition("=")
    address, port = place, ""
    if place.startswith("["):
        address, _, port = place[1:].partition("]")
        port = port.removeprefix(":")
    elif place.count(":") == 1:
        address, _, port = place.partition(":")
    try:
        ip_address(address)
        number = int(port) if port else None
    except ValueError:
        number = 0
    if not name or not equals or number not in {None, *range(1, 65_536)}:
        fail(f"--resolve takes HOST=IP or HOST=IP:PORT, not {text}")
    return name.lower(), (address, number)
