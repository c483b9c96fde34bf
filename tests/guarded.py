"""A gateway whose routes each want a credential; its issuer, its keys and what comes of a call in the test's hands.

`Guarded.ask` holds what is true of every answer, whatever was asked: so each test of an attack checks it too.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from doors import Door
from fakes_credentials import AGENCY, NOW_S, Desk, ec_jwk, ec_key, ed_jwk, ed_key, rsa_jwk, rsa_key
from worlds import CountingRandomness, request

from hms_svc.core.config import Forward, Issuer, Route, Target
from hms_svc.core.credentials.api_keys import issue
from hms_svc.core.credentials.token_keys import ALGORITHMS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hms_svc.core.model import ClientCertificate, Response

ALL = Issuer(AGENCY.name, AGENCY.issuer, AGENCY.audience, tuple(ALGORITHMS))
"""The agency, with every algorithm that an issuer may be configured with."""
ACCEPTS: Mapping[str, tuple[str, ...]] = {
    "/oauth": ("oauth",),
    "/api_key": ("api_key",),
    "/mtls": ("mtls",),
    "/any": ("oauth", "api_key", "mtls"),
}
"""The routes there are, and what each accepts."""
_KEY, KEPT = issue(
    CountingRandomness(), name="batch", owner="batch-team", scopes=frozenset({"a"}), now_s=NOW_S, expires_s=None
)
GOOD_KEY = _KEY
"""An API key that every `Guarded` knows."""
REFUSED = b'"type": "urn:problem:hms-svc:bad-credentials", "title": "Unauthorized", "status": 401, '


class Outcome(NamedTuple):
    """What came of one call."""

    response: Response
    record: bytes
    caller: str | None
    """Whom the service behind was told; None when nothing went on."""

    @property
    def status(self) -> int:
        return self.response.status

    @property
    def cause(self) -> str:
        """Why it was refused, as the record has it."""
        return str(json.loads(self.record)["unmapped"]["hms"].get("cause", ""))


class Guarded:
    """The gateway. ``members`` are its issuer's keys: an RSA, an elliptic and an Edwards one when none are given."""

    def __init__(self, *members: Mapping[str, Any], issuer: Issuer = ALL) -> None:
        desk = Desk(*(members or (rsa_jwk(rsa_key()), ec_jwk(ec_key()), ed_jwk(ed_key()))), issuers=(issuer,))
        desk.store.keys.append(KEPT)
        self.keys = desk.source
        self.clock = desk.clock
        action = Forward((Target("http", "claims-svc", 9001),))
        routes = (Route(name=path, path=path, action=action, auth=auth) for path, auth in ACCEPTS.items())
        self.door = Door(*routes, authenticator=desk.authenticator, issuers=desk.issuers)

    def ask(
        self, path: str, lines: Iterable[tuple[str, str]] = (), certificate: ClientCertificate | None = None
    ) -> Outcome:
        """What comes of a GET with these header lines."""
        sink, seen = self.door.sink.lines, self.door.upstream.seen
        sink.clear()
        seen.clear()
        asked = request(path=path, headers=[("Host", "api.agency.example"), *lines], certificate=certificate)
        response = self.door.ask(asked)
        assert response.status < 500, (response.status, sink)
        assert len(sink) == 1
        assert (response.status == 200) is bool(seen)
        caller = seen[0].headers["X-HMS-Caller"] if seen else None
        return Outcome(response, sink[0], caller)

    def bearer(self, text: str, path: str = "/oauth") -> Outcome:
        return self.ask(path, [("Authorization", f"Bearer {text}")])

    def refuses(self, text: str) -> str:
        """Why a token is refused, alone and where other credentials would do; what the caller gets says nothing."""
        outcomes = [self.bearer(text, path) for path in ("/any", "/oauth")]
        for outcome in outcomes:
            assert outcome.status == 401
            assert isinstance(outcome.response.body, bytes)
            assert outcome.response.body.startswith(b"{" + REFUSED)
            assert b"invalid_token" in outcome.response.headers["WWW-Authenticate"].encode()
        return outcomes[-1].cause
