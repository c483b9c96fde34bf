"""What must be true of the answer to any call: the one oracle of the fuzzers and of the seeds.

Never 5xx, never an exception; whoever was let in has shown a credential that the route accepts, and that is judged here
without the gateway's own code; every 401 has the same body; no credential stands in the record or in the answer.
"""

from __future__ import annotations

import functools
import json
import re
from typing import TYPE_CHECKING, Any

from fakes_credentials import GOOD_CLAIMS, NOW_S, rsa_jwk, rsa_key, token
from fuzz.calls import GENUINE
from guarded import ACCEPTS, GOOD_KEY, REFUSED, Guarded

from hms_svc.aws.door import LambdaDoor
from hms_svc.core.credentials.token_keys import ALGORITHMS, usable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fuzz.calls import Call, Signed
    from guarded import Outcome

SECRETS = frozenset({"authorization", "x-api-key", "cookie"})
PROOFS = frozenset({"x5t#S256", "jkt", "jwk", "jwe", "jku", "kid"})
"""What ``cnf`` may bind a token to."""


class Judge:
    """A gateway and the verdict on what it does."""

    def __init__(self) -> None:
        self._guarded = Guarded()
        self.statuses: dict[int, int] = {}

    def check(self, call: Call) -> int:
        """The status of the answer. Raises `AssertionError` when the gateway did what it must not."""
        lines = call.headers()
        outcome = self._guarded.ask(call.path, lines, call.client_certificate())
        self.statuses[outcome.status] = self.statuses.get(outcome.status, 0) + 1
        assert outcome.status in {200, 400, 401, 403}, outcome
        assert call.status in {None, outcome.status}, (call, outcome)
        if outcome.status == 200:
            self._deserved(call, lines)
        elif outcome.status == 401:
            body = outcome.response.body
            assert isinstance(body, bytes)
            assert re.fullmatch(rb'\{%s"detail": "Bad credentials", "request_id": "[0-9a-f]{32}"\}' % REFUSED, body)
            assert outcome.response.headers["WWW-Authenticate"]
        _keeps_secrets(lines, outcome)
        return outcome.status

    def _deserved(self, call: Call, lines: list[tuple[str, str]]) -> None:
        (sent,) = self._guarded.door.upstream.seen
        via = sent.headers["X-HMS-Auth"]
        assert via in ACCEPTS[call.path]
        assert _is_one_authorization(lines), call
        assert "api_key" not in ACCEPTS[call.path] or _keys_in(lines) <= 1, call
        assert len(sent.headers.all("X-HMS-Caller")) == 1
        told = [value for name, value in sent.headers.lines if name.startswith("X-HMS-")]
        assert all(re.fullmatch(r"[\x20-\x7e]*", value) for value in told), told
        if via == "oauth":
            assert any(_is_genuine(token, lines) for token in call.tokens()), call
        elif via == "api_key":
            assert any(_holds_the_key(name, value) for name, value in lines), call
        else:
            assert call.certificate is not None
            assert call.certificate[0] or call.certificate[3]


def check_key_set(members: list[dict[str, Any]]) -> None:
    """An issuer's set with these members and one good key: genuine tokens are good or not, forged ones never."""
    guarded = Guarded(*members, rsa_jwk(rsa_key()))
    assert guarded.bearer(_genuine()).status in {200, 401}
    assert guarded.bearer(_forged()).status == 401
    for algorithm, (kty, curves) in ALGORITHMS.items():
        for _, numbers in usable(members, algorithm):
            assert numbers["kty"] == kty
            assert set(numbers) <= {"kty", "n", "e", "crv", "x", "y"}
            if kty != "RSA":
                digits = -(-curves[numbers["crv"]] * 4 // 3)
                assert all(len(numbers[axis]) == digits for axis in "xy" if axis in numbers)


def check_event(identity: Mapping[str, Any], headers: Mapping[str, Any]) -> None:
    """An event of API Gateway whose certificate or header lines are not what it would write."""
    guarded = Guarded()
    event = {
        "httpMethod": "GET",
        "path": "/any",
        "resource": "/{proxy+}",
        "headers": headers,
        "requestContext": {"identity": identity, "stage": "dev"},
    }
    status = LambdaDoor(guarded.door.gateway)(event)["statusCode"]
    assert status in {200, 400, 401}, (status, guarded.door.sink.lines)
    if status == 200:
        certificate = identity["clientCert"]
        assert certificate["subjectDN"]


@functools.cache
def _genuine() -> str:
    return token()


@functools.cache
def _forged() -> str:
    return token(key=rsa_key("stranger"))


def _is_genuine(token: Signed, lines: list[tuple[str, str]]) -> bool:
    """Whether the issuer has signed this, for us, for now, and it is what was sent."""
    if token.key not in GENUINE:
        return False
    form = re.compile(rf"[ \t]*(?i:bearer) +{re.escape(token.original())}[ \t]*")
    if not any(name.lower() == "authorization" and form.fullmatch(value) for name, value in lines):
        return False
    header, claims = json.loads(token.header), json.loads(token.payload)
    audience = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
    return (
        header["alg"] in {GENUINE[token.key], *(("Ed25519",) if token.key == "ed" else ())}
        and "crit" not in header
        and _is_free(claims.get("cnf", {}))
        and claims["iss"] == GOOD_CLAIMS["iss"]
        and "hms-api" in audience
        and NOW_S - 60 <= claims["exp"] < float("inf")
    )


def _is_free(confirmation: Any) -> bool:
    """Whether the token is bound to nothing: members that nobody knows are ignored (RFC 7800, section 3)."""
    return isinstance(confirmation, dict) and PROOFS.isdisjoint(confirmation)


def _holds_the_key(name: str, value: str) -> bool:
    if name.lower() == "x-api-key":
        return value == GOOD_KEY
    return name.lower() == "authorization" and bool(re.fullmatch(rf"[ \t]*(?i:apikey) +{GOOD_KEY}[ \t]*", value))


def _is_one_authorization(lines: list[tuple[str, str]]) -> bool:
    """Whether there is one field at most, and no second credential of the gateway's own schemes in it."""
    values = [value for name, value in lines if name.lower() == "authorization"]
    parts = re.sub(r'"[^"]*"', "", ",".join(values)).split(",")
    ours = [part for part in parts if re.match(r"(?i)[ \t]*(bearer|apikey)( |$)", part)]
    return len(values) <= 1 and len(ours) <= 1


def _keys_in(lines: list[tuple[str, str]]) -> int:
    in_header = [part for name, value in lines if name.lower() == "x-api-key" for part in value.split(",")]
    beside = [value for name, value in lines if name.lower() == "authorization" and value.lower().startswith("apikey ")]
    return len(in_header) + len(beside)


def _keeps_secrets(lines: list[tuple[str, str]], outcome: Outcome) -> None:
    record, answer = outcome.record.decode(), str(outcome.response)
    for name, value in lines:
        if name.lower() in SECRETS:
            for part in re.split(r"[ .]", value):
                if len(part) > 40:
                    assert part not in record, part
                    assert part not in answer, part
