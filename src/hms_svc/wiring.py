"""Settings → a gateway that runs: the only place that chooses adapters."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hms_svc import __version__
from hms_svc.aws.ssm_client import router_client
from hms_svc.aws.ssm_secrets import SsmSecrets
from hms_svc.core.audit import AuditLog
from hms_svc.core.authenticate import Authenticator
from hms_svc.core.chain import Head, latest
from hms_svc.core.changes import Change, changes
from hms_svc.core.credentials.key_uses import KeyUses
from hms_svc.core.forward import Forwarder
from hms_svc.core.gateway import Gateway, Steps
from hms_svc.core.jobs import Enqueuer
from hms_svc.core.limit import Limiter
from hms_svc.core.match import RouteTable
from hms_svc.core.own import HealthOnly
from hms_svc.core.policies import PolicyStep
from hms_svc.core.policy_loader import PolicyLoader
from hms_svc.core.ports import StoreUnavailable
from hms_svc.core.routes import load
from hms_svc.local.admin import Admin
from hms_svc.local.admin_limits import LimitsDesk
from hms_svc.local.audit_file import AuditFile
from hms_svc.local.audit_ops import OpsSink
from hms_svc.local.authority_file import AuthorityFile
from hms_svc.local.crl_file import CrlFile
from hms_svc.local.demo_credentials import DEMO_TOKENS, DemoIssuer, WithDemoIssuer
from hms_svc.local.http.upstream import HttpUpstream
from hms_svc.local.introspect import Introspector
from hms_svc.local.introspection import SharedIntrospection
from hms_svc.local.issuer_keys import HttpKeySource
from hms_svc.local.jobs import SqliteJobs
from hms_svc.local.key_file import KeyFile
from hms_svc.local.limits import MemoryLimits
from hms_svc.local.own_thread import OwnThread
from hms_svc.local.policy_runner import ThreadPolicyRunner
from hms_svc.local.secrets import Secrets
from hms_svc.local.secrets_on_a_thread import OnAThread
from hms_svc.local.system import SystemClock, SystemRandomness

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hms_svc.core.config import Config
    from hms_svc.core.own import OwnPaths
    from hms_svc.core.ports import AuditSink, KeySource
    from hms_svc.settings import Settings


@dataclass(slots=True, eq=False)
class Assembly:
    """A gateway and what stands around it, to be closed at the end."""

    gateway: Gateway
    admin_gateway: Gateway | None
    """Answers nothing but ``/_hms/``; there when the admin interface has a port of its own."""
    routes: RoutesInForce
    upstream: HttpUpstream
    _issuers: HttpUpstream
    _sinks: tuple[AuditSink, ...]
    _runner: ThreadPolicyRunner
    _uses: OwnThread

    async def close(self) -> None:
        """Close the record and everything else; what could not be delivered stays on disk."""
        await self.upstream.close()
        await self._issuers.close()
        self._runner.close()
        await self._uses.close()
        for sink in self._sinks:
            await asyncio.to_thread(sink.close)


class RoutesInForce:
    """The gateway's table, exchanged whole or not at all; one reload at a time."""

    def __init__(self, gateway: Gateway, loader: PolicyLoader, demo: DemoIssuer | None) -> None:
        self._gateway = gateway
        self._loader = loader
        self._demo = demo
        self._one_at_a_time = asyncio.Lock()

    @property
    def config(self) -> Config:
        """The configuration in force."""
        return self._gateway.table.config

    async def replace(self, data: bytes, source: str) -> tuple[Change, ...]:
        """Put ``data`` in force. Read and built beside the traffic; the swap is one assignment between two requests."""
        async with self._one_at_a_time:
            table = await asyncio.to_thread(self._build, data, source)
            changed = changes(self.config, table.config)
            self._gateway.table = table
            return changed

    def _build(self, data: bytes, source: str) -> RouteTable:
        with self._loader.fresh():
            config = load(data, source=source, build_policy=self._loader.build)
        if self._demo is not None:
            config = replace(config, issuers=(*config.issuers, self._demo.issuer))
        return RouteTable(config)


def assemble(
    settings: Settings,
    *,
    resolve: Mapping[str, tuple[str, int | None]],
    warn: Callable[[str], None],
    own_admin_port: bool = False,
) -> Assembly:
    """A gateway over the adapters of one machine, without routes yet; ``warn`` is told what its operator should know.

    Raises `StoreUnavailable` when the audit record cannot be opened.
    """
    clock, randomness = SystemClock(), SystemRandomness()
    sinks, head = _audit(settings, randomness)
    upstream = HttpUpstream(resolve=resolve)
    runner = ThreadPolicyRunner()
    limits = MemoryLimits(clock)
    keys = KeyFile(settings.keys, clock)
    uses = OwnThread("uses of keys")
    key_source: KeySource = HttpKeySource(clock, warn)
    issuers = HttpUpstream()
    secrets = Secrets(OnAThread(SsmSecrets(router_client, clock)))
    demo = DemoIssuer(settings.state, randomness) if settings.demo else None
    if demo is not None:
        key_source = WithDemoIssuer(key_source, demo)
    steps = Steps(
        authenticator=Authenticator(
            clock=clock,
            key_source=key_source,
            key_store=keys,
            key_accepted=KeyUses(keys, uses.later).note,
            introspection=SharedIntrospection(Introspector(issuers, secrets, clock)),
            revocations=_revocations(settings, clock),
            authorities=AuthorityFile(settings.client_ca, clock) if settings.client_ca else None,
            demo_tokens=DEMO_TOKENS if settings.demo else {},
        ),
        limiter=Limiter(limits, limits),
        policies=PolicyStep(runner),
        forwarder=Forwarder(upstream, clock, randomness),
        enqueuer=Enqueuer(SqliteJobs(settings.jobs), clock, randomness),
    )
    audit = AuditLog(sinks=sinks, head=head, version=__version__)

    def gateway_with(own: OwnPaths) -> Gateway:
        return Gateway(steps=steps, audit=audit, clock=clock, randomness=randomness, own=own)

    gateway = gateway_with(HealthOnly())
    loader = PolicyLoader(settings.policies)
    loader.install()
    routes = RoutesInForce(gateway, loader, demo)
    admin = Admin(routes, settings.token, LimitsDesk(limits))
    if own_admin_port:
        return Assembly(gateway, gateway_with(admin), routes, upstream, issuers, sinks, runner, uses)
    gateway.own = admin
    return Assembly(gateway, None, routes, upstream, issuers, sinks, runner, uses)


def _revocations(settings: Settings, clock: SystemClock) -> CrlFile | None:
    if settings.crl is None or settings.client_ca is None:
        return None
    return CrlFile(settings.crl, settings.client_ca, clock)


def _audit(settings: Settings, randomness: SystemRandomness) -> tuple[tuple[AuditSink, ...], Head]:
    """The sinks, and the head of the chain that goes on in them."""
    if settings.audit is None and settings.ops_url is None:
        raise StoreUnavailable("neither a file nor HMS_OPS_URL takes the audit record")
    file = AuditFile(settings.audit) if settings.audit is not None else None
    heads = [file.head()] if file else []
    sinks: list[AuditSink] = [file] if file else []
    if settings.ops_url is not None:
        try:
            ops = OpsSink(settings.ops_url, settings.state / "spool")
        except BaseException:
            for sink in sinks:
                sink.close()
            raise
        heads.append(ops.head())
        sinks.append(ops)
        ops.start()
    return tuple(sinks), latest(heads) or Head(randomness.hex(16), 0, "")
