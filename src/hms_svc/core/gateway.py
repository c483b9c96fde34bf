"""The journey of one request, top to bottom. START READING HERE.

Each step of `Gateway._journey` is one file of this folder. A step returns what it found out or raises a `Refusal`. A
value of a later stage is built from those of the earlier ones, and only an `Admitted` request can be forwarded: the
type checker proves that nothing goes on that was not identified. The record is closed whatever happens.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hms_svc.core.answer import finish, options, preflight, redirect
from hms_svc.core.arrive import Arrival, arrive, is_proxy, name
from hms_svc.core.authorise import authorise
from hms_svc.core.config import Forward, Redirect
from hms_svc.core.credentials.key_places import without_query_key
from hms_svc.core.entry import Entry
from hms_svc.core.errors import InternalError, MethodNotAllowed, Refusal, Unavailable
from hms_svc.core.forward import Admitted, says_who_calls
from hms_svc.core.jobs import prefers_async
from hms_svc.core.match import Match, RouteTable, parse_query
from hms_svc.core.model import Headers, Request, Response
from hms_svc.core.own import HealthOnly, OwnPaths, is_own
from hms_svc.core.policy import PolicyRequest
from hms_svc.core.ports import Clock, Randomness, StoreUnavailable
from hms_svc.core.recorded import recorded

if TYPE_CHECKING:
    from collections.abc import Callable

    from hms_svc.core.audit import AuditLog
    from hms_svc.core.authenticate import Authenticator
    from hms_svc.core.forward import Forwarder
    from hms_svc.core.jobs import Enqueuer
    from hms_svc.core.limit import Limiter
    from hms_svc.core.model import Caller
    from hms_svc.core.policies import PolicyStep
    from hms_svc.core.policy_fields import Fields

Lines = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Steps:
    """The steps that need something of the world, each built over its ports."""

    authenticator: Authenticator
    limiter: Limiter
    policies: PolicyStep
    forwarder: Forwarder
    enqueuer: Enqueuer


class Gateway:
    """The front door: hand it a `Request`, get the `Response`. One object serves all requests, concurrently."""

    def __init__(
        self,
        *,
        steps: Steps,
        audit: AuditLog,
        clock: Clock,
        randomness: Randomness,
        table: RouteTable | None = None,
        own: OwnPaths | None = None,
    ) -> None:
        self._steps = steps
        self._audit = audit
        self._clock = clock
        self._randomness = randomness
        self.own = own or HealthOnly()
        """Who answers below ``/_hms/``."""
        self.observe: Callable[[Entry, int], None] | None = None
        """Told of each request whose record is closed, and when it ended by the monotonic clock: for metrics."""
        self.table = table or RouteTable()
        """The routes in force. Assigning another table is the whole of a reload: a request uses one from end to end."""

    async def handle(self, request: Request, carry: Callable[[Response], Response] | None = None) -> Response:
        """The answer to ``request``. Never raises, but for the cancellation of a request whose caller has gone.

        ``carry`` is of a door that cannot pass on every answer: it returns the answer as it will go out, or raises the
        `Refusal` that goes instead, and the record tells of that one.

        Who gets a stream as the answer's body reads it to the end or closes it: that closes the audit record.
        """
        table = self.table
        entry = self._open(request, table)
        extra: list[tuple[str, str]] = []
        try:
            response = await self._journey(request, table, entry, extra)
        except Refusal as refusal:
            response = _refused(refusal, entry)
        except Exception as bug:  # noqa: BLE001  (a bug is answered and recorded, it never takes the door down)
            response = _refused(InternalError(cause=_where(bug)), entry)
        except BaseException:
            entry.incomplete, entry.cause = True, "the caller left before the answer"
            self._close(entry)
            raise
        return self._leave(response, entry, tuple(extra), carry)

    async def refuse(self, request: Request, refusal: Refusal) -> Response:
        """The answer to what a door could not read as a request, recorded like any other."""
        entry = self._open(request, self.table)
        entry.ip = request.peer_ip
        return self._leave(_refused(refusal, entry), entry, ())

    async def _journey(
        self, request: Request, table: RouteTable, entry: Entry, extra: list[tuple[str, str]]
    ) -> Response:
        config, steps = table.config, self._steps

        arrival = arrive(request, entry, self._randomness, config.trusted_proxies)
        if is_own(arrival.path):
            return await self.own.answer(arrival, entry)

        answered = preflight(table, arrival)
        if answered is not None:
            return answered
        try:
            match = table.find(arrival.wanted())
        except MethodNotAllowed as refusal:
            if request.method == "OPTIONS":
                return options(dict(refusal.headers)["Allow"])
            raise
        route = entry.route = match.route
        arrival = without_query_key(arrival, route)

        caller = entry.caller = await steps.authenticator.identify(request, route, config)
        authorise(route, caller)
        told = await steps.limiter.take(route, caller, arrival.ip, entry)
        extra += told.lines

        body = await _read_body(request, route.max_body, entry)
        fields: Fields = ()
        if route.policies:
            fields = await steps.policies.check(_shown_to_policies(arrival, match, caller, body), route, entry)
        if told.rest:
            extra.clear()
            extra += (await steps.limiter.take_rest(told, fields, entry)).lines
        if route.audit == "required":
            self._record_before(entry)

        return await self._serve(Admitted(arrival, route, caller, body, fields), entry)

    async def _serve(self, admitted: Admitted, entry: Entry) -> Response:
        action = admitted.route.action
        if isinstance(action, Redirect):
            return redirect(admitted.arrival, admitted.route, action)
        if isinstance(action, Forward):
            if action.if_async is None or not prefers_async(admitted.arrival.request.headers):
                return await self._steps.forwarder.forward(admitted, action, entry)
            action = action.if_async
        response, entry.job_id = await self._steps.enqueuer.enqueue(admitted, action)
        return response

    def _open(self, request: Request, table: RouteTable) -> Entry:
        trusted = is_proxy(request.peer_ip, table.config.trusted_proxies)
        return Entry(
            request=request,
            request_id=name(request, self._randomness, trusted=trusted),
            started_wall_ns=self._clock.wall_ns(),
            started_ns=self._clock.monotonic_ns(),
            config_sha256=table.config.sha256,
        )

    def _record_before(self, entry: Entry) -> None:
        """``audit: required``: what cannot be recorded is not forwarded."""
        try:
            self._audit.begin(entry)
        except StoreUnavailable as error:
            raise Unavailable(cause=f"the audit record was not accepted: {error}") from error

    def _leave(
        self, response: Response, entry: Entry, extra: Lines, carry: Callable[[Response], Response] | None = None
    ) -> Response:
        finished = finish(response, entry.request_id, route=entry.route, request=entry.request, extra=extra)
        if carry is not None:
            try:
                finished = carry(finished)
            except Refusal as refusal:
                return self._leave(_refused(refusal, entry), entry, extra)
        return recorded(finished, entry, self._close)

    def _close(self, entry: Entry) -> None:
        ended_ns = self._clock.monotonic_ns()
        self._audit.close(entry, ended_ns=ended_ns)
        if self.observe is not None:
            self.observe(entry, ended_ns)


def _refused(refusal: Refusal, entry: Entry) -> Response:
    """The answer to a refused request, and what the record says of it."""
    entry.refusal, entry.detail, entry.cause = refusal.kind, refusal.detail, refusal.cause
    return refusal.answer(entry.request_id)


async def _read_body(request: Request, limit: int, entry: Entry) -> bytes:
    body = await request.body.read(limit)
    entry.request_bytes = len(body)
    if body:
        entry.request_sha256 = hashlib.sha256(body).hexdigest()
    return body


def _shown_to_policies(arrival: Arrival, match: Match, caller: Caller, body: bytes) -> PolicyRequest:
    """The request as policies see it.

    Its body is complete, so it has a ``Content-Length`` however it was sent. Who calls, no field says.
    """
    request = arrival.request
    query: dict[str, list[str]] = {}
    for field, value in parse_query(request.query):
        query.setdefault(field, []).append(value)
    lines = [
        line
        for line in request.headers.lines
        if line[0].lower() not in {"content-length", "transfer-encoding"} and not says_who_calls(line[0])
    ]
    if body:
        lines.append(("Content-Length", str(len(body))))
    return PolicyRequest(
        method=request.method,
        path=arrival.path,
        params=match.params,
        query={field: tuple(values) for field, values in query.items()},
        headers=Headers(lines),
        body=body,
        caller=caller,
        ip=arrival.ip,
    )


def _where(bug: Exception) -> str:
    """What and where, without the message: that may hold what no record may."""
    traceback = bug.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    place = f" at {traceback.tb_frame.f_code.co_qualname}:{traceback.tb_lineno}" if traceback else ""
    return f"{type(bug).__name__}{place}"
