"""From settings to a served port and back: start, say where, wait for a signal, drain, close the record."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from hms_svc import wiring
from hms_svc.core.routes import RoutesInvalid
from hms_svc.local import demo_services
from hms_svc.local.http.server import Server, run

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

    from hms_svc.core.config import Config
    from hms_svc.settings import Settings
    from hms_svc.wiring import Assembly


@dataclass(frozen=True, slots=True, kw_only=True)
class Listen:
    """Where and how the gateway listens."""

    host: str = "127.0.0.1"
    port: int = 8080
    admin_port: int | None = None
    tls: ssl.SSLContext | None = None
    resolve: Mapping[str, tuple[str, int | None]] = field(default_factory=dict)
    grace_s: float = 30.0


Place = tuple[str, int]


class Announcer(Protocol):
    """Who is told what happens, to tell the person who started the gateway."""

    def started(self, place: Place, admin: Place | None, config: Config) -> None:
        """The gateway takes calls at ``place``; its admin interface has one of its own, or shares it."""
        ...

    def stopping(self, why: str) -> None:
        """Nothing new is taken; what is in flight goes on."""
        ...

    def stopped(self) -> None:
        """All calls are finished or cut off, the record is closed."""
        ...

    def note(self, text: str) -> None:
        """Something went as it should."""
        ...

    def problem(self, text: str) -> None:
        """Something did not, and the gateway goes on."""
        ...


def serve(settings: Settings, listen: Listen, announcer: Announcer) -> None:
    """Run the gateway until SIGTERM or SIGINT.

    Raises `OSError` when the port or a file cannot be had, `RoutesInvalid` when the routes to start with are broken,
    `StoreUnavailable` when the audit record cannot be written.
    """
    run(_serve(settings, listen, announcer))


async def _serve(settings: Settings, listen: Listen, announcer: Announcer) -> None:
    async with contextlib.AsyncExitStack() as stack:
        routes = await asyncio.to_thread(settings.routes.read_bytes) if settings.routes else None
        resolve = dict(listen.resolve)
        if settings.demo:
            services, places = await demo_services.start()
            for service in services:
                stack.push_async_callback(service.drain, 1.0)
            resolve = places | resolve
        assembly = wiring.assemble(
            settings, resolve=resolve, warn=announcer.problem, own_admin_port=listen.admin_port is not None
        )
        stack.push_async_callback(assembly.close)
        if routes is not None:
            await assembly.routes.replace(routes, str(settings.routes))

        server = Server(assembly.gateway, tls=listen.tls)
        host, port = await server.start(listen.host, listen.port)
        stack.push_async_callback(server.drain, listen.grace_s)
        admin = None
        if assembly.admin_gateway is not None and listen.admin_port is not None:
            admin_server = Server(assembly.admin_gateway)
            admin = await admin_server.start("127.0.0.1", listen.admin_port)
            stack.push_async_callback(admin_server.drain, 1.0)

        announcer.started((host, port), admin, assembly.routes.config)
        announcer.stopping(await _until_told(settings, assembly, announcer))
    announcer.stopped()


async def _until_told(settings: Settings, assembly: Assembly, announcer: Announcer) -> str:
    """Wait for the signal to stop and return its name; SIGHUP reads the routes file again."""
    loop = asyncio.get_running_loop()
    told: asyncio.Future[str] = loop.create_future()
    reloads: set[asyncio.Task[None]] = set()

    def stop(name: str) -> None:
        if not told.done():
            told.set_result(name)

    def reread() -> None:
        task = loop.create_task(_reread(settings, assembly, announcer))
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    loop.add_signal_handler(signal.SIGTERM, stop, "SIGTERM")
    loop.add_signal_handler(signal.SIGINT, stop, "Ctrl-C")
    loop.add_signal_handler(signal.SIGHUP, reread)
    try:
        return await told
    finally:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.remove_signal_handler(number)


async def _reread(settings: Settings, assembly: Assembly, announcer: Announcer) -> None:
    if settings.routes is None:
        announcer.problem("SIGHUP: the gateway was started without a routes file, there is nothing to read again")
        return
    try:
        data = await asyncio.to_thread(settings.routes.read_bytes)
        changed = await assembly.routes.replace(data, str(settings.routes))
    except OSError as error:
        announcer.problem(f"SIGHUP: cannot read {settings.routes}: {error.strerror}; the routes in force stay")
    except RoutesInvalid as invalid:
        for problem in invalid.problems:
            announcer.problem(str(problem))
        announcer.problem("SIGHUP: the routes in force stay")
    else:
        announcer.note(f"{settings.routes} is in force: {len(changed)} changes")
