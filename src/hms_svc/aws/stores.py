"""Which store stands behind each port of the router, as its settings say. Clients are made when they are first used."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hms_svc.aws.settings import RouterSettings
    from hms_svc.core.config import Issuer
    from hms_svc.core.ports import (
        ApiKey,
        AuditSink,
        Authorities,
        Clock,
        Introspection,
        JobQueue,
        KeyStore,
        KeyUseStore,
        LimitStore,
        Revocations,
    )

    class FlushedSink(AuditSink, Protocol):
        """A sink that may keep records until it is told to send them."""

        def flush(self) -> None:
            """Send what is kept. Never raises."""
            ...


def limit_store(settings: RouterSettings, clock: Clock, count: Callable[[str], None]) -> LimitStore:
    """The table of rate limits; buckets of this environment alone where the settings ask for that."""
    if settings.limits == "memory":
        from hms_svc.local.limits import MemoryLimits

        return MemoryLimits(clock)
    from hms_svc.aws.dynamodb_limits import DynamoDbBuckets, limits_client
    from hms_svc.core.shared_limits import SharedLimits

    single = partial(limits_client, tries=1)
    return SharedLimits(DynamoDbBuckets(settings.limits, limits_client, clock, count=count, make_single=single), clock)


def key_stores(settings: RouterSettings, clock: Clock) -> tuple[KeyStore, KeyUseStore]:
    """The table of API keys, behind a short memory where keys are found, and as it is where their use is noted."""
    if settings.keys is None:
        return NoKeys(), NoKeys()
    from hms_svc.aws.cached_keys import CachedKeys
    from hms_svc.aws.dynamodb_keys import DynamoDbKeys, keys_client

    table = DynamoDbKeys(settings.keys, keys_client)
    return CachedKeys(table, clock, ttl_s=settings.keys_cache_s), table


class LateIntrospection:
    """The `Introspection` of the router, made when the first token comes that an issuer is asked about."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._made: Introspection | None = None

    async def introspect(self, issuer: Issuer, token: str) -> bytes:
        """As the port says."""
        self._made = self._made or _introspection(self._clock)
        return await self._made.introspect(issuer, token)


def _introspection(clock: Clock) -> Introspection:
    """Issuers are asked with secrets in SSM."""
    from hms_svc.aws.ssm_client import router_client
    from hms_svc.aws.ssm_secrets import SsmSecrets
    from hms_svc.aws.upstream import RequestsUpstream
    from hms_svc.local.introspect import MAX_BYTES, Introspector
    from hms_svc.local.secrets import Secrets

    upstream = RequestsUpstream(max_body=MAX_BYTES, body_in_time=True)
    return Introspector(upstream, Secrets(SsmSecrets(router_client, clock)), clock)


def revocations(settings: RouterSettings, clock: Clock) -> Revocations | None:
    """The lists in S3; None where no list is asked."""
    if settings.crl is None or settings.client_ca is None:
        return None
    from hms_svc.aws.s3_crl import S3Crl
    from hms_svc.aws.s3_objects import objects_client

    return S3Crl(settings.crl, settings.client_ca, objects_client, clock)


def authorities(settings: RouterSettings, clock: Clock) -> Authorities | None:
    """The truststore in S3; None where it is not known."""
    if settings.client_ca is None:
        return None
    from hms_svc.aws.s3_authorities import S3Authorities
    from hms_svc.aws.s3_objects import objects_client

    return S3Authorities(settings.client_ca, objects_client, clock)


def audit_sink(settings: RouterSettings, count: Callable[[str, int], None]) -> FlushedSink:
    """The Firehose stream, or the function's log."""
    if settings.audit == "log":
        from hms_svc.aws.log_audit import LogAudit

        return LogAudit(_print)
    from hms_svc.aws.firehose_audit import FirehoseAudit, firehose_client
    from hms_svc.aws.spill import Spill

    sink = FirehoseAudit(settings.audit, firehose_client, spill=Spill(emit=_print, count=count), pause=time.sleep)
    sink.connect()
    return sink


def job_queue(settings: RouterSettings) -> JobQueue:
    """SQS, with a bucket for large bodies where there is one; without a default queue for what a route names itself."""
    from hms_svc.aws.sqs_jobs import SqsJobs, s3_client, sqs_client

    return SqsJobs(sqs=sqs_client, s3=s3_client, default_queue=settings.jobs, bucket=settings.jobs_bucket)


class NoKeys:
    """The `KeyStore` and `KeyUseStore` of a router that has no table of keys: it knows none."""

    async def find(self, sha256: str) -> ApiKey | None:  # noqa: ARG002  (the port's signature)
        """None."""
        return None

    def note_uses(self, uses: Sequence[tuple[ApiKey, int]]) -> None:
        """Nothing: no key was used."""


def _print(line: str) -> None:
    print(line, flush=True)  # noqa: T201  (the standard output is the function's log)
