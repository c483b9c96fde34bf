"""The Lambda router: settings → a gateway over AWS, once an environment; then one event after another.

What an environment does before its first event may be in a SnapStart snapshot that many environments come from. So the
clients are made and the routes are read then, and whatever must be an environment's own (the chain of its audit record,
anything drawn by chance) begins with its first event.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hms_svc import __version__
from hms_svc.aws.door import LambdaDoor
from hms_svc.aws.extension import after_answer
from hms_svc.aws.fresh_routes import FreshRoutes
from hms_svc.aws.issuer_keys import FetchedKeys
from hms_svc.aws.policy_runner import LambdaPolicyRunner
from hms_svc.aws.ssm_client import router_client
from hms_svc.aws.ssm_routes import SsmRoutes
from hms_svc.aws.stores import (
    LateIntrospection,
    audit_sink,
    authorities,
    job_queue,
    key_stores,
    limit_store,
    revocations,
)
from hms_svc.aws.telemetry import Telemetry
from hms_svc.aws.traced import TracedUpstream
from hms_svc.aws.upstream import RequestsUpstream
from hms_svc.core.audit import AuditLog
from hms_svc.core.authenticate import Authenticator
from hms_svc.core.chain import Head
from hms_svc.core.credentials.key_uses import KeyUses
from hms_svc.core.errors import Unavailable
from hms_svc.core.forward import Forwarder
from hms_svc.core.gateway import Gateway, Steps
from hms_svc.core.jobs import Enqueuer
from hms_svc.core.limit import Limiter
from hms_svc.core.match import RouteTable
from hms_svc.core.policies import PolicyStep
from hms_svc.core.policy_loader import PolicyLoader
from hms_svc.core.routes import load
from hms_svc.local.limits import MemoryLimits
from hms_svc.local.system import SystemClock, SystemRandomness

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hms_svc.aws.settings import RouterSettings
    from hms_svc.core.errors import Refusal
    from hms_svc.core.model import Request, Response


class Router:
    """The function's handler: call it with an event and its context."""

    def __init__(self, settings: RouterSettings, environment: Mapping[str, str]) -> None:
        self._settings = settings
        self._environment = environment
        self._clock = SystemClock()
        self._telemetry = Telemetry(
            environment.get("LOG_LEVEL") or "INFO", service=environment.get("POWERTOOLS_SERVICE_NAME") or "hms-svc"
        )
        self._routes = FreshRoutes(
            SsmRoutes(router_client, settings.routes).read_if_changed,
            _table,
            clock=self._clock,
            max_age_s=settings.routes_max_age_s,
            start=self._later,
            count=self._telemetry.count,
        )
        self._audit = audit_sink(settings, self._telemetry.count)
        self._due: list[Callable[[], None]] = []
        self._door: LambdaDoor | None = None
        self._after = after_answer(environment, self._finish, self._clock)
        self._routes.current()

    def __call__(self, event: Any, context: Any) -> dict[str, Any]:
        """The answer to ``event`` in its own shape. Raises `EventNotHttp` for an event that is no HTTP request."""
        self._telemetry.begin(context)
        try:
            door = self._door = self._door or self._begin()
            return door(event, context)
        finally:
            self._after.invoked_done()

    def _begin(self) -> LambdaDoor:
        """The environment's first event: a table that a snapshot has kept for long is read anew before it serves."""
        age_s = self._routes.age_s
        if age_s is None or age_s > self._settings.routes_max_age_s:
            self._routes.refresh()
        return LambdaDoor(_Routed(self._gateway(), self._routes))

    def _gateway(self) -> Gateway:
        clock, randomness, count = self._clock, SystemRandomness(), self._telemetry.count
        keys, key_uses = key_stores(self._settings, clock)
        upstream = TracedUpstream(RequestsUpstream(), self._environment)
        steps = Steps(
            authenticator=Authenticator(
                clock=clock,
                key_source=FetchedKeys(clock, self._telemetry.warn, self._later),
                key_store=keys,
                key_accepted=KeyUses(key_uses, self._later).note,
                introspection=LateIntrospection(clock),
                revocations=revocations(self._settings, clock),
                authorities=authorities(self._settings, clock),
            ),
            limiter=Limiter(limit_store(self._settings, clock, count), MemoryLimits(clock)),
            policies=PolicyStep(LambdaPolicyRunner()),
            forwarder=Forwarder(upstream, clock, randomness),
            enqueuer=Enqueuer(job_queue(self._settings), clock, randomness),
        )
        audit = AuditLog(sinks=(self._audit,), head=Head(randomness.hex(16), 0, ""), version=__version__)
        gateway = Gateway(steps=steps, audit=audit, clock=clock, randomness=randomness)
        gateway.observe = self._telemetry.closed
        return gateway

    def _later(self, work: Callable[[], None]) -> None:
        self._due.append(work)

    def _finish(self) -> None:
        """What is done when the answer has gone: the record first, then what was put off, then the metrics."""
        self._audit.flush()
        due, self._due = self._due, []
        for work in due:
            work()
        age_s = self._routes.age_s
        if age_s is not None:
            self._telemetry.gauge("RoutesAgeSeconds", age_s)
        self._telemetry.flush()


class _Routed:
    """The gateway with the routes that are in force now; while there are none, every request is a 503."""

    def __init__(self, gateway: Gateway, routes: FreshRoutes) -> None:
        self._gateway = gateway
        self._routes = routes

    async def handle(self, request: Request, carry: Callable[[Response], Response] | None = None) -> Response:
        """The gateway's answer."""
        table = self._routes.current()
        if table is None:
            return await self._gateway.refuse(request, Unavailable(cause=f"no routes: {self._routes.fault}"))
        self._gateway.table = table
        return await self._gateway.handle(request, carry)

    async def refuse(self, request: Request, refusal: Refusal) -> Response:
        """The gateway's answer to what is no request."""
        return await self._gateway.refuse(request, refusal)


def _table(data: bytes) -> RouteTable:
    """Policies come from the layer, whose folder Lambda has put where modules are imported from."""
    return RouteTable(load(data, source="routes.yml", build_policy=PolicyLoader(None).build))
