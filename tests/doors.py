"""A whole gateway over the small ports of `worlds`, for tests of the journey."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fakes_introspection import Answers
from worlds import CountingRandomness, MemorySink, OwnedClock, RecordingUpstream, drive

from hms_svc.core.audit import AuditLog
from hms_svc.core.authenticate import Authenticator
from hms_svc.core.chain import Head
from hms_svc.core.config import Config
from hms_svc.core.forward import Forwarder
from hms_svc.core.gateway import Gateway, Steps
from hms_svc.core.jobs import Enqueuer
from hms_svc.core.limit import Limiter
from hms_svc.core.match import RouteTable
from hms_svc.core.model import Caller
from hms_svc.core.policies import PolicyStep
from hms_svc.core.ports import ApiKey, Job, StoreUnavailable
from hms_svc.local.limits import MemoryLimits

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hms_svc.core.config import Issuer, Route
    from hms_svc.core.model import Request, Response
    from hms_svc.core.ports import Authorities, Revocations, T

ALICE = Caller(name="alice", via="oauth", scopes=frozenset({"claims:read"}), token_key="alices")
GUEST = Caller(name="guest", via="oauth", token_key="guests")


class NoIssuers:
    """No issuer's keys can be had."""

    async def keys(
        self, issuer: Issuer, *, unknown_kid: str | None = None, doubted: list[Mapping[str, Any]] | None = None
    ) -> list[Mapping[str, Any]]:
        raise StoreUnavailable(f"{issuer.name} does not answer")


class ListedKeys:
    """API keys in a list."""

    def __init__(self, keys: list[ApiKey]) -> None:
        self._keys = keys

    async def find(self, sha256: str) -> ApiKey | None:
        return next((key for key in self._keys if key.sha256 == sha256), None)


class Inline:
    """Runs policies where they are called, without a time limit."""

    async def run(self, check: Callable[[], T], timeout_s: float) -> T:
        return check()


@dataclass
class ListedJobs:
    """A queue in a list, or one that is down."""

    jobs: list[Job] = field(default_factory=list)
    down: bool = False

    async def put(self, job: Job) -> None:
        if self.down:
            raise StoreUnavailable("the queue is down")
        self.jobs.append(job)


class Door:
    """A gateway with everything around it in the test's hands."""

    def __init__(
        self,
        *routes: Route,
        clock: OwnedClock | None = None,
        authenticator: Authenticator | None = None,
        revocations: Revocations | None = None,
        authorities: Authorities | None = None,
        **config: Any,
    ) -> None:
        """``authenticator``: who knows issuers and keys, instead of one that knows two demo tokens only."""
        self.clock = clock or OwnedClock()
        self.upstream = RecordingUpstream()
        self.sink = MemorySink()
        self.jobs = ListedJobs()
        self.keys: list[ApiKey] = []
        randomness = CountingRandomness()
        self.limits = limits = MemoryLimits(self.clock)
        self.gateway = Gateway(
            steps=Steps(
                authenticator=authenticator
                or Authenticator(
                    clock=self.clock,
                    key_source=NoIssuers(),
                    key_store=ListedKeys(self.keys),
                    introspection=Answers(down=True),
                    revocations=revocations,
                    authorities=authorities,
                    demo_tokens={"alices-token": ALICE, "guests-token": GUEST},
                ),
                limiter=Limiter(limits, limits),
                policies=PolicyStep(Inline()),
                forwarder=Forwarder(self.upstream, self.clock, randomness),
                enqueuer=Enqueuer(self.jobs, self.clock, randomness),
            ),
            audit=AuditLog(sinks=[self.sink], head=Head("chain-1", 0, ""), version="test"),
            clock=self.clock,
            randomness=randomness,
            table=RouteTable(Config(routes=routes, **config)),
        )

    def ask(self, request: Request) -> Response:
        answer: Response = drive(self.gateway.handle(request))
        return answer

    @property
    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.sink.lines]


def problem(response: Response) -> dict[str, Any]:
    assert isinstance(response.body, bytes)
    assert response.headers["Content-Type"] == "application/problem+json"
    read: dict[str, Any] = json.loads(response.body)
    return read
